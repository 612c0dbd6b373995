"""The norms equal the 2021 code's; GroupNorm survives a large mean and refuses odd splits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scoresde_jax.models.normalization import (
    GroupNorm,
    InstanceNorm2d,
    InstanceNorm2dPlus,
    VarianceNorm2d,
)
from tests.golden.golden import load, relative_error

TOLERANCE = 1e-5  # float32 sums in another order give about 1e-6


def test_group_norm():
    golden = load("b_layers/groupnorm")
    params = {name: value.ravel() for name, value in golden.params.items()}
    x = golden.arrays["input0"]
    found = GroupNorm(4).apply({"params": params}, x)
    assert relative_error(found, golden.arrays["out"]) < TOLERANCE


@pytest.mark.parametrize(
    ("name", "norm"),
    [("norm_instance", InstanceNorm2d()), ("norm_instancepp", InstanceNorm2dPlus())],
)
def test_instance_norms(name, norm):
    golden = load(f"b_layers/{name}")
    found = norm.apply({"params": golden.params}, golden.arrays["input0"])
    assert relative_error(found, golden.arrays["out"]) < TOLERANCE


def test_variance_norm():
    golden = load("b_layers/norm_variance")
    params = {"scale": golden.params["scale"]}
    found = VarianceNorm2d().apply({"params": params}, golden.arrays["input0"])
    # The layer was recorded with a bias, which no network of 2021 gives it.
    expected = golden.arrays["out"] - golden.params["bias"]
    assert relative_error(found, expected) < TOLERANCE


def test_group_norm_keeps_precision_far_from_zero():
    x = 100.0 + jax.random.normal(jax.random.key(0), (2, 8, 8, 8))
    found, _ = GroupNorm(2).init_with_output(jax.random.key(0), x)
    exact = np.asarray(x, np.float64).reshape(2, 64, 2, 4)
    exact = (exact - exact.mean((1, 3), keepdims=True)) / exact.std((1, 3), keepdims=True)
    # float32 resolves 1e-5 at 100; E[x^2] - E[x]^2 would be off by 1e-3.
    assert relative_error(found, exact.reshape(x.shape)) < 5e-5


def test_group_norm_of_half_precision():
    found, variables = GroupNorm(2).init_with_output(
        jax.random.key(0), jnp.ones((1, 4, 4, 8), jnp.bfloat16)
    )
    assert found.dtype == jnp.bfloat16
    assert {v.dtype for v in jax.tree.leaves(variables)} == {jnp.dtype("float32")}


def test_derivatives_of_group_norm():
    """Its rule of differentiation, forward and transposed, against that of the plain formula."""

    def plain(x):
        h = x.reshape(2, 9, 2, 4)
        mean = h.mean(axis=(1, 3), keepdims=True)
        variance = jnp.square(h - mean).mean(axis=(1, 3), keepdims=True)
        return ((h - mean) / jnp.sqrt(variance + 1e-6)).reshape(x.shape)

    x, v = 3 + jax.random.normal(jax.random.key(0), (2, 2, 3, 3, 8))
    norm = lambda x: GroupNorm(2).init_with_output(jax.random.key(0), x)[0]  # noqa: E731
    for transform in (
        lambda f: jax.jvp(f, (x,), (v,))[1],
        lambda f: jax.vjp(f, x)[1](v)[0],
        lambda f: jax.jvp(jax.grad(lambda x: jnp.sum(f(x) ** 3)), (x,), (v,))[1],
    ):
        np.testing.assert_allclose(transform(norm), transform(plain), rtol=1e-3, atol=1e-4)


def test_uneven_groups():
    with pytest.raises(ValueError, match="splits 6 channels into 4 groups"):
        GroupNorm(4).init(jax.random.key(0), jnp.ones((1, 2, 2, 6)))
