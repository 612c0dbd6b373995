"""Couplings: the mixture's logit is exact into the tails; blocks are what their formulas say."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_parameters import quickly, random_parameters
from scipy.optimize import brentq
from scipy.special import expit, log_expit, logsumexp, softmax

from scoresde_jax.models.coupling import (
    GatedAttention,
    GatedConv,
    GatedStack,
    MixLogisticCoupling,
    initial_mixture,
    mix_logistic_logit,
    small_nin,
)

K = 5


mix = quickly(mix_logistic_logit)


def mixture(seed=0, width=1.0):
    """Log-weights, means and log-widths of one mixture, (K,) float64."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=K), 2 * rng.normal(size=K), width * rng.normal(size=K)


def exact(x, logits, means, log_widths):
    """The logit of F and its log-slope in float64; numbers that are (..., K) for x (...)."""
    log_weights = logits - logsumexp(logits)
    z = (x[..., None] - means) * np.exp(-log_widths)
    below = logsumexp(log_weights + log_expit(z), axis=-1)
    above = logsumexp(log_weights + log_expit(-z), axis=-1)
    pdf = logsumexp(log_weights + log_expit(z) + log_expit(-z) - log_widths, axis=-1)
    return below - above, pdf - below - above


def test_it_is_the_logit_of_the_mixture():
    logits, means, log_widths = mixture()
    x = np.linspace(-4, 4, 9)
    cdf = (softmax(logits) * expit((x[:, None] - means) / np.exp(log_widths))).sum(axis=1)
    found, _ = mix(x, logits, means, log_widths)
    np.testing.assert_allclose(found, np.log(cdf / (1 - cdf)), rtol=1e-4, atol=1e-5)  # float32


def test_slope_is_the_derivative():
    with jax.enable_x64(True):
        x = np.linspace(-6, 6, 13)
        both = quickly(
            jax.vmap(jax.jacfwd(lambda x: (mix_logistic_logit(x, *mixture()),) * 2, has_aux=True))
        )
        (slope, _), (_, log_slope) = both(x)
        np.testing.assert_allclose(log_slope, np.log(slope), rtol=1e-10)


@pytest.mark.parametrize("width", [1.0, 3.0])  # widths e^(+-1), e^(+-3)
def test_tails_in_float32(width):
    """Where F is 1 - 1e-40, a logarithm of a clipped F would be flat."""
    x = np.concatenate([-np.geomspace(0.1, 1000, 30), np.geomspace(0.1, 1000, 30)])
    numbers = [np.float32(n) for n in mixture(1, width)]
    value, slope = mix(np.float32(x), *numbers)
    expected = exact(np.float64(np.float32(x)), *[np.float64(n) for n in numbers])
    np.testing.assert_allclose(value, expected[0], rtol=1e-5, atol=1e-5)
    # A difference of logarithms as large as the value: float32 keeps 1e-7 of it.
    np.testing.assert_allclose(slope, expected[1], atol=1e-5 + 4e-7 * np.abs(expected[0]).max())


def test_one_standard_component_is_the_identity():
    x = np.linspace(-30, 30, 60, dtype=np.float32)
    value, slope = mix(x, *np.zeros((3, K), np.float32))
    np.testing.assert_allclose(value, x, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(slope, 0, atol=2e-5)  # sums of numbers up to 60


def test_it_is_undone_by_bisection():
    numbers = mixture(2)
    with jax.enable_x64(True):
        value = quickly(lambda x: mix_logistic_logit(x, *numbers)[0])
        for x in (-7.0, -0.3, 0.0, 2.5, 40.0):
            y = value(jnp.asarray(x))
            found = brentq(lambda guess, y=y: float(value(jnp.asarray(guess)) - y), -100, 100)
            np.testing.assert_allclose(found, x, atol=1e-9)


@pytest.mark.parametrize("components", [1, 2, 4, 32])
def test_the_first_mixture_has_the_moments_of_a_logistic(components):
    means, log_width = initial_mixture(components)
    assert len(set(means)) == components
    np.testing.assert_allclose(means.mean(), 0, atol=1e-7)
    variance = means.var() + np.exp(2 * log_width) * np.pi**2 / 3
    np.testing.assert_allclose(variance, np.pi**2 / 3, rtol=1e-6)


def normal(seed, shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


COUPLING = MixLogisticCoupling(filters=8, components=4, blocks=1, heads=0)
# Passing, moving, context; noise is logistic by the time that it is moved.
INPUTS = [1.8 * normal(i, (8, 2, 4, 2)) for i in range(3)]


def test_a_coupling_starts_near_the_identity():
    key = jax.random.key(0, impl="unsafe_rbg")  # threefry takes seconds to compile
    (moved, log_det), _ = quickly(COUPLING.init_with_output)(key, *INPUTS)
    # The mixture has the variance of the logistic, and less weight in its tails.
    np.testing.assert_allclose(moved, INPUTS[1], rtol=0.1, atol=0.02)
    np.testing.assert_allclose(log_det / INPUTS[1][0].size, 0, atol=0.05)
    means, log_width = initial_mixture(4)
    expected, log_slope = mix(INPUTS[1], np.zeros(4), means, np.full(4, log_width))
    # The last convolution starts at 1e-5 of others.
    np.testing.assert_allclose(moved, expected, atol=2e-4)
    np.testing.assert_allclose(log_det, log_slope.sum(axis=(1, 2, 3)), atol=2e-3)


def test_a_coupling_stays_finite_where_its_network_runs_away():
    """Widths that overflow and vanish, scales of e^30."""

    @quickly
    @jax.value_and_grad
    def total(params):
        moved, log_det = COUPLING.apply({"params": params}, *INPUTS)
        return jnp.sum(moved) + jnp.sum(log_det)

    value, slope = total(random_parameters(COUPLING, *INPUTS, scale=30.0))
    assert np.isfinite(value) and all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slope))


def concat_elu(x):
    x = np.concatenate([x, -x], axis=-1)
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))


def gate(x):
    a, b = np.split(x, 2, axis=-1)
    return a * expit(b)


def test_gated_convolution_of_one_pixel():
    """There a 3x3 convolution is the matrix at its centre."""
    x, context = normal(0, (2, 5, 1, 1, 6))
    block = GatedConv(small_nin)
    params = random_parameters(block, x, context)
    conv, inner, outer = params["Conv_0"], params["NIN_0"], params["NIN_1"]
    h = concat_elu(x) @ conv["kernel"][1, 1] + conv["bias"]
    h = h + concat_elu(context) @ inner["W"] + inner["b"]
    expected = x + gate(concat_elu(h) @ outer["W"] + outer["b"])
    found = quickly(block.apply)({"params": params}, x, context)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_gated_attention_head_by_head():
    heads, depth = 2, 3
    x, place = normal(0, (2, 2, 3, heads * depth)), normal(1, (2, 3, heads * depth))
    block = GatedAttention(heads)
    params = random_parameters(block, x, place, scale=1.0)
    qkv = (x + place) @ params["NIN_0"]["W"] + params["NIN_0"]["b"]
    q, k, v = np.split(qkv.reshape(2, 6, -1), 3, axis=-1)
    out = []
    for i in range(heads):
        own = slice(i * depth, (i + 1) * depth)
        logits = q[..., own] @ k[..., own].swapaxes(1, 2) / np.sqrt(depth)
        out.append(softmax(logits, axis=-1) @ v[..., own])
    out = np.concatenate(out, axis=-1).reshape(x.shape)
    expected = x + gate(out @ params["NIN_1"]["W"] + params["NIN_1"]["b"])
    found = quickly(block.apply)({"params": params}, x, place)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)  # logits up to 50


@pytest.mark.parametrize(("heads", "reaches"), [(0, False), (2, True)])
def test_attention_reaches_every_pixel(heads, reaches):
    """Two convolutions reach two pixels; attention all, and it knows which is which."""
    x = np.zeros((3, 1, 8, 2), np.float32)
    x[1, 0, 0] = x[2, 0, 1] = 1
    stack = GatedStack(4, 1, heads, small_nin)
    params = random_parameters(stack, x)
    blank, first, second = quickly(stack.apply)({"params": params}, x)[:, 0, -1]
    assert bool((blank != first).any()) == reaches
    assert bool((first != second).any()) == reaches


def test_convolutions_are_the_projects_own():
    """Those with the fast weight gradient on CPU; see `models/conv.py`."""
    params = random_parameters(COUPLING, *INPUTS)
    jaxpr = str(jax.make_jaxpr(lambda p: COUPLING.apply({"params": p}, *INPUTS))(params))
    assert jaxpr.count("conv_general_dilated[") == jaxpr.count("name=_chunked") == 3
