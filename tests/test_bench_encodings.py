"""`python -m benchmarks.encodings` on networks that were never trained."""

import commands
import jax
import pytest
from PIL import Image
from small_network import SmallNetwork

from benchmarks import encodings
from scoresde_jax import build, files, tasks, training, workdirs
from scoresde_jax.build import assemble


@pytest.fixture
def made(tmp_path, monkeypatch):
    """(name, seed of the parameters, settings) -> a workdir."""
    monkeypatch.setattr(assemble, "_network", lambda section: SmallNetwork())

    def make(name, seed, sde="subvp", **settings):
        config = commands.tiny_config(sde, **settings)
        experiment = build.experiment(config)
        task = tasks.score_task(experiment, config)
        params = experiment.init_params(jax.random.key(seed))
        state = training.create(params, task.optimizer)
        stored = files.plain(config.to_dict())
        workdirs.begin(tmp_path / name, state, config=stored, data={"next_index": 0})
        return tmp_path / name

    return make


def compare(first, other, images=6):
    output = first.parent / "found"
    arguments = ["--workdir", first, "--other", other, "--images", images, "--output", output]
    assert encodings.main([str(argument) for argument in arguments]) == 0
    return output, files.read_json(output.with_suffix(".json"))


def test_everything_is_there(made, capsys):
    ode = {"sampling__ode__rtol": 1e-4, "sampling__ode__atol": 1e-4}
    first = made("a", 1, **ode)
    stored = files.read_json(first / "config.json")  # of before there were these
    del stored["sampling"]["ode"]["temperature"], stored["eval"], stored["data"]["path"]
    files.write_json(first / "config.json", stored)
    # The parameters that its training began from, so that it is its own "untrained".
    other = made("b", commands.tiny_config("subvp").training.seed)
    output, found = compare(first, other)
    rows = found["rows"]
    assert rows["first"] == pytest.approx(rows["first"] | {"distance": 0, "matched": 1})
    assert rows["first"]["least_correlation"] == pytest.approx(1)
    second, untrained = rows["second"], rows["untrained"]
    # Untrained, its flow shrinks an image 150 times or so, and the way back multiplies the solver's
    # error, of 1e-4 a step, by as much. The other's code is that of another image to it.
    assert rows["first"]["pixel_distance"] < 0.1 < second.pop("pixel_distance")
    assert second == untrained and 0 < second["distance"] < 1.5
    assert rows["Gaussian"]["distance"] > 0 and rows["shuffled"]["matched"] < 0.5
    assert found["images"] == 6 and found["workdirs"]["second"]["checkpoint_step"] == 0
    assert not any(found["not_decoded"].values())
    with Image.open(output.with_suffix(".png")) as image:
        image.verify()
    printed = capsys.readouterr().out
    assert "| Gaussian |" in printed and "6 images" in printed


def test_what_does_not_go_together_is_said(made, tmp_path, capsys):
    first, unlike = made("a", 1), made("b", 1, sde="vp", data__dequantize=False)
    changed = "sde.name is 'subvp', was 'vp'; config.data.dequantize is True, was False. Codes"
    for other, images, message in (
        (unlike, 6, f"b is of another model: config.{changed}"),
        (tmp_path / "none", 6, "has no config.json"),
        (first, 1, "--images is 1"),
    ):
        arguments = ["--workdir", str(first), "--other", str(other), "--images", str(images)]
        assert encodings.main(arguments) == 2
        assert message in capsys.readouterr().err
