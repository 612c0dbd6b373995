"""Sampling on a grid of times that is fixed beforehand, with few evaluations.

    x ~ prior at t = 1;   method carries x along grid(sde, steps, t_min);   x0-prediction at t_min

A grid comes from `grids.py`, a method from `multistep.py`, `unipc.py`, `singlestep.py` or
`heun.py`, in any combination. A method is a function (key, sde, score_fn, x, times, *, ...) ->
Samples that carries x (B, ...) from times[0] to times[-1].
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from scoresde_jax.sampling.change import denoised
from scoresde_jax.sampling.grids import Grid
from scoresde_jax.sde import SDE
from scoresde_jax.types import Array, Samples, ScoreFn

Method = Callable[[Array, SDE, ScoreFn, Array, Array], Samples]  # options bound
# (key, step (), x, std ()) -> x with noise, or without
Shake = Callable[[Array, Array, Array, Array], Array]


def grid_sample(
    key: Array,
    sde: SDE,
    score_fn: ScoreFn,
    shape: tuple[int, ...],
    *,
    method: Method,
    grid: Grid,
    steps: int,
    t_min: float,
    denoise: bool = True,
) -> Samples:
    """Draws samples: noise from the prior, carried along a grid.

    Args:
      shape: (B, ...) of the samples.
      method, grid: with their options bound, e.g. `partial(heun, s_churn=40.0)`.
      steps: steps on the grid from 1 to t_min.
      denoise: return the x0-prediction at t_min, for one evaluation more, instead of x itself.

    Returns:
      Samples in the data's scale; nfe is the same for all. score_fn is traced once, and once more
      for `denoise`.
    """
    prior_key, method_key = jax.random.split(key)
    x = sde.prior_sample(prior_key, shape)
    samples = method(method_key, sde, score_fn, x, grid(sde, steps, t_min))
    if not denoise:
        return samples
    x0 = denoised(sde, score_fn, samples.x, jnp.asarray(t_min, x.dtype))
    return samples._replace(x=x0, nfe=samples.nfe + 1)


def fixed_cost(x: Array, nfe: int) -> Samples:
    """Samples (B, ...) that all took the same number of evaluations."""
    return Samples(x, jnp.full(x.shape[:1], nfe, jnp.int32), jnp.ones(x.shape[:1], bool))


def still(key: Array, step: Array, x: Array, std: Array) -> Array:
    """Leaves x as it is: the method has no noise."""
    del key, step, std
    return x


def shaken(key: Array, step: Array, x: Array, std: Array) -> Array:
    """Adds the noise of a step, of standard deviation (), to x."""
    return x + std * jax.random.normal(jax.random.fold_in(key, step), x.shape, x.dtype)
