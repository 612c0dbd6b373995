"""Every variant of every config file builds, has the published size, and runs when reduced."""

import importlib
import json
from functools import partial

import commands
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from configs import common
from scoresde_jax import build, training
from scoresde_jax.likelihood.flow import value_and_divergence
from scoresde_jax.sde import ode_drift
from tests.golden import golden, published

FILES = sorted(commands.ROOT.glob("configs/*/*.py"))
COUNTS = json.loads((golden.HERE / "param_counts.json").read_text())["rows"]
SCORE_SDE, SCORE_FLOW, SIZES = published.tables()


def names(value):
    path, variant = value if isinstance(value, tuple) else (value, None)
    return "-".join(filter(None, (path.parent.name, path.stem, variant)))


def module(path):
    return importlib.import_module(f"configs.{path.parent.name}.{path.stem}")


ALL = [(path, variant) for path in FILES for variant in module(path).VARIANTS]


def test_there_is_a_file_for_every_sde_and_data_set():
    found = {(p.parent.name, p.stem) for p in FILES}
    wanted = {(s, d) for s in ("vp", "subvp", "ve") for d in ("digits", "emoji", "cifar10")}
    assert wanted | {("linear_ve", "digits")} <= found


@pytest.mark.parametrize("path", FILES, ids=names)
def test_default_and_unknown_variants(path):
    variants = module(path).VARIANTS
    default = module(path).get_config().to_dict()
    assert default == module(path).get_config("default").to_dict()
    with pytest.raises(ValueError) as error:
        module(path).get_config("defualt")
    assert "'defualt'" in str(error.value) and ", ".join(variants) in str(error.value)


@pytest.mark.parametrize("path", FILES, ids=names)
def test_docstring_names_every_variant_its_size_and_a_command(path):
    doc = module(path).__doc__
    assert f"--config {path.relative_to(commands.ROOT).as_posix()}" in doc
    assert set(module(path).VARIANTS) <= set(doc.split())
    for name, size in SIZES.items():
        file, _, variant = name.partition(":")
        if file == f"{path.parent.name}/{path.stem}":
            assert any(line.split()[:2] == [variant, f"{size:,}"] for line in doc.splitlines())


@pytest.mark.parametrize(("path", "variant"), ALL, ids=map(names, ALL))
def test_variant_builds(path, variant):
    config = build.resolve(module(path).get_config(variant))
    assert config.sde.name == path.parent.name and config.data.name == path.stem
    count = sum(np.prod(shape) for shape in published.shapes(config).values())
    if variant == "tiny":
        assert count < 100_000
        assert config.training.steps <= 100


def test_the_same_section_is_not_shared_between_configs():
    first, second = (module(FILES[0]).get_config() for _ in range(2))
    first.training.batch_size = 1
    assert second.training.batch_size != 1


@pytest.mark.parametrize("name", common.FLOWS)
def test_every_dequantization_flow_builds(name):
    config = importlib.import_module("configs.vp.imagenet_32").get_config()
    config.dequantizer = ConfigDict(common.FLOWS[name])
    network = build.dequantization_flow(config)
    x = jnp.zeros((1, 32, 32, 3))
    u, log_det = jax.eval_shape(network.init_with_output, jax.random.key(0), x, x)[0]
    assert u.shape == x.shape and log_det.shape == (1,)


def test_the_table_of_old_names_is_whole():
    assert set(SCORE_SDE) == set(COUNTS) and len(SCORE_SDE) == 39
    assert len(SCORE_FLOW) == 8 and len(SIZES) == 47


@pytest.mark.parametrize("old", SCORE_SDE)
def test_the_size_and_settings_of_score_sde(old):
    assert published.differences(old, COUNTS[old]) == []
    assert SIZES[SCORE_SDE[old]] == COUNTS[old]["params"]


@pytest.mark.parametrize("old", SCORE_FLOW)
def test_the_size_and_settings_of_score_flow(old):
    config = published.config(SCORE_FLOW[old])
    sizes = {True: 106_632_579, False: 61_804_419}
    ours = published.description(config)
    assert ours["params"] == SIZES[SCORE_FLOW[old]] == sizes["deep" in old]
    assert (ours["sde"], ours["ema"], ours["reduce_mean"]) == (
        f"{old.partition('/')[0]}sde",
        0.9999,
        True,
    )
    t_min = {"vp": (1e-5, 1e-3), "subvp": (1e-2, 1e-2)}[config.sde.name]
    assert config.sampling.method == "ode"
    assert (config.loss.t_min, config.sampling.ode.t_min) == t_min
    assert config.training.steps == (950_001 if "deep" in old else 1_300_001)
    assert config.data.flip == ("cifar10" in old)
    assert config.model.dropout == (0.1 if "cifar10" in old else 0.0)


# ------------------------------------------------------------------------------------ reduced runs


def reduced(name):
    """The config of a published variant, 8 pixels high, narrow, and with two levels."""
    config = published.config(name)
    config.data.image_size = 8
    config.model.features = 32 if config.model.name == "ddpm" else 8  # DDPM has 32 groups
    if "channel_multipliers" in config.model:
        config.model.channel_multipliers = config.model.channel_multipliers[:2]
        config.model.blocks_per_level = 1
        config.model.attention_resolutions = (4,)
    config.optimizer.warmup_steps = 0
    config.training.batch_size = config.sampling.batch_size = 2
    config.sampling.pc.update({"n": config.sampling.pc.steps, "steps": 1, "corrector_steps": 1})
    config.sampling.ode.update({"rtol": 1e3, "atol": 1e3})  # a step as long as it likes
    return config


def switches(config):
    """What tells one reduced variant from another: all but numbers that change no program."""
    numbers = ("n", "t_min", "classes", "dropout", "fourier_scale")
    kept = {
        section: {k: v for k, v in config[section].to_dict().items() if k not in numbers}
        for section in ("parameterization", "loss", "model")
    }
    kept["sampling"] = [config.sampling.pc.predictor, config.sampling.pc.corrector]
    kept["others"] = [config.sde.name, config.sampling.method, config.data.centered]
    return json.dumps(kept, sort_keys=True)


DISTINCT = {switches(reduced(name)): name for name in [*SCORE_SDE.values(), *SCORE_FLOW.values()]}


@pytest.mark.parametrize("name", sorted(DISTINCT.values()))
def test_reduced_variant_trains_samples_and_scores(name):
    config = reduced(name)
    experiment = build.experiment(config)
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (2, 8, 8, 3)).astype(np.uint8)
    shapes = jax.eval_shape(experiment.init_params, jax.random.key(0))
    params = jax.tree.map(lambda p: 0.1 * random.normal(size=p.shape).astype(np.float32), shapes)

    # Not compiled as a whole: one by one, and most operations are shared by all variants.
    key = jax.random.key(0)
    schedule, optimizer = build.optimizer(config, "optimizer", "training")
    state = training.create(jax.tree.map(jnp.asarray, params), optimizer)
    options = {"loss_fn": experiment.train_loss, "tx": optimizer, "ema_decay": 0.9}
    trained, metrics = training.train_step(state, key, images, **options)
    assert np.isfinite(metrics["loss"]) and metrics["grad_norm"] > 0
    moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), params, trained.params)
    # Adam's first step is the learning rate, whatever the gradient.
    rate = schedule(0)
    np.testing.assert_allclose(max(jax.tree.leaves(moved)), rate, rtol=1e-2)

    score_fn = experiment.score_fn(params)
    samples = experiment.sampler(key, score_fn, images.shape)
    assert np.isfinite(samples.x).all() and samples.converged.all()

    x, t = experiment.scale_eval(jax.random.split(key, 2), images), jnp.asarray([0.3, 0.9])
    drift = partial(ode_drift, experiment.sde, score_fn, t=t)
    value, divergence = value_and_divergence(drift, x, jnp.ones((1, *x.shape)))
    assert np.isfinite(value).all() and np.isfinite(divergence).all()
