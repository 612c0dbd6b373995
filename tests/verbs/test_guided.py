"""A classifier that guides, and networks that know classes, as commands."""

import shutil

import commands
import html_pages
import numpy as np
import pytest
from PIL import Image
from small_network import KnowsClasses
from verb_runs import names

import run_lib
from scoresde_jax import build, files, sharding, tasks, workdirs
from scoresde_jax.build import assemble
from scoresde_jax.evaluation.provenance import Provenance, check_comparable, parameter_hash
from scoresde_jax.verbs import UserError

GUIDE = {"guide__channels": 2, "guide__features": 4, "guide_training__steps": 3}
CONDITIONAL = {"model__image_classes": 10}


def configured(**settings):
    settings = {
        "training__steps": 2,
        "sampling__method": "grid",
        "sampling__grid__steps": 2,
    } | settings
    return commands.raw_config("subvp", **settings)


def run(mode, workdir, num_samples=12, **settings):
    config = configured(**settings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assemble, "_network", lambda section: KnowsClasses(section.image_classes))
        return run_lib.run(config, mode=mode, workdir=workdir, num_samples=num_samples)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A workdir with a network that knows classes and a classifier; not to be written into."""
    workdir = tmp_path_factory.mktemp("guided") / "run"
    assert run("train", workdir, **CONDITIONAL) == 0
    assert run("train_classifier", workdir, **GUIDE, **CONDITIONAL) == 0
    return workdir


def test_a_classifier_is_trained_and_measured(trained):
    folder = trained / "classifier"
    wanted = {"accuracy.json", "accuracy.png", "checkpoints", "config.json", "metrics.jsonl"}
    assert wanted <= set(names(folder)) and names(folder / "checkpoints") == ["3"]
    found = files.read_json(folder / "accuracy.json")
    lists = [found[name] for name in ("times", "accuracy", "standard_error", "cross_entropy")]
    assert {len(values) for values in lists} == {11} and found["images"] == 297
    assert all(0 <= share <= 1 for share in found["accuracy"])
    # After three steps it knows next to nothing: log 10 is what that costs.
    np.testing.assert_allclose(found["cross_entropy"], np.log(10), atol=0.5)


def sampled(workdir, **settings):
    """The samples of a guidance; what is written is taken away again."""
    guidance = {f"sampling__guidance__{name}": value for name, value in settings.items()}
    method = "grid" + (f"_{settings['method']}" if settings else "")
    assert run("sample", workdir, **GUIDE, **CONDITIONAL, **guidance) == 0
    path = workdir / "samples" / f"{method}_2.npz"
    with np.load(path) as found:
        found = dict(found)
    path.unlink()
    path.with_suffix(".png").unlink()
    return found


@pytest.fixture(scope="module")
def plain(trained):
    return sampled(trained)


def test_without_guidance_there_are_no_labels(plain):
    assert set(plain) == {"samples", "nfe", "converged"}


def test_a_classifier_at_scale_0_changes_nothing(trained, plain):
    found = sampled(trained, method="classifier", scale=0.0)
    np.testing.assert_array_equal(found["samples"], plain["samples"])
    np.testing.assert_array_equal(found["labels"], [*range(10), 0, 1])


def test_classifier_free_draws_the_class_that_is_asked_for(trained, plain):
    every = sampled(trained, method="classifier_free", scale=1.0)
    one = sampled(trained, method="classifier_free", scale=1.0, image_class=3)
    np.testing.assert_array_equal(one["labels"], [3] * 12)
    np.testing.assert_array_equal(every["samples"][3], one["samples"][3])
    assert (every["samples"] != one["samples"]).any()
    nothing = sampled(trained, method="classifier_free", scale=0.0)
    np.testing.assert_array_equal(nothing["samples"], plain["samples"])


def test_a_model_guided_by_itself_is_itself(trained):
    conditional = sampled(trained, method="classifier_free", scale=1.0)
    itself = sampled(trained, method="auto", scale=2.0, weaker=str(trained))
    np.testing.assert_array_equal(itself["samples"], conditional["samples"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "classifire"}, "Did you mean 'classifier'?"),
        (
            {"method": "classifier", "image_class": 10},
            r"guidance\.image_class is 10; there are 10 classes",
        ),
        ({"method": "none", "image_class": 1}, r"guidance\.image_class is 1, and method 'none'"),
        ({"method": "classifier", "interval": (0.5, 0.1)}, r"guidance\.interval is \(0\.5, 0\.1\)"),
        ({"method": "auto"}, r"method is 'auto', and \.weaker is None"),
        ({"method": "classifier_free"}, "needs a network that knows classes"),
    ],
)
def test_guidance_that_cannot_be(tmp_path, settings, message):
    guidance = {f"sampling__guidance__{name}": value for name, value in settings.items()}
    known = {} if settings == {"method": "classifier_free"} else CONDITIONAL
    with pytest.raises(UserError, match=message):
        run("sample", tmp_path, **known, **guidance)
    assert not list(tmp_path.iterdir())


def test_guidance_by_what_is_not_there(trained, tmp_path):
    for settings, message in (
        ({"method": "classifier"}, "--mode train_classifier"),
        ({"method": "auto", "weaker": str(tmp_path)}, "has no config.json"),
    ):
        guidance = {f"sampling__guidance__{name}": value for name, value in settings.items()}
        where = {"guide__channels": 2, "guide__features": 4}
        with pytest.raises(UserError, match=message):
            run(
                "sample", _without_classifier(trained, tmp_path), **where, **CONDITIONAL, **guidance
            )


def _without_classifier(trained, tmp_path):
    folder = tmp_path / "copy"
    if not folder.exists():
        folder.mkdir()
        (folder / "checkpoints").symlink_to(trained / "checkpoints")
    return folder


EVAL = {
    "eval__enable_bpd": False,
    "eval__enable_loss": False,
    "eval__enable_fid": True,
    "eval__num_samples": 12,
    "eval__yardsticks": False,
}


def measured(workdir, **settings):
    """Images that --mode eval drew with a guidance, and their provenance."""
    guidance = {f"sampling__guidance__{name}": value for name, value in settings.items()}
    before = set(workdir.glob("eval/samples/*"))
    assert run("eval", workdir, **GUIDE, **CONDITIONAL, **EVAL, **guidance) == 0
    (folder,) = set(workdir.glob("eval/samples/*")) - before  # one of its own for every guidance
    parts = []
    for i in range(len(list(folder.glob("*.npz")))):
        with np.load(folder / f"{i}.npz") as stored:
            parts.append(stored["images"])
    found = files.read_json(workdir / "eval" / "quality.json")
    return np.concatenate(parts)[:12], Provenance.from_json(found["provenance"])


def averages_of_guide(workdir):
    config = build.resolve(configured(**GUIDE, **CONDITIONAL))
    task = tasks.guide_task(build.experiment(config), config)
    folder, mesh = workdir / "classifier", sharding.device_mesh()
    return workdirs.open_run(task, config, folder, mesh, must_exist=True).state.ema_params


def test_what_is_measured_is_guided_and_says_so(trained, tmp_path):
    workdir = shutil.copytree(trained, tmp_path / "copy")
    plain, unguided = measured(workdir)
    assert unguided.guidance is None
    nothing, _ = measured(workdir, method="classifier", scale=0.0)
    np.testing.assert_array_equal(nothing, plain)
    every, guided = measured(workdir, method="classifier_free", scale=2.0)
    one, of_one = measured(workdir, method="classifier_free", scale=2.0, image_class=1)
    # Classes in turn through all shards, of 4 images: those of class 1 are in the first and third.
    np.testing.assert_array_equal(every[[1, 11]], one[[1, 11]])
    assert (every != one).any() and (every != plain).any()
    settings = {"method": "classifier_free", "scale": 2.0, "interval": [0.0, 1.0]}
    assert guided.guidance == settings | {"image_class": None, "guide_hash": None}
    for one_of_both, other, said in (
        (guided, unguided, "classifier_free.* and None"),
        (guided, of_one, "'image_class': None.* and .*'image_class': 1"),
    ):
        with pytest.raises(ValueError, match=f"not comparable: guidance: .*{said}"):
            check_comparable(one_of_both, other)
    _, by_classifier = measured(workdir, method="classifier", scale=1.0)
    assert by_classifier.guidance["guide_hash"] == parameter_hash(averages_of_guide(workdir))


def test_the_report_shows_the_classifier_and_what_it_guided(trained, tmp_path):
    workdir = shutil.copytree(trained, tmp_path / "copy")
    assert (
        run(
            "sample",
            workdir,
            **GUIDE,
            **CONDITIONAL,
            **{"sampling__guidance__method": "classifier"},
        )
        == 0
    )
    assert run("report", workdir, **CONDITIONAL) == 0
    page = html_pages.Page((workdir / "report.html").read_text())
    assert "Classifier" in page.headings and "how often it is right, by time" in page.text
    assert "grid, guided by the classifier, step 2" in page.text
    found = files.read_json(workdir / "classifier" / "accuracy.json")
    for share, error in zip(found["accuracy"], found["standard_error"], strict=True):
        assert f"{share:.1%} ± {error:.1%}" in page.text
    for name in ("samples/grid_classifier_2.png", "classifier/accuracy.png"):
        with Image.open(workdir / name) as image:
            assert any(np.array_equal(np.asarray(image), shown) for shown in page.pictures)
