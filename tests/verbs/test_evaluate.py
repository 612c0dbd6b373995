"""Scoring as a command: files, interruption, what does not converge."""

import importlib
from types import SimpleNamespace

import commands
import numpy as np
import pytest
from verb_runs import CHUNKS, STEPS, arguments, names, succeed

from scoresde_jax import files, scoring, verbs


def test_evaluation_writes_what_it_promises(copy):
    succeed(*arguments(copy, "eval", **CHUNKS[1]))
    assert names(copy / "eval") == ["bpd.npz", "bpd.png", "results.json"]
    results = files.read_json(copy / "eval" / "results.json")
    with np.load(copy / "eval" / "bpd.npz") as stored:
        columns = dict(stored)
    assert results["checkpoint_step"] == STEPS and results["not_converged"] == []
    assert results["other_dequantizations"] == {}
    assert results["evaluation_loss"]["images"] == 297
    for name, prefix in (("bits_per_dim", "uniform/"), ("bits_per_dim_bound", "uniform/bound_")):
        bits, bpd = results[name], columns[f"{prefix}bpd"]
        assert bits["images"] == len(bpd) == 297 and bits["dequantization"] == "uniform"
        np.testing.assert_allclose(bits["mean"], bpd.mean(dtype=np.float64), rtol=1e-6)
        error = bpd.std(ddof=1, dtype=np.float64) / 297**0.5
        np.testing.assert_allclose(bits["standard_error"], error, rtol=1e-6)
        np.testing.assert_allclose(bits["nfe"]["mean"], columns[f"{prefix}nfe"].mean())
        assert bits["nfe"]["max"] == columns[f"{prefix}nfe"].max()
    assert results["bits_per_dim"]["standard_error_of_estimates"] is None  # of a single probe
    assert results["bits_per_dim_bound"]["standard_error_of_estimates"] > 0
    assert results["config"] == files.read_json(copy / "config.json")
    assert all(len(column) == 297 for column in columns.values())
    np.testing.assert_array_equal(columns["index"], np.arange(297))


@pytest.mark.parametrize("sde", ["vp", "ve"])
def test_the_other_sdes_train_score_and_sample(small, sde):
    code, workdir = small(sde, "eval")
    assert code == 0
    assert "snapshot_2.png" in names(workdir / "samples")  # drawn with the PC sampler
    results = files.read_json(workdir / "eval" / "results.json")
    # An untrained model is some bits worse than uniform levels, log2 17 = 4.09.
    assert 3 < results["bits_per_dim"]["mean"] < 12
    code, workdir = small(sde, "sample", sampling__method="ode")
    assert code == 0
    with np.load(workdir / "samples" / "ode_2.npz") as stored:
        assert stored["samples"].shape == (6, 8, 8, 1) and stored["converged"].all()


def test_an_interrupted_evaluation_goes_on_and_gives_the_same(small, monkeypatch):
    settings = {"likelihood__images_per_piece": 100}
    code, workdir = small("subvp", "eval", **settings)
    assert code == 0 and not (workdir / "eval" / "pieces").exists()
    whole = (workdir / "eval" / "results.json").read_bytes()
    (workdir / "eval" / "results.json").unlink()
    score = scoring.Scorer.columns
    seen = []

    def interrupted(self, images, index, progress):
        if len(seen) == 1:
            seen.append("stop")
            raise KeyboardInterrupt
        seen.append(index[0])
        return score(self, images, index, progress)

    monkeypatch.setattr(scoring.Scorer, "columns", interrupted)
    with pytest.raises(KeyboardInterrupt):
        small("subvp", "eval", **settings)
    assert names(workdir / "eval" / "pieces") == ["0.npz", "work.json"]
    assert small("subvp", "eval", **settings)[0] == 0
    assert seen == [0, "stop", 100, 200]
    assert (workdir / "eval" / "results.json").read_bytes() == whole


def test_scores_are_kept_when_only_what_they_do_not_depend_on_changes():
    label = importlib.import_module("scoresde_jax.verbs.evaluate")._scored

    def run(weight):
        state = SimpleNamespace(ema_params={"w": np.full(2, weight)})
        return SimpleNamespace(start=2, mesh=SimpleNamespace(size=1), state=state)

    def labelled(flow=None, weight=1.0, **settings):
        return label(commands.tiny_config("subvp", **settings), run(weight), flow)

    free = {"eval__num_samples": 9, "sampling__seed": 1, "data__workers": 2, "training__steps": 9}
    for name, value in (free | {"dequantizer__filters": 3}).items():
        assert labelled(**{name: value}) == labelled(), name
    telling = {"likelihood__rtol": 0.2, "data__path": "x", "eval__enable_bpd": False}
    for name, value in (telling | {"sde__beta_max": 9.0, "model__features": 3}).items():
        assert labelled(**{name: value}) != labelled(), name
    assert labelled(run(3.0), dequantizer__filters=3) != labelled(run(3.0))
    # Trained anew, to the same step.
    assert labelled(weight=2.0) != labelled() and labelled(run(3.0)) != labelled(run(4.0))


def test_checkpoints_of_a_range_are_scored_one_by_one(copy):
    only = {"eval__enable_bpd": False, "eval__checkpoint": "11..20"}
    succeed(*arguments(copy, "eval", **CHUNKS[1], **only))
    found = {name: files.read_json(copy / "eval" / name / "results.json") for name in ("15", "20")}
    assert [results["checkpoint_step"] for results in found.values()] == [15, 20]
    code, message = commands.run(*arguments(copy, "eval", **CHUNKS[1], eval__checkpoint="newest"))
    assert code != 0 and "config.eval.checkpoint is 'newest'; expected 'latest', 'best'" in message


def test_a_dequantizer_that_was_not_trained_is_asked_for(small):
    with pytest.raises(verbs.UserError, match="--mode train_dequantizer"):
        small("subvp", "eval", likelihood__dequantizations=("learned",))


def test_what_does_not_converge_is_listed(small, capsys):
    code, workdir = small("vp", "eval", likelihood__max_steps=2)
    assert code == 1
    message = capsys.readouterr().err
    results = files.read_json(workdir / "eval" / "results.json")
    with np.load(workdir / "eval" / "bpd.npz") as stored:
        lost = np.flatnonzero(~stored["uniform/converged"])
        assert np.isnan(stored["uniform/bpd"][lost]).all()
    assert lost.size and results["not_converged"] == lost.tolist()
    assert results["bits_per_dim"]["mean"] is results["bits_per_dim"]["standard_error"] is None
    assert str(lost.tolist()) in message and "config.likelihood.max_steps" in message
    code, _ = small("vp", "sample", sampling__method="ode", sampling__ode__max_steps=2)
    assert code == 1
    message = capsys.readouterr().err
    assert "[0, 1, 2, 3, 4, 5]" in message and "config.sampling.ode.max_steps" in message
