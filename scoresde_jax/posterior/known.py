"""Replacement for every operator with a decomposition (Song et al. 2021, section 5, appendix I.4).

In the coordinates V^T x of A = U diag(s) V^T each is either known, U^T y / s, or not: masks know
pixels, grey images the grey axis, block means the constant of a block, and so on. `replacement.py`
has what is then done, and here is how `pc_sample` comes to do it.
"""

import jax.numpy as jnp

from scoresde_jax.posterior.operators.inverse import divided, known_coordinates
from scoresde_jax.posterior.operators.linear import (
    LinearOperator,
    check_noise_free,
    check_problem,
    check_spectral,
)
from scoresde_jax.posterior.replacement import hold_known
from scoresde_jax.sampling.pc import Move, pc_sample
from scoresde_jax.sde import SDE
from scoresde_jax.types import Array, Samples, ScoreFn, Update


def replacement_sample(
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
) -> Samples:
    """Draws restorations of a noise-free y by predictor and corrector, known coordinates held.

    In the end A x = alpha(t_min) y, up to singular values below 1e-4 of the largest, which count as
    0. The rest is a draw given what is known in so far as the corrector converges at each t:
    `identity` will not do.

    Arguments as of `posterior`, with an operator that has a decomposition and without noise;
    predictor and corrector as of `pc_sample`.
    """
    check_problem(operator, y, shape, noise_std, steps)
    spectral = check_spectral(operator, "replacement")
    check_noise_free(noise_std, "replacement")
    coordinates = divided(spectral, spectral.ut(y))
    mask = jnp.broadcast_to(known_coordinates(spectral), coordinates.shape)

    def constrain(key: Array, sde: SDE, update: Update, t: Array) -> Update:
        return hold_known(key, sde, update, t, coordinates, mask, spectral.vt, spectral.v)

    return pc_sample(
        key,
        sde,
        score_fn,
        shape,
        predictor=predictor,
        corrector=corrector,
        constrain=constrain,
        steps=steps,
        t_min=t_min,
    )
