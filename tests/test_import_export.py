"""--mode import and export, as commands: what is brought in goes on as if it had been made here."""

import functools
import importlib
import os
import pickle
import shutil

import commands
import jax
import numpy as np
import pytest
import weight_files
from random_parameters import quickly

from scoresde_jax import build, files, interop, sharding, training

DIGITS = "configs/subvp/digits.py:tiny"
STEP = 7
WRITERS = {
    "jax": lambda path, w, shapes: weight_files.write_original(
        path, weight_files.original_state(w)
    ),
    "torch": lambda path, w, shapes: weight_files.write_zip(
        path, weight_files.port_checkpoint(w, shapes)
    ),
}


def arguments(workdir, mode, *more, config=DIGITS, **settings):
    options = commands.options(**settings)
    return "--config", config, "--mode", mode, "--workdir", str(workdir), *options, *more


def succeed(*args):
    code, message = commands.run(*args)
    assert code == 0, message
    return message


def tree(folder):
    """Every file of a folder with what is in it."""
    return {p: p.read_bytes() if p.is_file() else None for p in folder.rglob("*")}


def fail(workdir, *args):
    """Runs a command that a user's mistake ends; returns its message."""
    before = tree(workdir.parent)
    code, message = commands.run(*args)
    assert code == 2, message
    assert "Traceback" not in message and message.count("error:") == 1
    assert tree(workdir.parent) == before  # nothing made, nothing written over
    return message


def restored(workdir, config):
    """The newest state of a workdir, its step, and its position in the data."""
    experiment = build.experiment(config)
    _, optimizer = build.optimizer(config, "optimizer", "training")
    checkpoints = training.Checkpoints(workdir / "checkpoints")
    step = checkpoints.latest_step()
    assert step is not None
    shapes = jax.eval_shape(
        lambda key: training.create(experiment.init_params(key), optimizer),
        jax.random.key(0),
    )
    mesh = sharding.device_mesh(jax.devices()[:1])
    state = checkpoints.restore(step, shapes, sharding.replicated(mesh))
    position = checkpoints.meta(step)["data"]
    checkpoints.close()
    return jax.device_get(state), step, position


def assert_same_state(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.fixture(scope="module")
def brought():
    """Weights for the network of the tests, not quite random: small ones sample well."""
    experiment = build.experiment(commands.tiny_config("subvp"))
    shapes = interop.parameter_shapes(experiment.init_params)
    weights = weight_files.random_weights(shapes, step=STEP)
    small = jax.tree.map(lambda leaf: 0.1 * leaf, weights[1:3])
    return weights._replace(params=small[0], ema_params=small[1]), shapes


@pytest.fixture(scope="module")
def imported(brought, tmp_path_factory):
    """ "jax" or "torch" -> a workdir made of a file of that program, and the file."""

    @functools.cache
    def make(kind):
        folder = tmp_path_factory.mktemp(kind)
        source = WRITERS[kind](folder / "source", *brought)
        message = succeed(*arguments(folder / "run", "import", "--source", str(source)))
        assert message == ""  # nothing is lacking
        return folder / "run", source

    return make


@pytest.fixture
def copy(imported, tmp_path):
    """A copy of an imported workdir, to write into."""
    return shutil.copytree(imported("torch")[0], tmp_path / "copy")


# ------------------------------------------------------------------------------------- going on


@pytest.mark.parametrize("kind", WRITERS)
def test_an_imported_workdir_is_what_training_leaves(imported, brought, kind):
    workdir, _ = imported(kind)
    assert sorted(p.name for p in workdir.iterdir()) == ["checkpoints", "config.json"]
    config = commands.tiny_config("subvp")
    assert files.read_json(workdir / "config.json") == files.plain(config.to_dict())
    state, step, position = restored(workdir, config)
    assert step == state.step == STEP and position == {"next_index": STEP}
    count, mu, nu = training.adam_moments(state)
    found = interop.Weights(step, state.params, state.ema_params, count, mu, nu)
    weight_files.assert_same(found, brought[0])


def test_sampling_and_evaluating(copy):
    succeed(*arguments(copy, "sample", "--num_samples=4"))
    with np.load(copy / "samples" / f"pc_{STEP}.npz") as stored:
        assert stored["samples"].shape == (4, 8, 8, 1) and stored["converged"].all()
        assert len(np.unique(stored["samples"])) > 1
    succeed(*arguments(copy, "eval"))
    results = files.read_json(copy / "eval" / "results.json")
    assert results["checkpoint_step"] == STEP
    assert np.isfinite(results["bits_per_dim"]["mean"])


def test_a_step_of_training(copy):
    message = succeed(*arguments(copy, "train", training__steps=STEP + 1))
    assert f"going on from step {STEP}" in message
    before, _, _ = restored(copy, commands.tiny_config("subvp"))
    assert before.step == STEP + 1
    assert [row["step"] for row in training.read_records(copy)] == [STEP + 1]


def test_training_goes_on_as_if_it_had_never_left(tmp_path):
    """Export, import elsewhere, go on: bit for bit the run that stayed."""
    settings = {"optimizer__schedule": "constant", "training__log_every": 1}
    first, last = settings | {"training__steps": 2}, settings | {"training__steps": 4}
    stayed, left = tmp_path / "stayed", tmp_path / "left"
    succeed(*arguments(stayed, "train", **first))
    succeed(*arguments(stayed, "export", **first))
    export = stayed / "export" / "params_2.safetensors"
    succeed(*arguments(left, "import", "--source", str(export), **last))
    for workdir in (stayed, left):
        succeed(*arguments(workdir, "train", **last))
    config = commands.tiny_config("subvp", **last)
    (ours, step, position), (theirs, *_) = restored(left, config), restored(stayed, config)
    assert step == 4 and position == {"next_index": 4}
    assert_same_state(ours, theirs)


def test_import_and_export_and_import_are_lossless(copy, tmp_path):
    succeed(*arguments(copy, "export"))
    again = tmp_path / "again"
    source = copy / "export" / f"params_{STEP}.safetensors"
    succeed(*arguments(again, "import", "--source", str(source)))
    config = commands.tiny_config("subvp")
    assert_same_state(restored(again, config)[0], restored(copy, config)[0])


HALF = {"export__contents": "averages", "export__dtype": "float16"}


def test_averages_in_half_precision_go_on(copy, tmp_path):
    succeed(*arguments(copy, "export", **HALF))
    source = copy / "export" / f"params_{STEP}.safetensors"
    state, _, _ = restored(copy, commands.tiny_config("subvp"))
    numbers = sum(leaf.size for leaf in jax.tree.leaves(state.params))
    assert 2 * numbers < source.stat().st_size < 2 * numbers + 20_000  # names and the config

    again = tmp_path / "again"
    message = succeed(*arguments(again, "import", "--source", str(source)))
    assert f"{source} has no parameters; the averaged ones take their place" in message
    assert f"{source} has no optimiser moments; training goes on with fresh ones" in message
    came, step, _ = restored(again, commands.tiny_config("subvp"))
    rounded = jax.tree.map(lambda leaf: leaf.astype(np.float16).astype(np.float32), state)
    assert step == STEP
    assert_same_state(came.ema_params, rounded.ema_params)
    assert_same_state(came.params, rounded.ema_params)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"export__dtype": "float16"}, "set config.export.contents to 'averages'"),
        ({"export__contents": "average"}, "Did you mean 'averages'?"),
        (HALF | {"export__dtype": "float8"}, "config.export.dtype is 'float8'; known: float32"),
    ],
)
def test_an_export_that_is_none(copy, settings, message):
    assert message in fail(copy, *arguments(copy, "export", **settings))


# ------------------------------------------------------------------------------------- golden files

OF_2021 = {  # of the tests' NCSN++ networks, on 32 pixels, where half the size is 16
    "model__features": 8,
    "model__channel_multipliers": (1, 1),
    "model__blocks_per_level": 1,
    "model__attention_resolutions": (16,),
}
NCSNPP = OF_2021 | {
    "data__centered": False,
    "model__fir": True,
    "model__progressive_input": "residual",
}


@pytest.mark.parametrize(
    ("sde", "name", "settings", "source"),
    [
        ("vp", "ddpmpp_vp", OF_2021, weight_files.jax_file),
        ("ve", "ncsnpp_ve", NCSNPP, weight_files.torch_file),
    ],
)
def test_the_score_is_that_of_2021(tmp_path, sde, name, settings, source):
    """From the file to the score, with all that a config says about the network."""
    succeed(
        *arguments(
            tmp_path / "run",
            "import",
            f"--source={source(name)}",
            config=f"configs/{sde}/emoji.py",
            **settings,
        )
    )
    config = importlib.import_module(f"configs.{sde}.emoji").get_config()
    config.update_from_flattened_dict(
        {key.replace("__", "."): value for key, value in (commands.SMALL | settings).items()}
    )
    config = build.resolve(config)
    experiment = build.experiment(config)
    state, _, _ = restored(tmp_path / "run", config)
    with np.load(weight_files.GOLDEN / f"{name}.npz") as golden:
        x, label, output = golden["x"], golden["cond"], golden["out_ema"]
    if sde == "vp":
        t = label / 999
        wanted = -output / np.asarray(experiment.sde.marginal(x, t)[1])[:, None, None, None]
    else:
        low, high = config.sde.sigma_min, config.sde.sigma_max
        t, wanted = np.log(label / low) / np.log(high / low), output
    # On 8 pixels the level with attention has 4; parameters do not know the size.
    network = experiment.network.clone(attention_resolutions=(4,))
    score_fn = quickly(experiment._replace(network=network).score_fn(state.ema_params))
    error = np.abs(score_fn(x, t) - wanted).max(axis=(1, 2, 3))
    # The labels went through t; sines of 2 pi 16 log sigma feel the rounding.
    assert (error < 1e-4 * np.abs(wanted).max(axis=(1, 2, 3))).all()


# ------------------------------------------------------------------------------------- mistakes


def test_a_workdir_that_has_a_checkpoint(copy, imported):
    message = fail(copy, *arguments(copy, "import", "--source", str(imported("jax")[1])))
    assert f"{copy} has a checkpoint already, of step {STEP}; name another --workdir" in message


def test_a_workdir_that_is_a_file(imported, tmp_path):
    (tmp_path / "run").write_text("mine")
    args = arguments(tmp_path / "run", "import", "--source", str(imported("jax")[1]))
    assert "is not a folder" in fail(tmp_path / "run", *args)


def test_a_config_of_another_network(imported, tmp_path):
    args = arguments(
        tmp_path / "run", "import", f"--source={imported('jax')[1]}", model__features=16
    )
    message = fail(tmp_path / "run", *args)
    assert "Dense_0/kernel is (16, 64) in the network and (8, 32) in the file" in message
    assert " more. Choose the config, variant" in message


def test_an_export_of_another_model(copy):
    succeed(*arguments(copy, "export"))
    source = copy / "export" / f"params_{STEP}.safetensors"
    again = copy.parent / "again"
    more = ("--config.sde.beta_max=10.0", f"--source={source}")
    message = fail(again, *arguments(again, "import", *more))
    assert (
        f"{source} holds weights of another model: config.sde.beta_max is 10.0, was 20.0" in message
    )
    assert "it was exported with" in message


class Evil:
    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return os.system, (f"touch {self.canary}",)


def damaged(folder, kind, source):
    """A file to be refused, and what the message must hold."""
    path, content = folder / "damaged", source.read_bytes()
    match kind:
        case "missing":
            return path, ["cannot be read: No such file"]
        case "unknown":
            path.write_bytes(b"text")
            return path, ["its format is unknown", "score_sde_pytorch", "--mode export"]
        case "truncated":
            path.write_bytes(content[: len(content) // 2])
            return path, ["is truncated or damaged"]
        case "hostile":
            path.write_bytes(pickle.dumps(Evil(folder / "canary"), 4))
            return path, [f"asks for '{os.name}.system'", "nothing was run"]
        case "hostile zip":
            program = pickle.dumps({"model": Evil(folder / "canary")}, 2)
            weight_files.write_entries(path, {"data.pkl": program})
            return path, [f"asks for '{os.name}.system'", "nothing was run"]
    raise ValueError(kind)


@pytest.mark.parametrize("kind", ["missing", "unknown", "truncated", "hostile", "hostile zip"])
@pytest.mark.parametrize("program", WRITERS)
def test_a_file_that_is_refused(imported, tmp_path, kind, program):
    source, parts = damaged(tmp_path, kind, imported(program)[1])
    workdir = tmp_path / "run"
    message = fail(workdir, *arguments(workdir, "import", f"--source={source}"))
    for part in [str(source), *parts]:
        assert part in message
    assert not (tmp_path / "canary").exists()


def test_weights_that_diverged(brought, tmp_path):
    weights, shapes = brought
    broken = jax.tree.map(lambda leaf: np.full_like(leaf, np.nan), weights.params)
    source = WRITERS["jax"](tmp_path / "source", weights._replace(params=broken), shapes)
    message = fail(tmp_path / "run", *arguments(tmp_path / "run", "import", f"--source={source}"))
    assert "hold NaN or infinity" in message


def test_what_is_lacking_is_said(brought, tmp_path):
    weights, _ = brought
    state = weight_files.original_state(weights)
    del state["optimizer"]
    source = weight_files.write_original(tmp_path / "source", state)
    message = succeed(*arguments(tmp_path / "run", "import", f"--source={source}"))
    assert f"{source} has no optimiser moments; training goes on with fresh ones" in message
    state, _, _ = restored(tmp_path / "run", commands.tiny_config("subvp"))
    assert_same_state(state.params, state.ema_params)
    adam = state.opt_state[1][0]
    schedule = state.opt_state[1][2]
    assert (state.step, adam.count, schedule.count) == (STEP, 0, STEP)
    assert not any(leaf.any() for leaf in jax.tree.leaves((adam.mu, adam.nu)))
