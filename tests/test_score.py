"""Every row of the parameterisation table, and guidance whose answer is known."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gaussian import every_sde

from scoresde_jax.score import (
    as_is,
    guide,
    make_score_fn,
    ncsn,
    to_centered,
    ve_continuous,
    ve_discrete,
    vp_continuous,
    vp_discrete,
)
from scoresde_jax.sde import VESDE, VPSDE, LinearVESDE, SubVPSDE

T = np.asarray([1e-3, 0.2, 0.505, 0.9, 1.0], np.float32)
N = 10
B = 0.1 * T.astype(np.float64) + 19.9 * T.astype(np.float64) ** 2 / 2  # integral of beta to T
SIGMA = 0.01 * 5000.0 ** T.astype(np.float64)
SIGMAS = np.geomspace(50.0, 0.01, N)  # largest first, as its labels count
ALPHA_BAR = np.cumprod(1 - np.linspace(0.1, 20.0, N) / N / 4)  # N = 10 steps need a smaller beta
LEVEL = np.rint((1 - T) * (N - 1)).astype(int)
STEP = np.floor(T * (N - 1)).astype(int)

# name: row, labels, scales (the table of docs: what the 2021 code passes and divides by)
ROWS = {
    "vp continuous": (vp_continuous(VPSDE()), 999 * T, -1 / np.sqrt(-np.expm1(-B))),
    "sub-vp continuous": (vp_continuous(SubVPSDE()), 999 * T, -1 / -np.expm1(-B)),
    "ve continuous": (ve_continuous(VESDE()), SIGMA, 1 / SIGMA),
    "vp discrete": (
        vp_discrete(VPSDE(0.1 / 4, 20.0 / 4), n=N),
        T * (N - 1),
        -1 / np.sqrt(1 - ALPHA_BAR[STEP]),
    ),
    "ve discrete": (ve_discrete(VESDE(), n=N), LEVEL, 1 / SIGMAS[LEVEL]),
    "ncsn": (ncsn(VESDE(), n=N), LEVEL, np.ones(T.size)),
    "linear ve": (vp_continuous(LinearVESDE(7.0)), 999 * T, -1 / (7.0 * T)),
}


class Recorder:
    """A network whose output is the constant 0.7, and which keeps what it was asked."""

    def __call__(self, x, label):
        self.x, self.label = x, label
        return jnp.full_like(x, 0.7)


@pytest.mark.parametrize("row, labels, scales", ROWS.values(), ids=ROWS)
def test_row_gives_its_labels_and_scales(row, labels, scales):
    network = Recorder()
    x = jnp.ones((T.size, 2, 2, 1))
    score = make_score_fn(row, network)(x, jnp.asarray(T))
    # Float32 against float64; powers of 5000 multiply the rounding of their exponent.
    np.testing.assert_allclose(network.label, labels, rtol=1e-5)
    np.testing.assert_array_equal(network.x, x)
    expected = np.broadcast_to(0.7 * scales[:, None, None, None], x.shape)
    np.testing.assert_allclose(score, expected, rtol=1e-5)


ROW_MAKERS = {
    "vp continuous": partial(vp_continuous, VPSDE()),
    "ve continuous": partial(ve_continuous, VESDE()),
    "vp discrete": partial(vp_discrete, VPSDE(), n=100),
    "ve discrete": partial(ve_discrete, VESDE(), n=100),
}


@pytest.mark.parametrize("row", ROW_MAKERS.values(), ids=ROW_MAKERS)
@pytest.mark.parametrize("scale", [as_is, to_centered])
def test_network_sees_its_input_scale_and_one_time_per_example(row, scale):
    network = Recorder()
    x = jnp.asarray([[0.0, 1.0], [0.5, 0.25], [0.0, 0.0]])
    score_fn = make_score_fn(row(input=scale), network)
    one = score_fn(x, jnp.asarray(0.3))
    np.testing.assert_allclose(network.x, {as_is: x, to_centered: 2 * x - 1}[scale])
    assert network.label.shape == (3,)
    np.testing.assert_array_equal(one, score_fn(x, jnp.full(3, 0.3)))


def test_skip_adds_a_multiple_of_x():
    row = vp_continuous(VPSDE())._replace(skip=lambda t: 3 * t)
    x = jnp.ones((2, 3))
    score = make_score_fn(row, lambda x, label: jnp.zeros_like(x))(x, jnp.asarray([1.0, 2.0]))
    np.testing.assert_allclose(score, [[3.0] * 3, [6.0] * 3])


@pytest.mark.parametrize("kind", ["vp", "ve"])
def test_noise_predictor_is_the_score_of_a_point(kind):
    # VP networks predict the noise z, VE networks its negative: the signs of the two scales.
    sde, row, sign = {
        "vp": (VPSDE(), vp_continuous, 1),
        "ve": (VESDE(), ve_continuous, -1),
    }[kind]
    t = jnp.asarray([0.1, 0.8])
    x0, z = jnp.asarray([[0.3], [-0.5]]), jnp.asarray([[1.2], [-0.4]])
    mean, std = sde.marginal(x0, t)
    score = make_score_fn(row(sde), lambda x, label: sign * z)(mean + std[:, None] * z, t)
    log_density = lambda x: jnp.sum(-0.5 * ((x - mean) / std[:, None]) ** 2)  # noqa: E731
    expected = jax.grad(log_density)(mean + std[:, None] * z)
    # x - mean cancels: float32 at |mean| / std.
    np.testing.assert_allclose(score, expected, rtol=2e-5)


@every_sde
def test_guide_with_a_constant_changes_nothing(sde):
    x = jax.random.normal(jax.random.key(0), (3, 2, 2, 1))
    t = jnp.asarray([0.1, 0.5, 1.0])
    score_fn = lambda x, t: -x / (1 + sde.diffusion(t)[:, None, None, None])  # noqa: E731
    guided = guide(score_fn, lambda x, t: jnp.full(x.shape[0], -3.0))
    np.testing.assert_array_equal(guided(x, t), score_fn(x, t))


def test_guide_with_a_gaussian_likelihood_gives_the_posterior():
    # x ~ N(0, v) and y = x + N(0, r): x | y ~ N(y v / (v + r), v r / (v + r)).
    v, r, y = 1.5, 0.4, 0.9
    x = jax.random.normal(jax.random.key(0), (4, 3))
    likelihood = lambda x, t: -0.5 * jnp.sum((y - x) ** 2, axis=-1) / r  # noqa: E731
    posterior = guide(lambda x, t: -x / v, likelihood)(x, jnp.zeros(4))
    expected = -(x - y * v / (v + r)) * (v + r) / (v * r)
    np.testing.assert_allclose(posterior, expected, rtol=1e-5, atol=1e-5)
