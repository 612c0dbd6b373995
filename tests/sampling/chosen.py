"""An SDE that is chosen when the program runs: a battery over SDEs compiles once for all."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
from gaussian import DEFAULTS

from scoresde_jax.types import register_pytree

# What tests run is tiny: to compile it well takes longer than to run it badly.
fast = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


@register_pytree
@dataclass(frozen=True)
class Chosen:
    """One of the default SDEs; what few-step and adaptive samplers use of it."""

    index: object

    def _pick(self, values):
        return jax.tree.map(lambda *leaves: jnp.stack(leaves)[self.index], *values)

    def marginal(self, x0, t):
        return self._pick([sde.marginal(x0, t) for sde in DEFAULTS.values()])

    def time_of_half_log_snr(self, half_log_snr):
        return self._pick([sde.time_of_half_log_snr(half_log_snr) for sde in DEFAULTS.values()])

    def drift(self, x, t):
        return self._pick([sde.drift(x, t) for sde in DEFAULTS.values()])

    def diffusion(self, t):
        return self._pick([sde.diffusion(t) for sde in DEFAULTS.values()])

    def prior_sample(self, key, shape):
        return self._pick([sde.prior_sample(key, shape) for sde in DEFAULTS.values()])


def chosen(name):
    """The SDE of that name in `gaussian.DEFAULTS`."""
    return Chosen(list(DEFAULTS).index(name))
