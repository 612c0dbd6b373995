"""Correctors: Markov chains that leave p_t alone, run at a fixed t.

Each is a function (key, sde, score_fn, x, t, *, ...) -> Update. "No corrector" is
`predictors.identity`.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from scoresde_jax.sde import SDE
from scoresde_jax.types import Array, ScoreFn, Update, bcast

StepSize = Callable[[Array, Array], Array]  # (score, noise) -> step e, () or (B,)


def langevin(
    key: Array,
    sde: SDE,
    score_fn: ScoreFn,
    x: Array,
    t: Array,
    *,
    snr: float,
    steps: int = 1,
    alpha: Callable[[Array], Array] = jnp.ones_like,
) -> Update:
    """Runs Langevin dynamics with a step size set by a signal-to-noise ratio.

    x <- x + e s(x, t) + sqrt(2 e) z,  e = 2 alpha(t) (snr |z| / |s|)^2
    (Song et al. 2021, Algs. 4, 5)

    Args:
      x: (B, ...) state.
      t: () or (B,) in [0, 1].
      snr: target ratio of |e s| to |sqrt(2 e) z|, up to sqrt(alpha), dimensionless; 0.05-0.2 is
        usual.
      steps: Langevin steps.
      alpha: t -> step multiplier: 1 for VE, alpha_i of the chain for VP and sub-VP.

    Returns:
      Update with nfe = steps. Norms are means over the batch, so the examples of a batch are
      coupled.
    """
    del sde

    def step_size(score: Array, noise: Array) -> Array:
        return 2 * alpha(t) * (snr * _mean_norm(noise) / _mean_norm(score)) ** 2

    return _run(key, score_fn, x, t, step_size, steps)


def annealed_langevin(
    key: Array,
    sde: SDE,
    score_fn: ScoreFn,
    x: Array,
    t: Array,
    *,
    snr: float,
    steps: int = 1,
    alpha: Callable[[Array], Array] = jnp.ones_like,
) -> Update:
    """Runs Langevin dynamics with steps in proportion to the noise variance.

    x <- x + e s(x, t) + sqrt(2 e) z,   e = 2 alpha(t) (snr std(t))^2
    (Song & Ermon 2019, Alg. 1)

    Arguments as for `langevin`. The examples of a batch are independent.
    """

    def step_size(score: Array, noise: Array) -> Array:
        del score, noise
        std = sde.marginal(jnp.zeros(jnp.shape(t)), jnp.asarray(t))[1]
        return 2 * alpha(t) * (snr * std) ** 2

    return _run(key, score_fn, x, t, step_size, steps)


def _run(
    key: Array, score_fn: ScoreFn, x: Array, t: Array, step_size: StepSize, steps: int
) -> Update:
    def step(i: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
        x, _ = state
        noise = jax.random.normal(jax.random.fold_in(key, i), x.shape)
        score = score_fn(x, t)
        e = step_size(score, noise)
        x_mean = x + bcast(e, x) * score
        return x_mean + bcast(jnp.sqrt(2 * e), x) * noise, x_mean

    x, x_mean = jax.lax.fori_loop(0, steps, step, (x, x))
    return Update(x, x_mean, steps)


def _mean_norm(x: Array) -> Array:
    """Mean over the batch of each example's Euclidean norm, ()."""
    return jnp.mean(jnp.sqrt(jnp.sum(x.reshape(x.shape[0], -1) ** 2, axis=-1)))
