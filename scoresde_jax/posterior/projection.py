"""Projection on the measurement, at every noise level (Song et al. 2022).

    y_t = alpha_t y + sigma_t A z                         a measurement of x_t like y of x_0
    x <- x + strength A^+ (y_t - A x)                     before every move of `pc_sample`

With A = P(L) T, T orthogonal and L diagonal, of 0s and 1s that say what is measured, this is their
T^-1 [strength L P^-1 y_t + (1 - strength) L T x + (I - L) T x], and their T^-1 P^-1 L the
pseudo-inverse A^+, by which it is written for every linear operator: through its decomposition or
by conjugate gradients. The last x, denoised, is projected once more: by the authors' code with
strength 1 always, here with noise by `strength`. They denoise by Tweedie's formula, here it is the
mean of the last move.
"""

import jax

from scoresde_jax.posterior.operators.inverse import pseudo_inverse
from scoresde_jax.posterior.operators.linear import LinearOperator, check_linear, check_problem
from scoresde_jax.sampling.change import alpha_std
from scoresde_jax.sampling.pc import Move, pc_sample
from scoresde_jax.sde import SDE
from scoresde_jax.types import Array, Samples, ScoreFn, Update, bcast


def projection_sample(
    key: Array,
    sde: SDE,
    score_fn: ScoreFn,
    operator: LinearOperator,
    y: Array,
    shape: tuple[int, ...],
    *,
    noise_std: float,
    steps: int,
    t_min: float,
    predictor: Move,
    corrector: Move,
    strength: float = 1.0,
) -> Samples:
    """Draws restorations of y by predictor and corrector between projections.

    Without noise A x = y in the end, up to singular values below 1e-4 of the largest. Arguments as
    of `posterior`, with a linear operator; predictor and corrector as of `pc_sample`; and

    Args:
      noise_std: the method only asks whether it is 0.
      strength: from 0, no measurement, to 1, the measurement as it is; less than 1 is all that the
        method has for noise.

    Raises:
      ValueError: strength is not in [0, 1].
    """
    check_problem(operator, y, shape, noise_std, steps)
    check_linear(operator, "projection")
    if not 0 <= strength <= 1:
        raise ValueError(f"strength is between 0 and 1; it is {strength}.")

    def projected(mover: Move) -> Move:
        def move(key: Array, sde: SDE, score_fn: ScoreFn, x: Array, t: Array) -> Update:
            noise_key, move_key = jax.random.split(key)
            x = project(noise_key, sde, operator, y, x, t, strength=strength)
            return mover(move_key, sde, score_fn, x, t)

        return move

    samples = pc_sample(
        key,
        sde,
        score_fn,
        shape,
        predictor=projected(predictor),
        corrector=projected(corrector),
        steps=steps,
        t_min=t_min,
    )
    last = strength if noise_std else 1.0
    x = samples.x + last * pseudo_inverse(operator, y - operator.forward(samples.x))
    return samples._replace(x=x)


def project(
    key: Array,
    sde: SDE,
    operator: LinearOperator,
    y: Array,
    x: Array,
    t: Array,
    *,
    strength: float = 1.0,
) -> Array:
    """One projection of x (B, H, W, C) at t, () or (B,)."""
    alpha, std = alpha_std(sde, t)
    z = jax.random.normal(key, x.shape, x.dtype)
    # A is linear: y_t - A x = alpha y - A (x - sigma z).
    residual = bcast(alpha, y) * y - operator.forward(x - bcast(std, x) * z)
    return x + strength * pseudo_inverse(operator, residual)
