"""Initial values, precision, and the resampling layers' choice of algorithm."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scoresde_jax.models.layers import (
    ACTIVATIONS,
    NIN,
    Combine,
    Downsample,
    Upsample,
    add,
    concat_channels,
    fan_avg_init,
)
from tests.golden.golden import relative_error

FIR = (1, 3, 3, 1)
X = jax.random.normal(jax.random.key(0), (2, 8, 8, 4))


@pytest.mark.parametrize("scale", [1.0, 0.1])
def test_initial_weights_are_uniform_of_fan_average(scale):
    w = fan_avg_init(scale)(jax.random.key(0), (3, 3, 64, 128))
    bound = np.sqrt(3 * scale / (9 * (64 + 128) / 2))
    assert float(jnp.abs(w).max()) == pytest.approx(bound, rel=1e-3)
    assert float(w.std()) == pytest.approx(bound / np.sqrt(3), rel=1e-2)  # 73,728 draws


def test_zero_init_is_small_but_not_zero():
    w = fan_avg_init(0.0)(jax.random.key(0), (3, 3, 8, 8))
    assert 0 < float(jnp.abs(w).max()) < 1e-5


def test_nin_is_a_matrix_per_pixel():
    found, variables = NIN(6).init_with_output(jax.random.key(0), X)
    expected = np.asarray(X).reshape(-1, 4) @ variables["params"]["W"]
    assert relative_error(found, expected.reshape(2, 8, 8, 6)) < 1e-6


def test_activations():
    u = jnp.array([-1.0, 2.0])
    expected = {
        "swish": u / (1 + jnp.exp(-u)),
        "elu": [np.expm1(-1), 2],
        "relu": [0, 2],
        "lrelu": [-0.2, 2],
    }
    assert expected.keys() == ACTIVATIONS.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(ACTIVATIONS[name](u), values, rtol=1e-6)


def test_rescaled_sum_keeps_variance():
    x, h = jax.random.normal(jax.random.key(1), (2, 10_000))
    assert float(add(x, h, rescale=True).var()) == pytest.approx(1, abs=0.05)  # sd 1.4 %
    assert float(add(x, h, rescale=False).var()) == pytest.approx(2, abs=0.1)


@pytest.mark.parametrize(("merge", "channels"), [(jnp.add, 4), (concat_channels, 8)])
def test_combine(merge, channels):
    y, _ = Combine(merge).init_with_output(jax.random.key(0), X[..., :1], X)
    assert y.shape == (2, 8, 8, channels)


@pytest.mark.parametrize("kernel", [(), FIR])
@pytest.mark.parametrize(("layer", "size"), [(Upsample, 16), (Downsample, 4)])
def test_resampling(layer, size, kernel):
    y, variables = layer(None, kernel).init_with_output(jax.random.key(0), X)
    assert (y.shape, variables) == ((2, size, size, 4), {})
    y, variables = layer(6, kernel).init_with_output(jax.random.key(0), X)
    assert y.shape == (2, size, size, 6)
    # The names of the 2021 checkpoints.
    names = {"Conv2d_0": {"weight", "bias"}} if kernel else {"Conv_0": {"kernel", "bias"}}
    assert {name: set(values) for name, values in variables["params"].items()} == names


@pytest.mark.parametrize("layer", [NIN(4), Upsample(4, FIR), Downsample(4), Combine(jnp.add)])
def test_half_precision_keeps_float32_parameters(layer):
    x = X.astype(jnp.bfloat16)
    inputs = (x, x) if isinstance(layer, Combine) else (x,)
    y, variables = layer.init_with_output(jax.random.key(0), *inputs)
    assert y.dtype == jnp.bfloat16
    assert {v.dtype for v in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
