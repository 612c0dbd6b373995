"""j_updown: FIR filtering and resampling, alone and with a convolution."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from scoresde_jax.models import resample
from scoresde_jax.types import Array
from tests.golden.item import FORMULA, Item

FILTERS = {  # the original's name -> ours, as a function of (x, w, kernel, factor)
    "upsample_2d": lambda x, w, kernel, factor: resample.fir_upsample(x, kernel, factor),
    "downsample_2d": lambda x, w, kernel, factor: resample.fir_downsample(x, kernel, factor),
    "upsample_conv_2d": resample.upsample_conv,
    "conv_downsample_2d": resample.conv_downsample,
}
NAIVE = {
    "naive_upsample_2d": resample.nearest_upsample,
    "naive_downsample_2d": resample.mean_downsample,
}


def check(item: Item) -> None:
    """Compares one file; outputs are "upsample_2d/1331/factor=2/gain=1" and the like."""
    x = jnp.asarray(item.given("x"))
    for name in item.names:
        function, *settings = name.split("/")
        numbers = {k: float(v) for k, found, v in (s.partition("=") for s in settings) if found}
        if function in NAIVE:
            found = NAIVE[function](x, int(numbers.get("factor", 2)))
        elif function in FILTERS:
            found = filtered(item, x, function, settings[0], numbers)
        elif function.startswith("upfirdn_"):
            found = upfirdn(item, x, function.removeprefix("upfirdn_"), numbers)
        else:
            continue
        item.compare(name, found, FORMULA)


def filtered(item: Item, x: Array, function: str, kernel: str, numbers: dict[str, float]) -> Array:
    """One of the four filters; the original's gain multiplies its kernel, and all is linear."""
    factor = int(numbers["factor"])
    w = jnp.asarray(item.given("w")) if "conv" in function else None
    taps = taps_of(item, kernel)
    taps = np.ones(factor) if taps is None else taps
    run = jax.jit(partial(FILTERS[function], kernel=taps, factor=factor))
    return numbers.get("gain", 1.0) * run(x, w)


def upfirdn(item: Item, x: Array, kernel: str, numbers: dict[str, float]) -> Array:
    """The filter below all the others; the original's was handed a kernel of sum one."""
    taps = np.asarray(taps_of(item, kernel), np.float32)
    options = {name: int(numbers[name]) for name in ("up", "down")}
    pad = int(numbers["pad0"]), int(numbers["pad1"])
    return jax.jit(partial(resample.upfirdn, kernel=taps / taps.sum(), pad=pad, **options))(x)


def taps_of(item: Item, kernel: str):
    """The kernel of this name: of the config's list, an array of the file, or of digits."""
    kernels = item.config["kernels"]
    if kernel not in kernels and kernel.isdigit():
        return [int(digit) for digit in kernel]
    return item.given(kernels[kernel]) if isinstance(kernels[kernel], str) else kernels[kernel]
