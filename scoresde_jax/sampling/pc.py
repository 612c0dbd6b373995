"""Predictor-corrector sampling (Song et al. 2021, section 4.2 and Algorithm 1).

    x ~ prior;   for t from 1 down to t_min:   x <- corrector(x, t);   x <- predictor(x, t)

Any predictor and corrector fit. Each `Update` says what it cost, so the count of evaluations is
exact.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from scoresde_jax.sampling.predictors import identity
from scoresde_jax.sde import SDE
from scoresde_jax.types import Array, Samples, ScoreFn, Update

Move = Callable[
    [Array, SDE, ScoreFn, Array, Array], Update
]  # a predictor or corrector, options bound
Constrain = Callable[[Array, SDE, Update, Array], Update]  # (key, sde, update, t) -> update


def unconstrained(key: Array, sde: SDE, update: Update, t: Array) -> Update:
    """Leaves every move as it is: nothing is known about the sample."""
    del key, sde, t
    return update


def pc_sample(
    key: Array,
    sde: SDE,
    score_fn: ScoreFn,
    shape: tuple[int, ...],
    *,
    predictor: Move,
    corrector: Move = identity,
    constrain: Constrain = unconstrained,
    steps: int,
    t_min: float,
    denoise: bool = True,
) -> Samples:
    """Draws samples by alternating a corrector and a predictor on an even time grid.

    Args:
      shape: (B, ...) of the samples.
      predictor, corrector: moves with their options bound, e.g. `partial(reverse_diffusion,
        n=1000)`.
      constrain: applied after every move, e.g. to hold known pixels.
      steps: times on the grid from 1 to t_min.
      denoise: return the mean of the last move, without its noise.

    Returns:
      Samples in the data's scale; nfe is the same for all.
    """
    prior_key, loop_key = jax.random.split(key)
    x = sde.prior_sample(prior_key, shape)
    times = jnp.linspace(1.0, t_min, steps)

    def move(
        key: Array, mover: Move, state: tuple[Array, Array, Array], t: Array
    ) -> tuple[Array, Array, Array]:
        move_key, constrain_key = jax.random.split(key)
        update = constrain(constrain_key, sde, mover(move_key, sde, score_fn, state[0], t), t)
        return update.x, update.x_mean, state[2] + update.nfe

    def step(i: Array, state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        corrector_key, predictor_key = jax.random.split(jax.random.fold_in(loop_key, i))
        t = jnp.full(shape[:1], times[i])
        state = move(corrector_key, corrector, state, t)
        return move(predictor_key, predictor, state, t)

    start = (x, x, jnp.zeros((), jnp.int32))
    x, x_mean, nfe = jax.lax.fori_loop(0, steps, step, start)
    everyone = jnp.ones(shape[:1], bool)
    return Samples(x_mean if denoise else x, jnp.where(everyone, nfe, 0), everyone)
