"""Samples measured, as a command: files, provenance, going on, what does not fit."""

import shutil

import numpy as np
import pytest
from verb_runs import names

from scoresde_jax import files, programs, verbs
from scoresde_jax import quality as measuring
from scoresde_jax.evaluation import statistics_files

ONLY = {"eval__enable_bpd": False, "eval__enable_loss": False, "eval__enable_fid": True}


def quality(workdir):
    return files.read_json(workdir / "eval" / "quality.json")


def drawn(workdir):
    """The images of all shards of the only samples there are."""
    (folder,) = (workdir / "eval" / "samples").iterdir()
    shards = []
    for path in folder.glob("*.npz"):
        with np.load(path) as stored:
            shards.append(stored["images"])
    return shards


def test_samples_are_measured_and_say_how(small, capsys):
    code, workdir = small("subvp", "eval", **ONLY, eval__num_samples=40, eval__yardsticks=True)
    assert code == 0
    found = quality(workdir)
    distance = found["frechet_distance"]
    low, high = distance["interval"]
    assert 0 <= low < distance["mean"] < high and distance["level"] == 0.95
    origin = found["provenance"]
    assert origin["images"] == 40 and origin["reference"] == "digits/train 8x8x1"
    assert origin["reference_images"] == 1500 and origin["step"] == 2 and origin["ema"]
    assert origin["sampler"] == "pc" and origin["nfe"] == 2 and origin["seed"] == 44
    assert origin["extractor"] == "principal-components" and len(origin["extractor_hash"]) == 64
    assert 0 <= found["precision"]["mean"] <= 1 and found["kernel_distance"]["mean"] > 0
    shards = drawn(workdir)  # of 4 images, each shard with a key of its own
    assert len(shards) == 10 and len(np.unique(np.concatenate(shards), axis=0)) == 40
    # After two steps a model is worse than any yardstick.
    yards = found["yardsticks"]
    assert list(yards) == ["samples", "test images", "gaussian mixture"]
    assert all(yards[name]["mean"] < yards["samples"]["mean"] for name in list(yards)[1:])
    assert {yard["images"] for yard in yards.values()} == {40}
    assert "Frechet distance" in capsys.readouterr().out


def test_interrupted_sampling_goes_on_and_gives_the_same(small, monkeypatch):
    settings = ONLY | {"eval__num_samples": 10, "eval__seed": 1}  # batches of 4
    small("vp", "data")  # trains the model, which draws a picture
    whole_program, calls = programs.sampling_program, []

    def interrupted(*arguments):
        draw = whole_program(*arguments)

        def drawn(*inputs):
            calls.append(1)
            if len(calls) == 2:
                raise KeyboardInterrupt
            return draw(*inputs)

        return drawn

    monkeypatch.setattr(programs, "sampling_program", interrupted)
    with pytest.raises(KeyboardInterrupt):
        small("vp", "eval", **settings)
    code, workdir = small("vp", "eval", **settings)
    assert code == 0 and len(calls) == 4  # one kept, one lost, two more
    first = quality(workdir)
    again = small("vp", "eval", **settings)
    assert again[0] == 0 and len(calls) == 4 and quality(workdir) == first
    # Samples of other settings are drawn anew, into a folder of their own.
    before = names(workdir / "eval" / "samples")
    assert small("vp", "eval", **settings, sampling__pc__steps=3)[0] == 0 and len(calls) == 7
    assert set(before) < set(names(workdir / "eval" / "samples"))


def test_statistics_are_written_and_read(small):
    settings = {"eval__extractor": "classifier"}
    code, workdir = small("vp", "features")
    assert code == 0
    assert names(workdir / "features") == ["accuracy.json", "classifier.npz"]
    assert small("vp", "stats", **settings)[0] == 0
    path = workdir / "stats" / "digits_train_digit-classifier.npz"
    stored = statistics_files.read(path)
    assert stored.moments.count == 1500 and stored.provenance.source == "digits/train 8x8x1"
    np.testing.assert_allclose(stored.features.mean(0), stored.moments.mean, rtol=1e-5, atol=1e-6)

    more = ONLY | settings | {"eval__num_samples": 12, "eval__seed": 2}
    assert small("vp", "eval", **more)[0] == 0
    computed = quality(workdir)
    assert small("vp", "eval", **more, eval__statistics=str(path))[0] == 0
    read = quality(workdir)
    np.testing.assert_allclose(
        read["frechet_distance"]["mean"], computed["frechet_distance"]["mean"], rtol=1e-5
    )
    assert read["inception_score"]["mean"] >= 1
    with pytest.raises(verbs.UserError, match="extractor_hash"):
        small("vp", "eval", **ONLY, eval__seed=3, eval__statistics=str(path))


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"eval__enable_fid": False}, "nothing to evaluate"),
        ({"eval__extractor": "inception"}, "config.eval.inception is None, which is no file"),
        ({"eval__extractor": "classifier"}, "--mode features"),
        ({"eval__extractor": "clasifier"}, "'classifier'"),
        ({"eval__statistics": "nowhere.npz"}, "'nowhere.npz', which is no file"),
        ({"eval__enable_loss": True, "sampling__batch_size": 3}, "config.sampling.batch_size"),
        ({"eval__num_samples": 3}, "config.eval.num_samples is 3; it must be >= 4"),
        ({"eval__components": 0}, "config.eval.components is 0; it must be >= 1"),
    ],
)
def test_what_does_not_fit_is_said_before_anything_is_drawn(small, settings, message):
    with pytest.raises(verbs.UserError, match=message):
        small("subvp", "eval", **ONLY | settings)


def test_a_classifier_wants_a_whole_batch(small):
    with pytest.raises(verbs.UserError, match="is 1501, and there are 1500 training images"):
        small("subvp", "features", classifier__batch_size=1501)


def test_a_reference_is_made_once_for_all_checkpoints(small, monkeypatch):
    _, workdir = small("subvp", "data")
    shutil.copytree(workdir / "checkpoints" / "2", workdir / "checkpoints" / "1")
    made, reference = [], measuring.reference
    monkeypatch.setattr(measuring, "reference", lambda *given: made.append(1) or reference(*given))
    settings = ONLY | {"eval__num_samples": 4, "eval__checkpoint": "1..2"}
    assert small("subvp", "eval", **settings)[0] == 0 and made == [1]
    found = [files.read_json(workdir / "eval" / step / "quality.json") for step in "12"]
    assert [one["provenance"]["step"] for one in found] == [1, 2]


def test_the_loss_alone(small, capsys):
    _, workdir = small("linear_ve", "data")
    pieces = workdir / "eval" / "pieces"  # of another evaluation
    files.write_json(pieces / "work.json", {"checkpoint_step": 1})
    files.write_npz(pieces / "0.npz", {"index": np.arange(297)})
    capsys.readouterr()
    code, _ = small("linear_ve", "eval", eval__enable_bpd=False)
    assert code == 0
    results = files.read_json(workdir / "eval" / "results.json")
    assert results["evaluation_loss"]["images"] == 297 and "bits_per_dim" not in results
    said = capsys.readouterr()
    assert said.out.startswith("loss ") and "scores of other settings; they are disc" in said.err


def test_data_are_described_and_shown(small, capsys):
    code, workdir = small("ve", "data")
    assert code == 0
    assert names(workdir / "data") == ["contents.json", "test.png", "train.png"]
    found = files.read_json(workdir / "data" / "contents.json")
    assert found["train"]["images"] == 1500 and found["test"]["labels"]["0"] == 41
    assert found["largest_distance"]["largest"] == pytest.approx(4.8, abs=0.1)
    said = capsys.readouterr().out
    assert "1,500 images of 8 x 8 x 1, 17 levels" in said and "sigma_max" in said
