"""The exact mean and standard deviation of what a sampler with noise draws from a Gaussian.

With a linear score every step is affine in x and in its noise, so what comes out is

    x_N = a + b x_0 + sum of c_i z_i,      mean a + b E[x_0],   variance b^2 var[x_0] + sum of c_i^2

A batch reads the coefficients off: example 0 starts at 0 without noise, example 1 at 1, and example
2 + i has z_i = 1 and nothing else.
"""

import jax
import jax.numpy as jnp
import numpy as np

from sampling.chosen import fast

MEAN, STD = 0.4, 0.6  # of x_0, a single number


@fast
def alpha_std(sde, t):
    return sde.marginal(jnp.ones_like(t), t)


def law(sde, t):
    """Mean and standard deviation of x_t."""
    m, s = (float(v) for v in alpha_std(sde, np.asarray(t)))
    return np.asarray([m * MEAN, np.hypot(m * STD, s)])


def score_fn(sde):
    """The score of x (B, 1)."""

    def score(x, t):
        m, s = sde.marginal(jnp.ones_like(t), t)
        return ((m * MEAN - x[:, 0]) / ((m * STD) ** 2 + s**2))[:, None]

    return score


def moments(carry, sde, t, steps):
    """Mean and std of carry(x), which makes `steps` steps, if x is a draw from p_t.

    The noise of step i is what jax.random.normal gives for fold_in(key, i), or for i itself.
    """
    noises = np.eye(steps + 2)[2:]
    x = np.eye(steps + 2)[1][:, None]
    fold_in, normal = jax.random.fold_in, jax.random.normal
    jax.random.fold_in = lambda _, i: i
    jax.random.normal = lambda i, *_: jnp.asarray(noises)[i][:, None]
    try:
        found = np.asarray(fast(carry)(x))[:, 0]
    finally:
        jax.random.fold_in, jax.random.normal = fold_in, normal
    mean, std = law(sde, t)
    scale, *gains = found[1:] - found[0]
    return np.asarray([found[0] + scale * mean, np.hypot(scale * std, np.linalg.norm(gains))])
