"""Solving with A A^T: through the singular value decomposition, or by conjugate gradients.

    (w A A^T + v I) z = r                        `solve`
    A^+ y, the smallest x with A x = y           `pseudo_inverse`

Where v = 0, singular values below 1e-4 of the largest count as 0: float32 has y to 1e-7 of its
size, which is 1e-3 after a division by those.
"""

import jax
import jax.numpy as jnp

from scoresde_jax.posterior.operators.linear import LinearOperator, Spectral
from scoresde_jax.types import Array, bcast

CUTOFF = 1e-4
# Conjugate gradients stop at this residual, relative to r, or after this many steps.
TOLERANCE, MOST_STEPS = 1e-6, 300
_State = tuple[Array, Array, Array, Array, Array]  # step, z, residual, direction, |residual|^2


def known_coordinates(spectral: Spectral) -> Array:
    """Which coordinates of x can be had from a noise-free y, bool, shape of s."""
    return spectral.s > CUTOFF * jnp.max(spectral.s)


def divided(spectral: Spectral, coordinates: Array) -> Array:
    """Coordinates / s where they are known, 0 elsewhere."""
    known = known_coordinates(spectral)
    return jnp.where(known, coordinates / jnp.where(known, spectral.s, 1.0), 0.0)


def pseudo_inverse(operator: LinearOperator, y: Array) -> Array:
    """The smallest x that explains y in least squares, (B, H, W, C).

    Without a decomposition A^T (A A^T)^-1 y, which is that x for y in the range of A.
    """
    spectral = operator.spectral()
    if spectral is not None:
        return spectral.v(divided(spectral, spectral.ut(y)))
    one, zero = jnp.ones(y.shape[:1], y.dtype), jnp.zeros(y.shape[:1], y.dtype)
    return operator.adjoint(solve(operator, y, one, zero))


def solve(operator: LinearOperator, residual: Array, weight: Array, variance: Array) -> Array:
    """(weight A A^T + variance I)^-1 residual.

    With a decomposition the part of the residual that no x can cause is left out of the answer.

    Args:
      residual: shape of y.
      weight, variance: (B,), not negative.
    """
    spectral = operator.spectral()
    if spectral is None:
        return _conjugate_gradients(operator, residual, weight, variance)
    c = spectral.ut(residual)
    weight, variance = bcast(weight, c), bcast(variance, c)
    counts = jnp.where(variance > 0, spectral.s > 0, known_coordinates(spectral))
    size = jnp.where(counts, weight * spectral.s**2 + variance, 1.0)
    return spectral.u(jnp.where(counts, c / size, 0.0))


def _conjugate_gradients(
    operator: LinearOperator, residual: Array, weight: Array, variance: Array
) -> Array:
    """Hestenes and Stiefel's method, each example with steps of its own."""
    weight, variance = bcast(weight, residual), bcast(variance, residual)

    def apply(z: Array) -> Array:
        return weight * operator.forward(operator.adjoint(z)) + variance * z

    def dot(a: Array, b: Array) -> Array:
        return jnp.sum((a * b).reshape(a.shape[0], -1), axis=-1)

    enough = TOLERANCE**2 * dot(residual, residual)

    def unfinished(state: _State) -> Array:
        return (state[0] < MOST_STEPS) & jnp.any(state[4] > enough)

    def step(state: _State) -> _State:
        i, z, r, p, square = state
        ahead = apply(p)
        curvature = dot(p, ahead)
        going = (square > enough) & (curvature > 0)
        length = jnp.where(going, square / jnp.where(going, curvature, 1.0), 0.0)
        z, r = z + bcast(length, z) * p, r - bcast(length, r) * ahead
        # One that is done keeps its square, which is small enough, or cannot be made smaller.
        new = jnp.where(going, dot(r, r), jnp.minimum(square, enough))
        turn = jnp.where(going, new / jnp.where(going, square, 1.0), 0.0)
        return i + 1, z, r, r + bcast(turn, p) * p, new

    start = (jnp.zeros((), jnp.int32), jnp.zeros_like(residual), residual, residual)
    return jax.lax.while_loop(unfinished, step, (*start, dot(residual, residual)))[1]
