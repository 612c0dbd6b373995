"""`make demo`, with a model that takes seconds: it ends with what it promises."""

import contextlib
import copy
import io

import commands
import html_pages
import pytest
from small_network import SmallNetwork

import demo
from scoresde_jax import files
from scoresde_jax.build import assemble

CONFIG = commands.raw_config("subvp", training__steps=2, eval__extractor="classifier")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a demo that ran to its end, and what it said; still set up to go on."""
    workdir = tmp_path_factory.mktemp("demo") / "demo"
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assemble, "_network", lambda section: SmallNetwork())
        patch.setattr(demo, "WORKDIR", workdir)
        patch.setattr(demo.digits, "get_config", lambda: copy.deepcopy(CONFIG))
        with contextlib.redirect_stdout(said):
            assert demo.main() == 0
        yield workdir, said.getvalue()


def test_it_trains_scores_and_draws(finished):
    workdir, said = finished
    results = files.read_json(workdir / "eval" / "results.json")
    bits, bound = results["bits_per_dim"], results["bits_per_dim_bound"]
    assert bits["images"] == 297 and {"mean", "max"} < set(bits["nfe"])
    assert f"bound       {bound['mean']:.3f} +- {bound['standard_error']:.3f}" in said
    assert f"{bits['mean']:.3f} +- {bits['standard_error']:.3f} on 297 test images" in said
    for picture in workdir.rglob("*.png"):
        assert str(picture) in said
    assert "pc_2.png" in said and "training.png" in said
    assert "time " in said and "train " in said
    distance = files.read_json(workdir / "eval" / "quality.json")
    assert distance["provenance"]["sampler"] == "grid"
    assert f"samples {distance['yardsticks']['samples']['mean']:.2f} [" in said
    assert "test images " in said and "gaussian mixture " in said
    page = html_pages.Page((workdir / "report.html").read_text())
    assert page.addresses == [] and page.text.count("Not there yet") == 1  # no sweep


def test_a_folder_of_another_model(finished, capsys, monkeypatch):
    workdir, _ = finished
    other = copy.deepcopy(CONFIG)
    other.model.features = 12
    monkeypatch.setattr(demo.digits, "get_config", lambda: other)
    assert demo.main() == 2
    message = capsys.readouterr().err
    assert (
        "config.model.features is 12, was 8" in message
        and f"folder is {workdir}; remove it" in message
    )
