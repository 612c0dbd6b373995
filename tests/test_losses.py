"""Losses of scores that are known: zero for a point, a closed form for a Gaussian."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gaussian import default_sde, diagonal, every_sde, point
from scipy import integrate

from scoresde_jax.losses import (
    ddpm_loss,
    dsm_loss,
    half_sum_over_dims,
    likelihood_times,
    likelihood_weighting,
    mean_over_dims,
    smld_loss,
    stratified_times,
    uniform_times,
    variance_weighting,
)
from scoresde_jax.sde import VESDE, VPSDE, chain_index

SHAPE = (2, 2, 1)
BATCH = 4000
T_MIN = 1e-2  # g^2 / std^2 ~ 1/t, of which a batch of 4000 must know the mean
DATA = diagonal(SHAPE)


def expected_loss(sde, weighting, times, shrink):
    """The mean loss of `shrink` times the exact score, by quadrature in log t.

    Along one dimension E|std a s + z|^2 = 1 - (2a - a^2) std^2 / v, v = m^2 std_0^2 + std^2.
    """
    # Trapezoids in log t; their error is below 1e-4.
    u = jnp.asarray(np.geomspace(T_MIN, 1.0, 1001), jnp.float32)
    t = np.asarray(u, np.float64)
    _, variance = DATA.marginal(sde, u)
    std2 = np.asarray(sde.marginal(jnp.zeros((u.size, 1)), u)[1], np.float64)[:, None] ** 2
    per_dim = 1 - (2 * shrink - shrink**2) * std2 / np.asarray(variance, np.float64)
    rate = np.asarray(sde.diffusion(u), np.float64) ** 2 / std2[:, 0]
    weight = {variance_weighting: np.ones_like(t), likelihood_weighting: rate}[weighting]
    density = {likelihood_times: rate}.get(times, np.ones_like(t))
    total = integrate.trapezoid(density * t, np.log(t))
    return integrate.trapezoid(weight * density * per_dim.mean(axis=1) * t, np.log(t)) / total


WEIGHTINGS = (variance_weighting, likelihood_weighting)
TIMES = (uniform_times, stratified_times, likelihood_times)


@jax.jit
def every_loss(key, sde, shrink):
    """Losses for every [weighting][times] of the two tuples above; compiled once per SDE."""
    x0_key, key = jax.random.split(key)
    x0, score_fn = sample(x0_key), lambda x, t: shrink * DATA.score(sde, x, t)
    loss = partial(dsm_loss, key, sde, score_fn, x0, t_min=T_MIN)
    return [[loss(weighting=w, times=t) for t in TIMES] for w in WEIGHTINGS]


@default_sde
@pytest.mark.parametrize("shrink", [1.0, 0.5], ids=["exact", "half"])
def test_loss_of_gaussian_data_is_the_closed_form(sde, shrink):
    losses = every_loss(jax.random.key(0), sde, shrink)
    for w, weighting in enumerate(WEIGHTINGS):
        for t, times in enumerate(TIMES):
            loss = np.asarray(losses[w][t], np.float64)
            assert loss.shape == (BATCH,)
            expected = expected_loss(sde, weighting, times, shrink)
            # 5 standard errors, which spread-out times only make smaller.
            error = loss.std() / np.sqrt(BATCH)
            names = weighting.__name__, times.__name__
            assert abs(loss.mean() - expected) < 5 * error, names


@every_sde
def test_half_sum_is_the_mean_times_half_the_dims(sde):
    x0 = jnp.tile(jnp.asarray(DATA.mean), (64, 1, 1, 1))
    loss = partial(dsm_loss, jax.random.key(0), sde, lambda x, t: -x, x0, t_min=T_MIN)
    half_sum = loss(reduction=half_sum_over_dims)
    np.testing.assert_allclose(half_sum, DATA.std.size / 2 * loss(), rtol=1e-5)


def sample(key):
    """Draws of x_0."""
    noise = jax.random.normal(key, (BATCH, *SHAPE))
    return DATA.mean + DATA.std.reshape(SHAPE) * noise


@every_sde
def test_dsm_loss_of_the_exact_score_of_a_point_is_zero(sde):
    x0 = np.full(SHAPE, 0.3, np.float32)
    score_fn = point(x0).score_fn(sde)
    loss = dsm_loss(jax.random.key(0), sde, score_fn, jnp.tile(x0, (64, 1, 1, 1)), t_min=0.05)
    assert loss.shape == (64,)
    # z comes back from x - mean, rounded at |x| / std < 100 times 6e-8.
    np.testing.assert_allclose(loss, 0, atol=1e-9)


@default_sde
def test_likelihood_times_and_variance_weighting_are_likelihood_weighting_over_z(sde):
    z = {VESDE: 2 * np.log(5000) * (1 - T_MIN)}.get(type(sde))
    if z is None:
        t = np.geomspace(T_MIN, 1, 4001)
        std = sde.marginal(jnp.zeros((t.size, 1)), jnp.asarray(t, jnp.float32))[1]
        rate = np.asarray(sde.diffusion(jnp.asarray(t, jnp.float32)) / std, np.float64) ** 2
        z = integrate.trapezoid(rate * t, np.log(t))
    ours = every_loss(jax.random.key(1), sde, 0.5)[0][2]
    theirs = every_loss(jax.random.key(2), sde, 0.5)[1][0]
    theirs = theirs * (1 - T_MIN) / z  # a mean over [t_min, 1] into an integral
    error = np.hypot(np.std(ours), np.std(theirs)) / np.sqrt(BATCH)
    assert abs(np.mean(ours) - np.mean(theirs)) < 5 * error


@every_sde
@pytest.mark.parametrize("times", [uniform_times, stratified_times, likelihood_times])
def test_times_are_one_per_example_within_bounds(sde, times):
    t = np.asarray(times(jax.random.key(0), sde, 1000, 1e-3))
    assert t.shape == (1000,)
    # The inverse of an integral is known to its float32 rounding.
    assert t.min() > 1e-3 * (1 - 1e-4) and t.max() < 1 + 1e-5


@every_sde
@pytest.mark.parametrize("batch", [1, 7, 128])
def test_stratified_times_fall_one_in_each_part(sde, batch):
    t = np.sort(stratified_times(jax.random.key(3), sde, batch, 0.1))
    np.testing.assert_allclose(np.diff(t), 0.9 / batch, rtol=1e-4)  # float32 spacing at 1
    assert t[0] >= 0.1 and t[-1] <= 1 and t[0] < 0.1 + 0.9 / batch + 1e-6


def test_weightings_are_the_variance_and_the_squared_diffusion():
    t = jnp.asarray([0.2, 0.9])
    for sde in (VPSDE(), VESDE()):
        std = sde.marginal(jnp.zeros((2, 1)), t)[1]
        np.testing.assert_allclose(variance_weighting(sde, t), std**2, rtol=1e-6)
        np.testing.assert_allclose(likelihood_weighting(sde, t), sde.diffusion(t) ** 2, rtol=1e-6)


def test_reductions_are_the_mean_and_half_the_sum():
    square = jnp.arange(24.0).reshape(2, 3, 2, 2)
    np.testing.assert_allclose(mean_over_dims(square), [5.5, 17.5])
    np.testing.assert_allclose(half_sum_over_dims(square), [33.0, 105.0])


@pytest.mark.parametrize("n", [10, 100])
def test_smld_loss_of_a_point_is_zero(n):
    x0 = np.full(SHAPE, 0.3, np.float32)
    sde = VESDE(0.1, 20.0)
    score_fn = point(x0).score_fn(sde)
    loss = smld_loss(jax.random.key(0), sde, score_fn, jnp.tile(x0, (64, 1, 1, 1)), n=n)
    assert loss.shape == (64,)
    np.testing.assert_allclose(loss, 0, atol=1e-9)  # rounding of x / sigma_min, squared


@pytest.mark.parametrize("n", [100, 1000])
def test_ddpm_loss_of_a_point_is_zero(n):
    x0 = np.full(SHAPE, 0.3, np.float32)
    sde = VPSDE()
    alpha_bar = jnp.asarray(np.cumprod(1 - np.linspace(0.1, 20.0, n) / n), jnp.float32)

    def score_fn(x, t):
        bar = alpha_bar[chain_index(t, n)].reshape(-1, 1, 1, 1)
        return -(x - jnp.sqrt(bar) * x0) / (1 - bar)

    loss = ddpm_loss(jax.random.key(0), sde, score_fn, jnp.tile(x0, (64, 1, 1, 1)), n=n)
    assert loss.shape == (64,)
    # x - sqrt(alphabar) x_0 and 1 - alphabar cancel: at the first steps, where 1 - alphabar is
    # 1e-4, z comes back to a percent or so, squared; elsewhere far better.
    np.testing.assert_allclose(loss, 0, atol=3e-3)
    assert np.median(loss) < 1e-9


@pytest.mark.parametrize("loss, sde", [(smld_loss, VESDE()), (ddpm_loss, VPSDE())])
def test_chain_losses_of_a_zero_score_count_the_noise(loss, sde):
    zero = lambda x, t: jnp.zeros_like(x)  # noqa: E731
    x0 = jnp.zeros((BATCH, *SHAPE))
    mean = loss(jax.random.key(0), sde, zero, x0, n=50)
    # E|z|^2 = 1 per dimension; 16,000 squares of variance 2, 5 standard errors.
    assert abs(np.mean(mean) - 1) < 5 * np.sqrt(2 / x0.size)
    half_sum = loss(jax.random.key(0), sde, zero, x0, n=50, reduction=half_sum_over_dims)
    np.testing.assert_allclose(half_sum, 2 * mean, rtol=1e-5)


@pytest.mark.parametrize("loss, sde", [(smld_loss, VESDE()), (ddpm_loss, VPSDE())])
def test_chain_losses_draw_every_step_alike(loss, sde):
    seen = []

    def score_fn(x, t):
        seen.append(np.asarray(chain_index(t, 10)))
        return jnp.zeros_like(x)

    loss(jax.random.key(0), sde, score_fn, jnp.zeros((BATCH, 1)), n=10)
    counts = np.bincount(seen[0], minlength=10)
    # Binomial counts of mean 400 and spread 19: 5 standard errors.
    assert counts.size == 10 and np.all(np.abs(counts - 400) < 95)
