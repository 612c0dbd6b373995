"""From config sections to objects, and what is said of a mistake in one."""

import commands
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scoresde_jax import build
from scoresde_jax.build import samplers
from scoresde_jax.sampling import identity
from tests.golden import published


def config(sde="subvp", **settings):
    return commands.tiny_config(sde, **settings)


MISTAKES = {
    "sde__name": "subv",
    "parameterization__name": "vp_continous",
    "loss__name": "dms",
    "loss__times": "unifrom",
    "loss__weighting": "varience",
    "loss__reduction": "meen",
    "model__name": "ncsnp",
    "model__dtype": "float",
    "sampling__method": "pcc",
    "sampling__pc__predictor": "euler_maryama",
    "sampling__pc__corrector": "langevine",
    "likelihood__probe": "rademacer",
    "optimizer__schedule": "cosin",
}


@pytest.mark.parametrize(("where", "name"), MISTAKES.items(), ids=MISTAKES)
def test_every_name_of_a_config_is_checked(where, name):
    with pytest.raises(ValueError) as error:
        build.experiment(config(**{where: name}))
    message = str(error.value)
    assert f"config.{where.replace('__', '.')} is {name!r}" in message
    assert "known: " in message and "Did you mean" in message


@pytest.mark.parametrize(
    ("sde", "where", "name", "defined_for"),
    [
        ("subvp", "sampling__pc__predictor", "ancestral", "ve, vp"),
        ("subvp", "parameterization__name", "ve_continuous", "ve"),
        ("ve", "parameterization__name", "vp_continuous", "vp, subvp, linear_ve"),
        ("vp", "parameterization__name", "ncsn", "ve"),
        ("linear_ve", "sampling__pc__predictor", "ancestral", "ve, vp"),
        ("ve", "loss__name", "ddpm", "vp"),
        ("vp", "loss__name", "smld", "ve"),
    ],
)
def test_choices_that_do_not_go_together(sde, where, name, defined_for):
    with pytest.raises(ValueError) as error:
        build.experiment(config(sde, **{where: name}))
    message = str(error.value)
    assert f"config.{where.replace('__', '.')} is {name!r}" in message
    assert f"defined for {defined_for} " in message and f"config.sde.name {sde!r}" in message


@pytest.mark.parametrize(
    "key", ["steps", "batch_size", "microbatches", "n_jitted_steps", "log_every"]
)
def test_counts_below_one(key):
    with pytest.raises(ValueError, match=rf"config\.training\.{key} is 0; it must be >= 1"):
        build.experiment(config(**{f"training__{key}": 0}))


def test_numbers_are_looked_at_in_modes_that_build_no_network():
    with pytest.raises(ValueError, match=r"config\.classifier\.epochs is 0; it must be >= 1"):
        build.resolve(commands.raw_config("subvp", classifier__epochs=0))


def test_microbatches_divide_the_batch():
    with pytest.raises(ValueError) as error:
        build.experiment(config(training__batch_size=12, training__microbatches=5))
    assert "config.training.microbatches is 5" in str(error.value)
    assert "config.training.batch_size 12" in str(error.value)


# ------------------------------------------------------------------------------------- sections


def test_resolve_fills_in_and_leaves_the_original_alone():
    raw = commands.raw_config("subvp")
    resolved = build.resolve(raw)
    assert raw.training.n_jitted_steps is None
    assert resolved.training.n_jitted_steps == 1  # these tests run on CPUs
    assert build.resolve(resolved).to_dict() == resolved.to_dict()
    raw.training.n_jitted_steps = 7
    assert build.resolve(raw).training.n_jitted_steps == 7


@pytest.mark.parametrize(
    ("where", "value"), [("data__image_size", 9), ("data__channels", 3), ("data__levels", 16)]
)
def test_data_of_another_shape(where, value):
    with pytest.raises(ValueError) as error:
        build.dataset(config(**{where: value}), "train")
    message = str(error.value)
    assert "'digits'" in message and "(8, 8, 1) and 17 levels" in message
    assert str(value) in message and "config.data.image_size" in message


def test_splits_of_the_data():
    assert len(build.dataset(config(), "train").images) == 1500
    assert len(build.dataset(config(), "test").images) == 297


def pc(sde, **settings):
    """The predictor-corrector sampler of a config, options bound."""
    section = config(sde, **settings).sampling.pc
    return samplers._pc(dict(section), build.experiment(config(sde)).sde)


def test_corrector_identity_takes_no_options():
    """`n`, `snr` and `corrector_steps` of the section are for the moves that have them."""
    sampler = pc("subvp", sampling__pc__corrector="identity")
    assert sampler.keywords["corrector"] is identity
    sampler = pc("ve", sampling__pc__corrector="langevin", sampling__pc__snr=0.2)
    assert sampler.keywords["corrector"].keywords["snr"] == 0.2
    assert sampler.keywords["predictor"].keywords == {"n": 2}  # as many as steps
    sampler = pc("ve", sampling__pc__n=1000)
    assert sampler.keywords["predictor"].keywords == {"n": 1000}
    assert sampler.keywords["steps"] == 2


# ------------------------------------------------------------------------------------- scaling


@pytest.mark.parametrize(
    ("sde", "centered", "scale"), [("vp", True, 2 / 17), ("ve", False, 1 / 17)]
)
def test_data_scale_is_the_slope_of_the_scaling(sde, centered, scale):
    """One level more is data_scale more in x, so bits/dim counts 17 levels."""
    experiment = build.experiment(config(sde, data__centered=centered))
    assert experiment.data_scale == pytest.approx(scale)
    images = np.arange(17, dtype=np.uint8).reshape(17, 1, 1, 1)
    key = jax.random.split(jax.random.key(0), 1)
    keys = jnp.repeat(key, 17)  # the same noise for all
    x = np.ravel(experiment.scale_eval(keys, images))
    np.testing.assert_allclose(np.diff(x), scale, rtol=1e-4)
    low, high = (-1, 1) if centered else (0, 1)
    assert low < x.min() < low + scale and high - scale < x.max() < high


@pytest.mark.parametrize("centered", [True, False])
@pytest.mark.parametrize("dequantize", [True, False])
@pytest.mark.parametrize("levels", [17, 256])
def test_pixels_of_data_are_the_levels_correctly_rounded(levels, dequantize, centered):
    experiment = build.experiment(
        config(data__levels=levels, data__dequantize=dequantize, data__centered=centered)
    )
    images = np.arange(levels, dtype=np.uint8).reshape(levels, 1, 1, 1)
    keys = jax.random.split(jax.random.key(0), levels)
    pixels = np.ravel(experiment.to_pixels(experiment.scale_train(keys, images)))
    exact = [(2 * 255 * v + levels - 1) // (2 * (levels - 1)) for v in range(levels)]
    np.testing.assert_array_equal(pixels, exact)
    assert pixels.dtype == np.uint8


@pytest.mark.parametrize("levels", [17, 256])
@pytest.mark.parametrize("dequantize", [True, False])
def test_pixels_outside_the_data_are_clipped(levels, dequantize):
    experiment = build.experiment(config(data__levels=levels, data__dequantize=dequantize))
    assert experiment.to_pixels(jnp.array([-3.0, -1.01, 1.01, 3.0])).tolist() == [0, 0, 255, 255]


def test_nearest_level_is_taken_where_training_did_not_dequantize():
    experiment = build.experiment(config(data__levels=256, data__dequantize=False))
    v = np.array([0.0, 0.4, 0.6, 127.4, 127.6, 254.6])
    assert experiment.to_pixels(jnp.array(2 * v / 255 - 1)).tolist() == [0, 0, 1, 127, 128, 255]


def test_flips_are_in_training_only():
    experiment = build.experiment(config(data__flip=True, data__dequantize=False))
    images = np.arange(17, dtype=np.uint8)[:2].reshape(1, 1, 2, 1).repeat(64, axis=0)
    keys = jax.random.split(jax.random.key(0), 64)
    trained = np.asarray(experiment.scale_train(keys, images))[:, 0, :, 0]
    flipped = trained[:, 0] > trained[:, 1]
    assert 16 < flipped.sum() < 48  # 64 fair coins: 4 standard deviations
    scored = np.asarray(experiment.scale_eval(keys, images))[:, 0, :, 0]
    assert (scored[:, 0] < scored[:, 1]).all()


# ------------------------------------------------------------------------------------- score


class Network:
    """A network that shows what it was given, and in which mode."""

    def __init__(self):
        self.seen = []

    def apply(self, variables, x, label, *, train, rngs):
        self.seen.append((x, label, train, rngs))
        return variables["params"] * jnp.ones_like(x)


@pytest.mark.parametrize(
    ("sde", "centered", "label"), [("vp", True, 999 * 0.25), ("subvp", True, 999 * 0.25)]
)
def test_score_binds_label_scale_and_input(sde, centered, label):
    network = Network()
    experiment = build.experiment(config(sde, data__centered=centered))._replace(network=network)
    x, t = jnp.full((2, 1, 1, 1), 0.3), jnp.array([0.25, 1.0])
    score = experiment.score_fn(jnp.float32(0.5))(x, t)
    seen_x, seen_label, train, rngs = network.seen[0]
    _, std = experiment.sde.marginal(jnp.zeros((2,)), t)
    np.testing.assert_allclose(np.ravel(score), -0.5 / std, rtol=1e-6)
    np.testing.assert_allclose(seen_label, [label, 999], rtol=1e-6)
    np.testing.assert_array_equal(seen_x, x)
    assert train is False and rngs == {}


def test_score_of_ve_data_in_0_1():
    network = Network()
    experiment = build.experiment(config("ve", data__centered=False))._replace(network=network)
    score = experiment.score_fn(jnp.float32(0.5))(jnp.full((1, 1, 1, 1), 0.3), jnp.array(0.5))
    sigma = np.sqrt(0.01 * experiment.sde.sigma_max)  # geometric, half way
    np.testing.assert_allclose(np.ravel(score), 0.5 / sigma, rtol=1e-5)
    np.testing.assert_allclose(network.seen[0][1], sigma, rtol=1e-5)
    np.testing.assert_allclose(network.seen[0][0], 2 * 0.3 - 1, rtol=1e-6)  # centred on its way in


def test_dropout_is_on_in_training_and_off_in_evaluation():
    network = Network()
    experiment = build.experiment(config())._replace(network=network)
    images = np.zeros((2, 8, 8, 1), np.uint8)
    params, keys = jnp.float32(0.5), jax.random.split(jax.random.key(0), 2)
    jax.eval_shape(experiment.train_loss, params, keys[0], images)
    assert network.seen[-1][2] is True and set(network.seen[-1][3]) == {"dropout"}
    jax.eval_shape(experiment.eval_loss, params, keys, images)
    assert network.seen[-1][2] is False


def test_evaluation_loss_of_an_image_depends_on_its_own_key_only():
    experiment = build.experiment(config())._replace(network=Network())
    images = build.dataset(config(), "test").images[:4]
    keys = jax.random.split(jax.random.key(0), 4)
    loss = jax.jit(experiment.eval_loss, compiler_options=commands.COMPILER)
    whole = loss(jnp.float32(0.5), keys, images)
    alone = loss(jnp.float32(0.5), keys[2:3], images[2:3])
    np.testing.assert_allclose(whole[2], alone[0], rtol=1e-5)
    assert len(np.unique(whole)) == 4


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_dtype_of_the_network(dtype):
    experiment = build.experiment(config(model__dtype=dtype))
    assert experiment.network.dtype == jnp.dtype(dtype)


def test_importance_and_likelihood_weighting_would_weight_twice():
    with pytest.raises(ValueError, match="config.loss.times and config.loss.weighting are both"):
        build.experiment(config(loss__times="likelihood", loss__weighting="likelihood"))


def test_levels_of_a_discrete_model_agree():
    def ncsn(**changes):
        raw = published.config("ve/cifar10:ncsn")
        for section, key, value in changes.values():
            raw[section][key] = value
        return raw

    build.experiment(ncsn())
    with pytest.raises(ValueError, match=r"config.parameterization.n is 10 and config.loss.n is 9"):
        build.experiment(ncsn(a=("loss", "n", 9)))
    with pytest.raises(ValueError, match=r"config.model.classes is 11, but .* is 10"):
        build.experiment(ncsn(a=("model", "classes", 11)))
