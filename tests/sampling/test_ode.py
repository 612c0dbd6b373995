"""The probability flow carries noise to Gaussian data and back."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gaussian import correlated, default_sde, diagonal, every_sde

from scoresde_jax.sampling import decode, encode, ode_sample
from scoresde_jax.sde import VPSDE

SHAPE = (2, 2, 1)
BATCH = 4096
T_MIN = 1e-5
DATA = diagonal(SHAPE)


@jax.jit
def draw(key, sde, data):
    return ode_sample(
        key, sde, data.score_fn(sde), (BATCH, *SHAPE), t_min=T_MIN, rtol=1e-4, atol=1e-4
    )


@jax.jit
def compiled(sde, x, tol, max_steps):
    options = {"t_min": T_MIN, "rtol": tol, "atol": tol, "max_steps": max_steps}
    there = encode(sde, DATA.score_fn(sde), x, **options)
    return there, decode(sde, DATA.score_fn(sde), there.x, **options)


def round_trip(sde, x, tol, max_steps=1000):
    """Encoded, and decoded again; one compilation per kind of SDE."""
    return compiled(sde, x, tol, max_steps)


@every_sde
def test_samples_have_the_mean_and_std_of_the_data(sde):
    samples = draw(jax.random.key(0), sde, DATA)
    x = np.asarray(samples.x).reshape(BATCH, -1)
    # x_1 of the data has the std of the prior within 2 % (sigma_max 10) and a mean within
    # 5 % of a std; then 5 standard errors of 4096 samples.
    assert np.all(np.abs(x.mean(axis=0) - DATA.mean.reshape(-1)) < 0.13 * DATA.std)
    assert np.all(np.abs(x.std(axis=0) / DATA.std - 1) < 0.075)
    assert np.all(samples.converged)
    assert samples.nfe.shape == (BATCH,) and np.all(samples.nfe % 6 == 2)


@every_sde
def test_samples_have_the_covariance_of_the_data(sde):
    data = correlated(SHAPE)
    x = np.asarray(draw(jax.random.key(0), sde, data).x).reshape(BATCH, -1)
    wanted = data.basis @ np.diag(data.std**2) @ data.basis.T
    # 5 standard errors of 4096 samples, at most sqrt(2 / 4096) of the largest variance, and 4 %
    # because the prior has not the variance of x_1 (VE up to 10 against data of std 2).
    assert np.all(np.abs(np.cov(x.T) - wanted) < 0.15 * data.std.max() ** 2)
    assert np.max(np.abs(wanted - np.diag(np.diag(wanted)))) > 0.2 * data.std.max() ** 2


@every_sde
def test_encode_is_the_closed_form_and_decode_takes_it_back(sde):
    x = DATA.sample(sde, jax.random.key(0), 16, T_MIN)
    there, back = round_trip(sde, x, 1e-6)
    assert np.all(there.converged) and np.all(back.converged)
    np.testing.assert_allclose(back.x, x, atol=1e-4)
    # Along each axis the flow keeps (x - mean) / std.
    (m0, v0), (m1, v1) = (DATA.marginal(sde, jnp.full(1, t)) for t in (T_MIN, 1.0))
    z = m1 + jnp.sqrt(v1 / v0) * (x.reshape(16, -1) - m0)
    np.testing.assert_allclose(there.x.reshape(16, -1), z, rtol=1e-4, atol=1e-4 * np.sqrt(v1.max()))


@default_sde
def test_tolerance_is_kept(sde):
    x = DATA.sample(sde, jax.random.key(0), 16, T_MIN)
    loose, _ = round_trip(sde, x, 1e-3)
    tight, _ = round_trip(sde, x, 1e-6)
    assert np.max(loose.nfe) < np.min(tight.nfe)


def test_running_out_of_steps_is_reported():
    there, back = round_trip(VPSDE(), jnp.ones((16, *SHAPE)), 1e-5, max_steps=3)
    assert not np.any(there.converged) and np.all(np.isnan(there.x))
    np.testing.assert_array_equal(there.nfe, 2 + 6 * 3)
    assert not np.any(back.converged)  # what starts as NaN stays so


@pytest.mark.parametrize("function", [encode, decode])
def test_score_is_traced_at_most_twice(function):
    traces, sde = [], VPSDE()

    def score_fn(x, t):
        traces.append(1)
        return -x

    options = {"t_min": 0.1, "rtol": 1e-2, "atol": 1e-2}
    jax.eval_shape(lambda x: function(sde, score_fn, x, **options), jnp.ones((2, *SHAPE)))
    assert len(traces) <= 2
