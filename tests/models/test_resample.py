"""Resampling equals the 2021 code's, and does to constants and kernels what its docstrings say."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scoresde_jax.models.resample import (
    conv_downsample,
    fir_downsample,
    fir_upsample,
    mean_downsample,
    nearest_upsample,
    upfirdn,
    upsample_conv,
)
from tests.golden.golden import load, relative_error

TOLERANCE = 1e-5  # float32 sums in another order give about 1e-6
FIR = load("j_updown/fir")
FUNCTIONS = {
    "upsample_2d": lambda x, w, kernel, factor: fir_upsample(x, kernel, factor),
    "downsample_2d": lambda x, w, kernel, factor: fir_downsample(x, kernel, factor),
    "upsample_conv_2d": upsample_conv,
    "conv_downsample_2d": conv_downsample,
}


def golden_kernel(name, factor):
    kernel = FIR.meta["config"]["kernels"][name]
    if kernel is None:
        return (1,) * factor
    return FIR.arrays[kernel] if isinstance(kernel, str) else kernel


def settings(key):
    """'name/kernel/factor=2/gain=1' -> name, kernel, {setting: value}."""
    parts = key.split("/")
    numbers = {part.split("=")[0]: float(part.split("=")[1]) for part in parts if "=" in part}
    return parts, {name: int(v) if v.is_integer() else v for name, v in numbers.items()}


@pytest.mark.parametrize("key", [k for k in FIR.arrays if "factor=" in k])
def test_filters(key):
    (function, kernel, *_), numbers = settings(key)
    factor = numbers["factor"]
    resample = partial(FUNCTIONS[function], kernel=golden_kernel(kernel, factor), factor=factor)
    # The original's gain multiplies the kernel; every step is linear.
    found = numbers["gain"] * jax.jit(resample)(FIR.arrays["x"], FIR.arrays["w"])
    assert relative_error(found, FIR.arrays[key]) < TOLERANCE


@pytest.mark.parametrize("key", [k for k in FIR.arrays if k.startswith("upfirdn")])
@pytest.mark.parametrize("as_outer", [False, True])
def test_upfirdn(key, as_outer):
    _, n = settings(key)
    taps = np.array([0.1, 0.2, 0.3, 0.4], np.float32)
    kernel = np.outer(taps, taps) if as_outer else taps
    resample = partial(
        upfirdn, kernel=kernel, up=n["up"], down=n["down"], pad=(n["pad0"], n["pad1"])
    )
    found = jax.jit(resample)(FIR.arrays["x"])
    assert relative_error(found, FIR.arrays[key]) < TOLERANCE


def test_nearest_and_mean():
    x = FIR.arrays["x"]
    assert relative_error(nearest_upsample(x), FIR.arrays["naive_upsample_2d"]) < TOLERANCE
    assert relative_error(mean_downsample(x), FIR.arrays["naive_downsample_2d"]) < TOLERANCE


@pytest.mark.parametrize("kernel", [(1, 3, 3, 1), (1, 4, 6, 4, 1)])
def test_constants_keep_their_value(kernel):
    x = jnp.full((1, 8, 8, 1), 3.0)
    for resample in fir_upsample, fir_downsample:
        y = jax.jit(partial(resample, kernel=kernel))(x)
        inside = y[:, 2:-2, 2:-2] if y.shape[1] > 8 else y[:, 1:-1, 1:-1]
        np.testing.assert_allclose(inside, 3.0, rtol=TOLERANCE)


def test_up_then_down_keeps_the_mean():
    x = FIR.arrays["x"]
    assert relative_error(mean_downsample(nearest_upsample(x)), x) < TOLERANCE


def test_compute_dtype_is_kept():
    x = jnp.ones((1, 4, 4, 2), jnp.bfloat16)
    for resample in fir_upsample, fir_downsample:
        assert jax.eval_shape(partial(resample, kernel=(1, 3, 3, 1)), x).dtype == jnp.bfloat16
