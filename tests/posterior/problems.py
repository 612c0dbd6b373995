"""Priors with exact scores and posteriors, and solvers on them."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from scoresde_jax.posterior.exact import gaussian, mixture
from scoresde_jax.sde import VESDE, VPSDE, LinearVESDE, SubVPSDE
from scoresde_jax.types import register_pytree

IMAGE = (4, 4, 3)
SIZE = 48
# All start at the same ratio of noise to data, so that they are one process in other variables.
TOP = float(np.sqrt(np.expm1(10.05)))  # of VP and, to 1e-4, sub-VP at t = 1
SDES = {
    "vp": VPSDE(),
    "subvp": SubVPSDE(),
    "ve": VESDE(0.005, TOP),
    "linear_ve": LinearVESDE(TOP),
}


@register_pytree
@dataclass(frozen=True)
class Chosen:
    """One of them, chosen when the program runs: what solvers ask of an SDE, compiled once."""

    index: object

    def _pick(self, values):
        return jax.tree.map(lambda *leaves: jnp.stack(leaves)[self.index], *values)

    def marginal(self, x0, t):
        return self._pick([sde.marginal(x0, t) for sde in SDES.values()])

    def time_of_half_log_snr(self, half_log_snr):
        return self._pick([sde.time_of_half_log_snr(half_log_snr) for sde in SDES.values()])

    def prior_sample(self, key, shape):
        return self._pick([sde.prior_sample(key, shape) for sde in SDES.values()])


def chosen(name):
    """The SDE of that name."""
    return Chosen(list(SDES).index(name))


RNG = np.random.default_rng(5)


def smooth(length, std):
    """Covariance of images whose near pixels are alike, and whose channels are."""
    place = np.stack(np.meshgrid(*(np.arange(n) for n in IMAGE[:2]), indexing="ij"), -1)
    place = place.reshape(-1, 2)
    near = np.exp(-np.linalg.norm(place[:, None] - place, axis=-1) / length)
    return std**2 * np.kron(near, 0.4 * np.eye(3) + 0.6)


MEANS = 0.4 * RNG.normal(size=(2, SIZE))
GAUSSIAN = gaussian(MEANS[0], smooth(2.0, 0.5))
MIXTURE = mixture([0.6, 0.4], MEANS, np.stack([smooth(2.0, 0.3), smooth(1.0, 0.4)]))
WHITE = gaussian(MEANS[0], 0.25 * np.eye(SIZE))


def score_fn(prior, sde):
    return lambda x, t: prior.score(sde, x, t)


def std_of(prior):
    """Root mean square over pixels."""
    return float(np.sqrt(np.trace(prior.moments()[1]) / SIZE))
