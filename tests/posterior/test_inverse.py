"""Solving with A A^T, in both ways, against numpy."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from posterior.operator_list import IMAGE, OPERATORS
from scoresde_jax.posterior.operators import matrix_of, pseudo_inverse, solve
from scoresde_jax.types import Array, register_pytree

every = pytest.mark.parametrize("name", OPERATORS)
X = jax.random.normal(jax.random.key(0), (3, *IMAGE))
# Round-off grows by the condition, as does what conjugate gradients leave over.
POOR = ("blur", "bicubic", "gaussian blur", "motion blur", "radon", "radon of many angles")


@register_pytree
@dataclasses.dataclass(frozen=True)
class Bare:
    """An operator without its decomposition."""

    operator: object

    def forward(self, x: Array) -> Array:
        return self.operator.forward(x)

    def adjoint(self, y: Array) -> Array:
        return self.operator.adjoint(y)

    def spectral(self) -> None:
        return None


def flat(a):
    return np.asarray(a, np.float64).reshape(a.shape[0], -1)


@every
@pytest.mark.parametrize("way", [lambda operator: operator, Bare], ids=["svd", "cg"])
def test_solve(name, way):
    operator, matrix = OPERATORS[name], matrix_of(OPERATORS[name], IMAGE)
    weight, variance = np.array([0.5, 1.0, 2.0]), np.array([0.1, 0.02, 0.3])
    y = operator.forward(X)
    run = jax.jit(lambda y: solve(way(operator), y, jnp.asarray(weight), jnp.asarray(variance)))
    found = flat(run(y))
    for z, r, w, v in zip(found, flat(y), weight, variance, strict=True):
        expected = np.linalg.solve(w * matrix @ matrix.T + v * np.eye(len(matrix)), r)
        # float32, times the condition of 50 at most; CG stops at 1e-6 of the residual.
        np.testing.assert_allclose(z, expected, atol=1e-4 * np.abs(expected).max())


@every
@pytest.mark.parametrize("way", [lambda operator: operator, Bare], ids=["svd", "cg"])
def test_pseudo_inverse(name, way):
    operator, matrix = OPERATORS[name], matrix_of(OPERATORS[name], IMAGE)
    y = operator.forward(X)
    x = jax.jit(lambda y: pseudo_inverse(way(operator), y))(y)
    np.testing.assert_allclose(operator.forward(x), y, atol=1e-4)
    expected = flat(y) @ np.linalg.pinv(matrix, rcond=1e-4).T
    np.testing.assert_allclose(flat(x), expected, atol=2e-2 if name in POOR else 2e-5)


def test_what_no_image_causes_is_left_out():
    operator = OPERATORS["kspace"]
    y = operator.forward(X)
    noise = jax.random.normal(jax.random.key(1), y.shape)
    explained = operator.forward(pseudo_inverse(operator, noise))
    one = jnp.ones(3)
    np.testing.assert_allclose(
        solve(operator, noise, one, one), solve(operator, explained, one, one), atol=1e-5
    )
    assert np.abs(noise - explained).max() > 1


def test_each_example_is_solved_alone():
    """A right-hand side of 0 or of another size does not stop or spoil the others."""
    operator = Bare(OPERATORS["motion blur"])
    scale = jnp.array([0.0, 1.0, 1e4])[:, None, None, None]
    y, v = operator.forward(X), jnp.full(3, 1e-2)
    alone = solve(operator, y, jnp.ones(3), v)
    np.testing.assert_allclose(
        solve(operator, scale * y, jnp.ones(3), v), scale * alone, rtol=1e-3, atol=1e-3
    )
