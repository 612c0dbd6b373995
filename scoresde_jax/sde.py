"""The forward SDEs that turn data into noise, and the two equations that turn it back.

    dx = f(x, t) dt + g(t) dw,  t from 0 to 1                 forward           `drift`, `diffusion`
    p(x_t | x_0) = N(mean(x_0, t), std(t)^2)                      in closed form    `marginal`
    dx = [f - g^2 s] dt + g dw                                    reverse SDE       `reverse_drift`
    dx = [f - g^2 s / 2] dt                                       flow ODE          `ode_drift`

with s(x, t) = grad_x log p_t(x), for VE, VP and sub-VP (Song et al. 2021, eqs. 5, 6, 13; section
3.4; appendix B), and for the linear VE of Song et al. 2021b's code. An SDE is a frozen dataclass of
numbers and a pytree: two VP SDEs of different beta share one compilation. It has no step count: a
chain of n steps is asked for by `discretize(x, t, n)`.

Not here: how a network's output becomes a score (`score.py`), losses (`losses.py`), loops
  (`sampling/`).
"""

from dataclasses import dataclass
from typing import Protocol

import jax
import jax.numpy as jnp

from scoresde_jax.types import Array, ScoreFn, bcast, register_pytree


class SDE(Protocol):
    """What the rest asks of an SDE. x is (B, ...); t is () or (B,) in [0, 1]."""

    def drift(self, x: Array, t: Array) -> Array:
        """f(x, t), shape of x."""
        ...

    def diffusion(self, t: Array) -> Array:
        """g(t), shape of t."""
        ...

    def marginal(self, x0: Array, t: Array) -> tuple[Array, Array]:
        """Mean (shape of x0) and standard deviation (shape of t) of x_t given x_0."""
        ...

    def prior_sample(self, key: Array, shape: tuple[int, ...]) -> Array:
        """Draws from the law that x_1 has, nearly."""
        ...

    def prior_logp(self, z: Array) -> Array:
        """Log-density of that law at z, (B,) nats."""
        ...

    def discretize(self, x: Array, t: Array, n: int) -> tuple[Array, Array]:
        """The n-step chain x_{i+1} = x_i + f_i(x_i) + G_i z at i = floor(t (n-1)): f_i, G_i."""
        ...

    def chain_alpha(self, t: Array, n: int) -> Array:
        """alpha_i of the n-step chain, the Langevin step multiplier (Song et al. 2021, Alg. 5)."""
        ...

    def likelihood_time(self, u: Array, t_min: float) -> Array:
        """Maps uniform u in [0, 1] to t in [t_min, 1] with density in proportion to g^2 / std^2.

        At such times variance-weighted losses estimate the likelihood-weighted one, with far less
        variance (Song et al. 2021b, section 5.1). Here in closed form, by the inverse of the
        integral.
        """
        ...

    def likelihood_integral(self, t_min: float) -> Array:
        """The integral of g^2 / std^2 from t_min to 1, (): what normalizes that density."""
        ...

    def time_of_half_log_snr(self, half_log_snr: Array) -> Array:
        """The t at which log(alpha / std) has this value, where mean = alpha x_0; same shape."""
        ...


class AncestralSDE(SDE, Protocol):
    """An SDE whose chain has a Gaussian posterior x_{i-1} | x_i, x_0 in closed form: VE and VP."""

    def ancestral(self, x: Array, score: Array, t: Array, n: int) -> tuple[Array, Array]:
        """Mean (shape of x) and standard deviation (shape of t) of one ancestral step."""
        ...


def reverse_drift(sde: SDE, score_fn: ScoreFn, x: Array, t: Array) -> Array:
    """Drift of the reverse-time SDE, f - g^2 s (Song et al. 2021, eq. 6)."""
    return sde.drift(x, t) - bcast(sde.diffusion(t) ** 2, x) * score_fn(x, t)


def ode_drift(sde: SDE, score_fn: ScoreFn, x: Array, t: Array) -> Array:
    """Drift of the probability-flow ODE, f - g^2 s / 2 (Song et al. 2021, eq. 13)."""
    return sde.drift(x, t) - 0.5 * bcast(sde.diffusion(t) ** 2, x) * score_fn(x, t)


def half_log_snr(sde: SDE, t: Array) -> Array:
    """log(alpha / std) at each t, where the mean of x_t is alpha x_0; falls with t."""
    alpha, std = sde.marginal(jnp.ones_like(t), t)
    return jnp.log(alpha) - jnp.log(std)


def gaussian_logp(z: Array, std: Array | float) -> Array:
    """Log-density of N(0, std^2 I) at each z (B, ...), (B,) nats."""
    dims = z[0].size
    square = jnp.sum(z.reshape(z.shape[0], -1) ** 2, axis=-1)
    return -0.5 * square / std**2 - 0.5 * dims * jnp.log(2 * jnp.pi * std**2)


def chain_index(t: Array, n: int) -> Array:
    """Position of t in a chain of n steps, floor(t (n - 1)), as the 2021 code truncates it."""
    return jnp.floor(jnp.asarray(t) * (n - 1)).astype(jnp.int32)


def chain_time(i: Array, n: int) -> Array:
    """The time of chain position i, i / (n - 1), rounded so that `chain_index` gives i back."""
    t = i / max(n - 1, 1)
    return jnp.where(chain_index(t, n) < i, jnp.nextafter(t, jnp.full_like(t, 2.0)), t)


@register_pytree
@dataclass(frozen=True)
class VPSDE:
    """Variance preserving: dx = -beta(t) x / 2 dt + sqrt(beta(t)) dw, beta linear in t.

    mean = e^c x_0, std^2 = 1 - e^{2c}, c(t) = -t^2 (beta_max - beta_min) / 4 - t beta_min / 2
    (Song et al. 2021, eqs. 11, 29). Its chain is that of DDPM (Ho et al. 2020). `expm1` keeps std
    exact at small t, where the 2021 code loses 0.6 % (t = 1e-5).
    """

    beta_min: Array | float = 0.1
    beta_max: Array | float = 20.0

    def beta(self, t: Array) -> Array:
        """Noise rate, shape of t."""
        return self.beta_min + t * (self.beta_max - self.beta_min)

    def log_mean_coefficient(self, t: Array) -> Array:
        """c(t) = -(integral of beta from 0 to t) / 2."""
        return -0.25 * t**2 * (self.beta_max - self.beta_min) - 0.5 * t * self.beta_min

    def time_of(self, log_mean_coefficient: Array) -> Array:
        """The t at which c(t) has this value: the inverse of `log_mean_coefficient`."""
        integral = -2 * log_mean_coefficient
        root = jnp.sqrt(self.beta_min**2 + 2 * (self.beta_max - self.beta_min) * integral)
        return 2 * integral / (self.beta_min + root)

    def drift(self, x: Array, t: Array) -> Array:
        """-beta x / 2."""
        return -0.5 * bcast(self.beta(t), x) * x

    def diffusion(self, t: Array) -> Array:
        """sqrt(beta)."""
        return jnp.sqrt(self.beta(t))

    def marginal(self, x0: Array, t: Array) -> tuple[Array, Array]:
        """e^c x_0 and sqrt(1 - e^{2c})."""
        c = self.log_mean_coefficient(t)
        return bcast(jnp.exp(c), x0) * x0, jnp.sqrt(-jnp.expm1(2 * c))

    def prior_sample(self, key: Array, shape: tuple[int, ...]) -> Array:
        """Draws from N(0, I)."""
        return jax.random.normal(key, shape)

    def prior_logp(self, z: Array) -> Array:
        """Log-density of N(0, I), (B,) nats."""
        return gaussian_logp(z, 1.0)

    def chain_beta(self, t: Array, n: int) -> Array:
        """beta_i of the n-step chain: n values evenly spaced from beta_min / n to beta_max / n."""
        fraction = chain_index(t, n) / max(n - 1, 1)
        return self.beta(fraction) / n

    def chain_alpha_bars(self, n: int) -> Array:
        """alphabar_i, the product of 1 - beta_j over j <= i, for every step of the chain; (n,)."""
        beta = self.beta(jnp.arange(n) / max(n - 1, 1)) / n
        return jnp.exp(jnp.cumsum(jnp.log1p(-beta)))

    def discretize(self, x: Array, t: Array, n: int) -> tuple[Array, Array]:
        """The DDPM chain: f_i = (sqrt(1 - beta_i) - 1) x, G_i = sqrt(beta_i)."""
        beta = self.chain_beta(t, n)
        return bcast(jnp.sqrt(1 - beta) - 1, x) * x, jnp.sqrt(beta)

    def chain_alpha(self, t: Array, n: int) -> Array:
        """1 - beta_i."""
        return 1 - self.chain_beta(t, n)

    def _likelihood_range(self, t_min: float) -> tuple[Array, Array]:
        """The antiderivative of g^2 / std^2 = B' / (1 - e^{-B}) at t_min and 1; B = -2c."""
        low, high = (
            jnp.log(jnp.expm1(-2 * self.log_mean_coefficient(jnp.asarray(t)))) for t in (t_min, 1.0)
        )
        return low, high

    def likelihood_time(self, u: Array, t_min: float) -> Array:
        """Inverts log(e^B - 1), the integral of g^2 / std^2."""
        low, high = self._likelihood_range(t_min)
        return self.time_of(-0.5 * jax.nn.softplus(low + u * (high - low)))

    def likelihood_integral(self, t_min: float) -> Array:
        """The change of log(e^B - 1)."""
        low, high = self._likelihood_range(t_min)
        return high - low

    def time_of_half_log_snr(self, half_log_snr: Array) -> Array:
        """Inverts e^{2c} / (1 - e^{2c}) = SNR."""
        return self.time_of(-0.5 * jax.nn.softplus(-2 * half_log_snr))

    def ancestral(self, x: Array, score: Array, t: Array, n: int) -> tuple[Array, Array]:
        """The DDPM step, (x + beta_i s) / sqrt(1 - beta_i) and sqrt(beta_i) (ibid., eq. 4)."""
        beta = self.chain_beta(t, n)
        return (x + bcast(beta, x) * score) / bcast(jnp.sqrt(1 - beta), x), jnp.sqrt(beta)


@register_pytree
@dataclass(frozen=True)
class SubVPSDE:
    """Sub-variance preserving: the drift of VP, g^2 = beta (1 - e^{4c}), std = 1 - e^{2c}.

    Its variance is never above that of VP (Song et al. 2021, eqs. 12, 29; appendix B). It has no
    chain of its own: `discretize` is Euler-Maruyama with a step of 1/n, and alpha_i is that of VP.
    """

    beta_min: Array | float = 0.1
    beta_max: Array | float = 20.0

    @property
    def _vp(self) -> VPSDE:
        return VPSDE(self.beta_min, self.beta_max)

    def drift(self, x: Array, t: Array) -> Array:
        """-beta x / 2."""
        return self._vp.drift(x, t)

    def diffusion(self, t: Array) -> Array:
        """sqrt(beta (1 - e^{4c}))."""
        c = self._vp.log_mean_coefficient(t)
        return jnp.sqrt(self._vp.beta(t) * -jnp.expm1(4 * c))

    def marginal(self, x0: Array, t: Array) -> tuple[Array, Array]:
        """e^c x_0 and 1 - e^{2c}."""
        c = self._vp.log_mean_coefficient(t)
        return bcast(jnp.exp(c), x0) * x0, -jnp.expm1(2 * c)

    def prior_sample(self, key: Array, shape: tuple[int, ...]) -> Array:
        """Draws from N(0, I)."""
        return self._vp.prior_sample(key, shape)

    def prior_logp(self, z: Array) -> Array:
        """Log-density of N(0, I), (B,) nats."""
        return self._vp.prior_logp(z)

    def discretize(self, x: Array, t: Array, n: int) -> tuple[Array, Array]:
        """Euler-Maruyama: f / n, g / sqrt(n)."""
        return self.drift(x, t) / n, self.diffusion(t) / jnp.sqrt(n)

    def chain_alpha(self, t: Array, n: int) -> Array:
        """1 - beta_i of the VP chain, whose drift it shares."""
        return self._vp.chain_alpha(t, n)

    def _likelihood_range(self, t_min: float) -> tuple[Array, Array]:
        """Half the antiderivative of g^2 / std^2 = B' coth(B / 2) at t_min and 1; B = -2c."""
        low, high = (
            jnp.log(jnp.sinh(-self._vp.log_mean_coefficient(jnp.asarray(t)))) for t in (t_min, 1.0)
        )
        return low, high

    def likelihood_time(self, u: Array, t_min: float) -> Array:
        """Inverts 2 log sinh(B / 2), the integral of g^2 / std^2."""
        low, high = self._likelihood_range(t_min)
        return self._vp.time_of(-jnp.arcsinh(jnp.exp(low + u * (high - low))))

    def likelihood_integral(self, t_min: float) -> Array:
        """The change of 2 log sinh(B / 2)."""
        low, high = self._likelihood_range(t_min)
        return 2 * (high - low)

    def time_of_half_log_snr(self, half_log_snr: Array) -> Array:
        """Inverts e^c / (1 - e^{2c}) = -1 / (2 sinh c)."""
        return self._vp.time_of(-jnp.arcsinh(0.5 * jnp.exp(-half_log_snr)))


@register_pytree
@dataclass(frozen=True)
class VESDE:
    """Variance exploding: dx = sigma(t) sqrt(2 log(sigma_max / sigma_min)) dw, geometric sigma.

    mean = x_0, std = sigma(t) = sigma_min (sigma_max / sigma_min)^t (Song et al. 2021, eqs. 9, 29),
    which is sigma_min and not 0 at t = 0. Its chain is that of SMLD (Song & Ermon 2019).
    """

    sigma_min: Array | float = 0.01
    sigma_max: Array | float = 50.0

    def sigma(self, t: Array) -> Array:
        """Noise scale, shape of t."""
        return self.sigma_min * (self.sigma_max / self.sigma_min) ** t

    def drift(self, x: Array, t: Array) -> Array:
        """Zero."""
        del t
        return jnp.zeros_like(x)

    def diffusion(self, t: Array) -> Array:
        """sigma sqrt(2 log(sigma_max / sigma_min))."""
        return self.sigma(t) * jnp.sqrt(2 * jnp.log(self.sigma_max / self.sigma_min))

    def marginal(self, x0: Array, t: Array) -> tuple[Array, Array]:
        """x_0 and sigma."""
        return x0, self.sigma(t)

    def prior_sample(self, key: Array, shape: tuple[int, ...]) -> Array:
        """Draws from N(0, sigma_max^2 I): the data's own mean and variance are left out."""
        return jax.random.normal(key, shape) * self.sigma_max

    def prior_logp(self, z: Array) -> Array:
        """Log-density of N(0, sigma_max^2 I), (B,) nats."""
        return gaussian_logp(z, self.sigma_max)

    def chain_sigmas(self, t: Array, n: int) -> tuple[Array, Array]:
        """sigma_i and sigma_{i-1} of the n-step chain, sigma_{-1} = 0; each of the shape of t."""
        i = chain_index(t, n)
        sigma = self.sigma(i / max(n - 1, 1))
        below = jnp.where(i == 0, 0.0, self.sigma((i - 1) / max(n - 1, 1)))
        return sigma, below

    def discretize(self, x: Array, t: Array, n: int) -> tuple[Array, Array]:
        """The SMLD chain: f_i = 0, G_i = sqrt(sigma_i^2 - sigma_{i-1}^2)."""
        sigma, below = self.chain_sigmas(t, n)
        return jnp.zeros_like(x), jnp.sqrt((sigma - below) * (sigma + below))

    def chain_alpha(self, t: Array, n: int) -> Array:
        """One: Langevin steps are not scaled under VE."""
        del n
        return jnp.ones_like(jnp.asarray(t))

    def likelihood_time(self, u: Array, t_min: float) -> Array:
        """Uniform: g^2 / std^2 is constant under VE."""
        return t_min + u * (1 - t_min)

    def likelihood_integral(self, t_min: float) -> Array:
        """2 log(sigma_max / sigma_min) (1 - t_min)."""
        return 2 * jnp.log(self.sigma_max / self.sigma_min) * (1 - t_min)

    def time_of_half_log_snr(self, half_log_snr: Array) -> Array:
        """Inverts 1 / sigma."""
        return -(half_log_snr + jnp.log(self.sigma_min)) / jnp.log(self.sigma_max / self.sigma_min)

    def ancestral(self, x: Array, score: Array, t: Array, n: int) -> tuple[Array, Array]:
        """x + (sigma_i^2 - sigma_{i-1}^2) s and G_i sigma_{i-1} / sigma_i (ibid., eq. 47)."""
        sigma, below = self.chain_sigmas(t, n)
        step = (sigma - below) * (sigma + below)
        return x + bcast(step, x) * score, jnp.sqrt(step) * below / sigma


@register_pytree
@dataclass(frozen=True)
class LinearVESDE:
    """Variance exploding with a linear std: dx = sigma_max sqrt(2 t) dw, std = t sigma_max.

    The "linear VE" of the code of Song et al. 2021b; up to the scale of time, the process of Karras
    et al. 2022. Unlike VE it starts at the data: std(0) = 0. It has no chain of its own:
    `discretize` is Euler-Maruyama with a step of 1/n.
    """

    sigma_max: Array | float = 50.0

    def drift(self, x: Array, t: Array) -> Array:
        """Zero."""
        del t
        return jnp.zeros_like(x)

    def diffusion(self, t: Array) -> Array:
        """sigma_max sqrt(2 t)."""
        return self.sigma_max * jnp.sqrt(2 * t)

    def marginal(self, x0: Array, t: Array) -> tuple[Array, Array]:
        """x_0 and t sigma_max."""
        return x0, self.sigma_max * t

    def prior_sample(self, key: Array, shape: tuple[int, ...]) -> Array:
        """Draws from N(0, sigma_max^2 I): the data's own mean and variance are left out."""
        return jax.random.normal(key, shape) * self.sigma_max

    def prior_logp(self, z: Array) -> Array:
        """Log-density of N(0, sigma_max^2 I), (B,) nats."""
        return gaussian_logp(z, self.sigma_max)

    def discretize(self, x: Array, t: Array, n: int) -> tuple[Array, Array]:
        """Euler-Maruyama: 0, g / sqrt(n)."""
        return jnp.zeros_like(x), self.diffusion(t) / jnp.sqrt(n)

    def chain_alpha(self, t: Array, n: int) -> Array:
        """One: Langevin steps are not scaled under VE."""
        del n
        return jnp.ones_like(jnp.asarray(t))

    def likelihood_time(self, u: Array, t_min: float) -> Array:
        """Evenly spread log t: g^2 / std^2 = 2 / t."""
        return jnp.asarray(t_min) ** (1 - u)

    def likelihood_integral(self, t_min: float) -> Array:
        """-2 log t_min."""
        return -2 * jnp.log(jnp.asarray(t_min))

    def time_of_half_log_snr(self, half_log_snr: Array) -> Array:
        """Inverts 1 / (t sigma_max)."""
        return jnp.exp(-half_log_snr) / self.sigma_max
