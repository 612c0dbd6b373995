"""Parameters drawn by numpy, and a quick compiler: for tests in which a network runs but once."""

from functools import partial

import jax
import numpy as np

# Most of the time of such a test would be XLA's, optimising what runs for a millisecond.
quickly = partial(
    jax.jit,
    compiler_options={
        "xla_backend_optimization_level": 0,
        "xla_llvm_disable_expensive_passes": True,
    },
)


def random_parameters(net, *inputs, seed=0, scale=0.3):
    """Parameters of the net's shapes, float64: normal, those called scale or W about the identity.

    They are far from the initial ones: layers that start at zero or as the identity do not stay so.
    """
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(net.init, jax.random.key(0), *inputs)["params"]

    def draw(path, leaf):
        start = {"scale": np.ones, "W": np.eye}.get(path[-1].key, np.zeros)
        return start(*_sizes(start, leaf.shape)) + scale * rng.normal(size=leaf.shape)

    return jax.tree_util.tree_map_with_path(draw, shapes)


def _sizes(start, shape):
    return shape if start is np.eye else (shape,)
