"""A prior whose score and whose posterior are known: a mixture of Gaussians. What solvers are
measured against.

    x_0 ~ sum of w_k N(m_k, S_k)   and   y = A x_0 + noise_std z
    x_0 | y ~ sum of w'_k N(m_k + G_k (y - A m_k), S_k - G_k A S_k),  w'_k ~ w_k N(y; A m_k, C_k)
    C_k = A S_k A^T + noise_std^2 I,   G_k = S_k A^T C_k^-1

One component is a Gaussian. All but the score is numpy in float64.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from scoresde_jax.sampling.change import alpha_std
from scoresde_jax.sde import SDE
from scoresde_jax.types import Array, register_pytree

_RANK = 1e-6  # singular values of A below this part of the largest are 0: it is float32


@register_pytree
@dataclass(frozen=True)
class Mixture:
    """Over images of d numbers, flattened; the covariances by their axes."""

    weight: np.ndarray  # (K,) sums to 1
    mean: np.ndarray  # (K, d)
    std: np.ndarray  # (K, d) along the axes
    basis: np.ndarray  # (K, d, d) the axes, in columns

    def score(self, sde: SDE, x: Array, t: Array) -> Array:
        """grad_x log p_t(x), shape of x (B, ...); t is () or (B,)."""
        weight, mean, std, basis = (
            jnp.asarray(a, x.dtype) for a in (self.weight, self.mean, self.std, self.basis)
        )
        k, d = mean.shape
        alpha, sigma = (a[:, None, None] for a in alpha_std(sde, jnp.broadcast_to(t, x.shape[:1])))
        variance = (alpha * std) ** 2 + sigma**2
        # All axes of all components as the columns of one matrix, for one product each way.
        axes = jnp.moveaxis(basis, 0, 1).reshape(d, k * d)
        centre = jnp.einsum("ki,kij->kj", mean, basis)
        along = (x.reshape(-1, d) @ axes).reshape(-1, k, d) - alpha * centre
        log_density = -0.5 * jnp.sum(along**2 / variance + jnp.log(variance), axis=-1)
        share = jax.nn.softmax(jnp.log(weight) + log_density)[..., None]
        return -((share * along / variance).reshape(-1, k * d) @ axes.T).reshape(x.shape)

    def covariances(self) -> np.ndarray:
        """(K, d, d)."""
        basis, std = np.asarray(self.basis, np.float64), np.asarray(self.std, np.float64)
        return (basis * std[:, None] ** 2) @ basis.transpose(0, 2, 1)

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean (d,) and covariance (d, d) of the whole."""
        weight, means = (np.asarray(a, np.float64) for a in (self.weight, self.mean))
        mean = weight @ means
        apart = means - mean
        within = np.tensordot(weight, self.covariances(), 1)
        return mean, within + (weight[:, None] * apart).T @ apart

    def draw(self, seed: int, count: int) -> np.ndarray:
        """(count, d) draws."""
        rng = np.random.default_rng(seed)
        k = rng.choice(len(self.weight), size=count, p=self.weight)
        z = rng.normal(size=(count, self.mean.shape[1]))
        return self.mean[k] + np.einsum("ni,nji->nj", self.std[k] * z, self.basis[k])

    def posterior(self, matrix: np.ndarray, y: np.ndarray, noise_std: float) -> "Mixture":
        """Given y (m,), measured by a matrix (m, d); noise_std may be 0."""
        # In the coordinates of A nothing is measured twice, and no measurement is of nothing.
        u, s, vt = np.linalg.svd(np.asarray(matrix, np.float64), full_matrices=False)
        seen = s > _RANK * s[0]
        a, y = vt[seen], u.T[seen] @ np.asarray(y, np.float64) / s[seen]
        noise = np.diag((noise_std / s[seen]) ** 2)
        log_weight, parts = [], []
        for weight, mean, covariance in zip(
            self.weight, self.mean, self.covariances(), strict=True
        ):
            c = a @ covariance @ a.T + noise
            gain = np.linalg.solve(c, a @ covariance).T
            residual = y - a @ mean
            square = residual @ np.linalg.solve(c, residual)
            log_weight.append(np.log(weight) - 0.5 * (square + np.linalg.slogdet(c)[1]))
            left = covariance - gain @ a @ covariance
            parts.append((mean + gain @ residual, (left + left.T) / 2))
        log_weight = np.array(log_weight) - np.max(log_weight)
        means, covariances = (np.stack(p) for p in zip(*parts, strict=True))
        return mixture(np.exp(log_weight) / np.exp(log_weight).sum(), means, covariances)


def mixture(weight: np.ndarray, mean: np.ndarray, covariance: np.ndarray) -> Mixture:
    """From weights (K,), means (K, d) and covariances (K, d, d).

    Raises:
      ValueError: shapes do not go together, weights do not sum to 1, or a covariance is not
        symmetric and non-negative.
    """
    weight, mean, covariance = (np.asarray(a, np.float64) for a in (weight, mean, covariance))
    k, d = mean.shape
    if weight.shape != (k,) or covariance.shape != (k, d, d):
        raise ValueError(
            f"weights (K,), means (K, d), covariances (K, d, d); they are {weight.shape}, "
            f"{mean.shape}, {covariance.shape}."
        )
    if weight.min() < 0 or abs(weight.sum() - 1) > 1e-9:
        raise ValueError(f"weights are not negative and sum to 1; they are {weight}.")
    variance, basis = np.linalg.eigh(covariance)
    symmetric = np.allclose(covariance, covariance.transpose(0, 2, 1), atol=1e-8)
    if not symmetric or variance.min() < -1e-8 * variance.max() - 1e-12:
        raise ValueError("a covariance is symmetric, and negative along no axis.")
    return Mixture(weight, mean, np.sqrt(np.maximum(variance, 0)), basis)


def gaussian(mean: np.ndarray, covariance: np.ndarray) -> Mixture:
    """A mixture of one: mean (d,), covariance (d, d)."""
    return mixture(np.ones(1), np.asarray(mean)[None], np.asarray(covariance)[None])
