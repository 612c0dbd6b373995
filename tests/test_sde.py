"""The SDEs keep their own laws, and agree with formulas written out in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gaussian import SDES, every_sde
from scipy import integrate, stats

from scoresde_jax.sde import (
    VESDE,
    VPSDE,
    LinearVESDE,
    SubVPSDE,
    chain_index,
    chain_time,
    gaussian_logp,
    half_log_snr,
    ode_drift,
    reverse_drift,
)


def exact(sde, t):
    """Mean coefficient, std and g of the paper's appendix B and C, plain float64 numpy."""
    t = np.asarray(t, np.float64)
    if isinstance(sde, VESDE):
        sigma = sde.sigma_min * (sde.sigma_max / sde.sigma_min) ** t
        return np.ones_like(t), sigma, sigma * np.sqrt(2 * np.log(sde.sigma_max / sde.sigma_min))
    if isinstance(sde, LinearVESDE):
        return np.ones_like(t), sde.sigma_max * t, sde.sigma_max * np.sqrt(2 * t)
    beta = sde.beta_min + t * (sde.beta_max - sde.beta_min)
    integral = sde.beta_min * t + t**2 / 2 * (sde.beta_max - sde.beta_min)
    mean, variance = np.exp(-integral / 2), -np.expm1(-integral)
    if isinstance(sde, VPSDE):
        return mean, np.sqrt(variance), np.sqrt(beta)
    return mean, variance, np.sqrt(beta * -np.expm1(-2 * integral))


@every_sde
def test_marginal_solves_its_sde(sde):
    @jax.jit
    def sides(x0, t):
        ones = jnp.ones_like(t)
        (mean, std), (mean_rate, std_rate) = jax.jvp(lambda t: sde.marginal(x0, t), (t,), (ones,))
        drift, slope = jax.jvp(lambda x: sde.drift(x, t), (mean,), (jnp.ones_like(mean),))
        growth = 2 * slope[:, 0] * std**2 + sde.diffusion(t) ** 2
        return (mean_rate, 2 * std * std_rate), (drift, growth)

    with jax.enable_x64(True):
        t = jnp.asarray(np.linspace(1e-3, 1.0, 9))
        rates, laws = sides(jnp.full((9, 1), 1.7), t)
    # Derivatives are exact; float64 rounding is all that is left.
    for actual, expected in zip(rates, laws, strict=True):
        assert actual.dtype == np.float64
        np.testing.assert_allclose(actual, expected, rtol=1e-9)


@every_sde
def test_mean_std_and_diffusion_are_exact_in_float32(sde):
    t = np.asarray([1e-5, 1e-4, 1e-3, 0.03, 0.5, 1.0], np.float32)
    mean, std = jax.jit(sde.marginal)(jnp.ones((6, 1)), t)
    expected_mean, expected_std, expected_g = exact(sde, t)
    actual = np.stack([mean[:, 0], std, sde.diffusion(jnp.asarray(t))])
    error = np.abs(actual / np.stack([expected_mean, expected_std, expected_g]) - 1)
    # A few float32 roundings; near t = 1 the exponents, up to 10, multiply theirs.
    assert np.all(error[:, :3] < 1e-6)
    assert np.all(error < 3e-6)


@every_sde
def test_marginal_starts_at_the_data(sde):
    x0 = jnp.asarray([[1.7, -0.3]])
    mean, std = sde.marginal(x0, jnp.zeros(1))
    np.testing.assert_allclose(mean, x0)
    np.testing.assert_allclose(std, getattr(sde, "sigma_min", 0.0))


@every_sde
def test_discretize_tends_to_the_sde(sde):
    x = jnp.full((10, 1), 1.7)

    def error(n):
        t = chain_time(jnp.arange(1, 11) * (n - 1) // 10, n)
        f, G = sde.discretize(x, t, n)
        assert np.all(G > 0)
        drift, g = sde.drift(x, t), sde.diffusion(t)
        drift_error = np.abs(n * f - drift) / (1 + np.abs(drift))
        return np.asarray([np.max(drift_error), np.max(np.abs(n * G**2 / g**2 - 1))])

    first, second, third = error(101), error(401), error(1601)
    assert np.all(first < 0.2)  # beta_max or log(sigma_max / sigma_min), over n
    for coarse, fine in ((first, second), (second, third)):
        # Four times the steps, a quarter of the error, within a tenth. Sub-VP has none; float32
        # then shows: n f_i is known to n times 6e-8.
        assert np.all(fine < 0.28 * coarse + 1e-4)


def test_vp_chain_is_ddpm():
    sde, n = VPSDE(), 100
    beta = np.linspace(0.1 / n, 20.0 / n, n)
    i = np.arange(n)
    f, G = jax.jit(sde.discretize, static_argnums=2)(
        jnp.ones((n, 1)), chain_time(jnp.asarray(i), n), n
    )
    # Adding 1 to a small f rounds it to the spacing of float32 at 1.
    np.testing.assert_allclose(f[:, 0], np.sqrt(1 - beta) - 1, atol=2e-7)
    np.testing.assert_allclose(G, np.sqrt(beta), rtol=1e-6)
    np.testing.assert_allclose(sde.chain_alpha_bars(n), np.cumprod(1 - beta), rtol=1e-5)


def test_ve_chain_starts_from_no_noise():
    sde, n = VESDE(), 10
    sigma = np.geomspace(0.01, 50.0, n)
    f, G = jax.jit(sde.discretize, static_argnums=2)(
        jnp.ones((n, 1)), chain_time(jnp.arange(n), n), n
    )
    np.testing.assert_array_equal(f, 0)
    np.testing.assert_allclose(G, np.sqrt(np.diff(sigma**2, prepend=0)), rtol=1e-5)


@pytest.mark.parametrize("name", SDES)
def test_chain_alpha_is_one_minus_beta_i(name):
    sde, n = SDES[name], 50
    alpha = sde.chain_alpha(chain_time(jnp.arange(n), n), n)
    if "ve" in name:
        expected = np.ones(n)
    else:
        expected = 1 - np.linspace(sde.beta_min, sde.beta_max, n) / n
    np.testing.assert_allclose(alpha, expected, rtol=1e-6)


@pytest.mark.parametrize("n", [1, 2, 3, 7, 10, 30, 50, 100, 256, 500, 999, 1000, 1001, 2000, 4097])
def test_chain_time_and_index_are_inverse(n):
    i = jnp.arange(n)
    t = chain_time(i, n)
    np.testing.assert_array_equal(chain_index(t, n), i)
    assert t[0] == 0 and t[-1] <= 1


@every_sde
def test_prior_sample_has_the_moments_of_x_1(sde):
    x = np.asarray(sde.prior_sample(jax.random.key(0), (4000, 5)))
    std = getattr(sde, "sigma_max", 1.0)
    # 20,000 numbers: 5 standard errors.
    assert abs(x.mean()) < 5 * std / np.sqrt(x.size)
    assert abs(x.std() / std - 1) < 5 / np.sqrt(2 * x.size)
    # x_1 of data at 0 is nearly the prior; beta_min 0.3, beta_max 12 leaves 0.2 %.
    np.testing.assert_allclose(sde.marginal(jnp.zeros((1, 1)), jnp.ones(1))[1], std, rtol=3e-3)


@every_sde
def test_prior_logp_is_that_of_the_normal(sde):
    std = getattr(sde, "sigma_max", 1.0)
    z = std * np.random.default_rng(0).normal(size=(3, 4, 4, 2)).astype(np.float32)
    expected = stats.norm.logpdf(z.astype(np.float64), scale=std).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(sde.prior_logp(jnp.asarray(z)), expected, rtol=1e-6)


def test_gaussian_logp_scales():
    z = np.asarray([[0.3, -2.0]])
    expected = stats.norm.logpdf(z, scale=0.7).sum(axis=1)
    np.testing.assert_allclose(gaussian_logp(jnp.asarray(z), 0.7), expected, rtol=1e-6)


@every_sde
def test_one_time_is_the_same_time_for_every_example(sde):
    x = jax.random.normal(jax.random.key(0), (3, 2, 2, 1))
    t, ts = jnp.asarray(0.37), jnp.full(3, 0.37)

    @jax.jit
    def everything(t):
        (f, G), (mean, std) = sde.discretize(x, t, 10), sde.marginal(x, t)
        return (sde.drift(x, t), f, mean), (sde.diffusion(t), G, std, sde.chain_alpha(t, 10))

    (fields, numbers), (all_fields, all_numbers) = everything(t), everything(ts)
    for one, several in zip(fields, all_fields, strict=True):
        assert one.shape == several.shape == x.shape
        np.testing.assert_allclose(one, several, rtol=1e-6)
    for one, several in zip(numbers, all_numbers, strict=True):
        assert one.shape == () and several.shape == (3,)
        np.testing.assert_allclose(several, np.full(3, one), rtol=1e-6)


@pytest.mark.parametrize(
    "one, other",
    [
        (VPSDE(), VPSDE(0.2, 10.0)),
        (SubVPSDE(), SubVPSDE(0.2, 10.0)),
        (VESDE(), VESDE(0.1, 3.0)),
        (LinearVESDE(), LinearVESDE(3.0)),
    ],
    ids=["vp", "subvp", "ve", "linear_ve"],
)
def test_two_sdes_of_one_kind_share_a_compilation(one, other):
    traces = []

    @jax.jit
    def std(sde, t):
        traces.append(sde)
        return sde.marginal(jnp.zeros((1, 1)), t)[1]

    t = jnp.asarray(0.5)
    for sde in (one, other):
        np.testing.assert_allclose(std(sde, t), exact(sde, 0.5)[1], rtol=3e-6)
    assert len(traces) == 1


def rate(sde, t):
    """g^2 / std^2 in float64: the density that likelihood_time follows, before normalisation."""
    _, std, g = exact(sde, t)
    return (g / std) ** 2


def mass(sde, t0, t1):
    """Integral of g^2 / std^2; in log t, where the integrand is smooth."""
    integrand = lambda s: rate(sde, np.exp(s)) * np.exp(s)  # noqa: E731
    return integrate.quad(integrand, np.log(t0), np.log(t1), epsabs=0, epsrel=1e-10)[0]


@every_sde
@pytest.mark.parametrize("t_min", [1e-5, 1e-3])
def test_likelihood_time_inverts_the_integral_of_g2_over_variance(sde, t_min):
    u = np.linspace(0, 1, 11, dtype=np.float32)
    t = np.asarray(sde.likelihood_time(jnp.asarray(u), t_min), np.float64)
    # Float32: the log of t near t_min is known to 1e-6 of a span of 38.
    np.testing.assert_allclose(t[[0, -1]], [t_min, 1.0], rtol=2e-5)
    total = mass(sde, t_min, 1.0)
    shares = [mass(sde, t_min, x) / total for x in t]
    np.testing.assert_allclose(shares, u, atol=5e-6)


@pytest.mark.parametrize(
    "sde, t_min, z",
    [
        (VPSDE(), 1e-5, 23.864472),
        (VPSDE(), 1e-3, 19.165387),
        (SubVPSDE(), 1e-5, 37.678947),
        (SubVPSDE(), 1e-3, 28.280883),
        (VESDE(), 1e-5, 2 * np.log(5000) * (1 - 1e-5)),
        (LinearVESDE(), 1e-5, 2 * np.log(1e5)),
    ],
    ids=["vp-5", "vp-3", "subvp-5", "subvp-3", "ve", "linear_ve"],
)
def test_likelihood_time_has_the_known_normaliser(sde, t_min, z):
    np.testing.assert_allclose(mass(sde, t_min, 1.0), z, rtol=1e-7)
    np.testing.assert_allclose(sde.likelihood_integral(t_min), z, rtol=1e-6)  # float32
    with jax.enable_x64(True):
        u = jnp.linspace(0.05, 0.95, 7)
        time = lambda u: sde.likelihood_time(u, t_min)  # noqa: E731
        t, speed = jax.jvp(time, (u,), (jnp.ones_like(u),))
        # du/dt is the density, rate / z; z is known to eight digits.
        np.testing.assert_allclose(speed * rate(sde, t), z, rtol=1e-6)


@every_sde
def test_time_of_half_log_snr_inverts_it(sde):
    with jax.enable_x64(True):
        t = jnp.geomspace(1e-5, 1.0, 21)
        _, std, _ = exact(sde, t)
        alpha = sde.marginal(jnp.ones_like(t), t)[0]
        snr = half_log_snr(sde, t)
        np.testing.assert_allclose(snr, np.log(alpha / std), rtol=1e-9, atol=1e-9)
        assert np.all(np.diff(snr) < 0)
        np.testing.assert_allclose(sde.time_of_half_log_snr(snr), t, rtol=1e-9, atol=1e-12)


def test_vp_ancestral_is_the_ddpm_posterior():
    n, x0 = 100, 0.6
    sde = VPSDE()
    beta = np.linspace(0.1 / n, 20.0 / n, n)
    alpha_bar = np.cumprod(1 - beta)
    x = np.linspace(-2, 2, n)
    i = np.arange(1, n)
    score = -(x - np.sqrt(alpha_bar) * x0) / (1 - alpha_bar)
    t = chain_time(jnp.asarray(i), n)
    mean, std = sde.ancestral(jnp.asarray(x[i, None]), jnp.asarray(score[i, None]), t, n)
    before = alpha_bar[i - 1]
    # Ho et al. 2020, eq. 7; float32 against float64.
    x0_weight = np.sqrt(before) * beta[i] / (1 - alpha_bar[i])
    x_weight = np.sqrt(1 - beta[i]) * (1 - before) / (1 - alpha_bar[i])
    np.testing.assert_allclose(mean[:, 0], x0_weight * x0 + x_weight * x[i], atol=2e-6)
    np.testing.assert_allclose(std, np.sqrt(beta[i]), rtol=2e-6)


def test_ve_ancestral_is_the_smld_posterior():
    n, x0 = 20, 0.6
    sde = VESDE()
    sigma = np.geomspace(0.01, 50.0, n)
    x = np.linspace(-2, 2, n)
    i = np.arange(1, n)
    score = -(x - x0) / sigma**2
    t = chain_time(jnp.asarray(i), n)
    mean, std = sde.ancestral(jnp.asarray(x[i, None]), jnp.asarray(score[i, None]), t, n)
    kept = (sigma[i - 1] / sigma[i]) ** 2
    # x_i = x_{i-1} + noise of variance sigma_i^2 - sigma_{i-1}^2, by Bayes; float32, where a
    # power of 5000 multiplies the rounding of its exponent.
    np.testing.assert_allclose(mean[:, 0], x0 + kept * (x[i] - x0), atol=4e-6)
    np.testing.assert_allclose(std, sigma[i - 1] * np.sqrt(1 - kept), rtol=1e-5)


@every_sde
def test_reverse_and_ode_drift_subtract_the_score(sde):
    x = jax.random.normal(jax.random.key(0), (3, 2, 2, 1))
    t = jnp.asarray([0.1, 0.5, 1.0])
    score = jnp.sin(x)
    f = np.asarray(sde.drift(x, t))
    g2 = exact(sde, t)[2].reshape(3, 1, 1, 1) ** 2
    # Terms of opposite sign: rounding is measured against the larger one.
    atol = 3e-6 * g2.max()
    full = reverse_drift(sde, lambda x, t: jnp.sin(x), x, t)
    np.testing.assert_allclose(full, f - g2 * score, rtol=1e-5, atol=atol)
    half = ode_drift(sde, lambda x, t: jnp.sin(x), x, t)
    np.testing.assert_allclose(half, f - g2 * score / 2, rtol=1e-5, atol=atol)
