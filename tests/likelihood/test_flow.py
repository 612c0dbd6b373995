"""Log-densities of Gaussians, whose probability flow and divergence are known in closed form.

Along axis d of the data the flow stretches by sqrt(v_d(1) / v_d(t_min)), so the integral of
v^T (dF/dx) v is sum_d (q_d . v)^2 log(v_d(1) / v_d(t_min)) / 2 for any probe v.
"""

from functools import partial

import commands
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from gaussian import correlated, default_sde, diagonal, every_sde, isotropic
from random_parameters import random_parameters

from scoresde_jax.likelihood import gaussian, log_likelihood, rademacher
from scoresde_jax.likelihood.flow import value_and_divergence
from scoresde_jax.models import NCSNpp
from scoresde_jax.score import make_score_fn, vp_continuous
from scoresde_jax.sde import VPSDE, SubVPSDE

SHAPE = (4, 2, 2)
DIMS = 16
BATCH = 64
T_MIN = 1e-3
# Nats per dimension at a tolerance of 3e-6: the solver's error, which is of log p and not of its
# dimensions, and float32 sums.
ATOL = 1e-4 * DIMS
DATA = {"isotropic": isotropic(SHAPE), "diagonal": diagonal(SHAPE), "correlated": correlated(SHAPE)}

every_data = pytest.mark.parametrize("data", DATA.values(), ids=DATA)


@partial(jax.jit, static_argnums=(4, 5))
def compiled(keys, sde, data, x, probes, probe, tol, max_steps):
    options = {"t_min": T_MIN, "rtol": tol, "atol": tol, "max_steps": max_steps}
    return log_likelihood(keys, sde, data.score_fn(sde), x, probes=probes, probe=probe, **options)


def run(keys, sde, data, x, tol=3e-6, max_steps=1000, probes=4, probe=rademacher):
    """One compilation per kind of SDE, shape and probes; the rest are its arguments."""
    return compiled(keys, sde, data, x, probes, probe, tol, max_steps)


def keys_of(seed):
    return jax.random.split(jax.random.key(seed), BATCH)


def variances(data, sde):
    """Variance (DIMS,) along each axis at t_min and at 1."""
    return [np.asarray(data.marginal(sde, jnp.full(1, t))[1][0], np.float64) for t in (T_MIN, 1.0)]


def expected_logp(sde, data, x, z, v):
    """log p that a solver without error returns, given the probes v (k, B, ...); (k, B)."""
    low, high = variances(data, sde)
    squares = (np.asarray(v).reshape(*v.shape[:2], -1) @ data.basis) ** 2
    return np.asarray(sde.prior_logp(z)) + squares @ np.log(high / low) / 2


@every_sde
@every_data
def test_logp_is_the_closed_form_for_the_probes_drawn(sde, data):
    x = data.sample(sde, jax.random.key(0), BATCH, T_MIN)
    result = run(keys_of(1), sde, data, x)
    v = jnp.stack([rademacher(key, (4, *SHAPE)) for key in keys_of(1)], axis=1)
    each = expected_logp(sde, data, x, result.z, v)
    np.testing.assert_allclose(result.logp, each.mean(axis=0), atol=ATOL)
    np.testing.assert_allclose(result.logp_se, each.std(axis=0, ddof=1) / 2, atol=ATOL)
    assert result.logp.shape == result.logp_se.shape == result.nfe.shape == (BATCH,)
    assert result.z.shape == x.shape and np.all(result.converged)


@every_sde
@pytest.mark.parametrize("name", ["isotropic", "diagonal"])
def test_logp_is_the_true_density_where_probes_are_exact(sde, name):
    # Signs are exact for a diagonal Jacobian; the mismatch of prior and p_1 is taken out.
    data = DATA[name]
    x = data.sample(sde, jax.random.key(0), BATCH, T_MIN)
    result = run(keys_of(1), sde, data, x)
    matched = result.logp - sde.prior_logp(result.z) + data.logp(sde, result.z, 1.0)
    np.testing.assert_allclose(matched, data.logp(sde, x, T_MIN), atol=ATOL)
    np.testing.assert_allclose(result.logp_se, 0, atol=ATOL)


@every_sde
@every_data
def test_logp_is_the_true_density_with_the_exact_trace(sde, data):
    x = data.sample(sde, jax.random.key(0), BATCH, T_MIN)
    result = run(keys_of(1), sde, data, x, tol=3e-6, probes=0)
    matched = result.logp - sde.prior_logp(result.z) + data.logp(sde, result.z, 1.0)
    np.testing.assert_allclose(matched, data.logp(sde, x, T_MIN), atol=ATOL)
    np.testing.assert_array_equal(result.logp_se, 0)


@pytest.mark.parametrize("probe", [rademacher, gaussian])
@pytest.mark.parametrize("probes", [1, 4])
def test_any_probes_are_averaged(probe, probes):
    sde, data = VPSDE(), DATA["correlated"]
    x = data.sample(sde, jax.random.key(0), BATCH, T_MIN)
    result = run(keys_of(1), sde, data, x, probes=probes, probe=probe)
    v = jnp.stack([probe(key, (probes, *SHAPE)) for key in keys_of(1)], axis=1)
    expected = expected_logp(sde, data, x, result.z, v).mean(axis=0)
    np.testing.assert_allclose(result.logp, expected, atol=ATOL)
    assert np.all(np.isnan(result.logp_se)) == (probes == 1)


@pytest.mark.parametrize("probe", [rademacher, gaussian])
def test_standard_error_over_probes_is_honest(probe):
    # 64 keys for one x: what is left of log p is the probes' doing.
    sde, data = VPSDE(), DATA["correlated"]
    x = jnp.tile(data.sample(sde, jax.random.key(0), 1, T_MIN), (BATCH, 1, 1, 1))
    result = run(keys_of(2), sde, data, x, probe=probe)
    matched = result.logp - sde.prior_logp(result.z) + data.logp(sde, result.z, 1.0)
    error = np.asarray(matched - data.logp(sde, x, T_MIN))
    spread = error.std(ddof=1)
    assert abs(error.mean()) < 5 * spread / np.sqrt(BATCH)
    # A standard deviation of 64 is known to 9 %, the mean of 64 squared errors to 10 %: 4 times.
    np.testing.assert_allclose(np.sqrt(np.mean(result.logp_se**2)), spread, rtol=0.5)
    assert spread > 0.1  # the probes matter here


@pytest.mark.parametrize("probe", [rademacher, gaussian])
def test_intervals_of_student_cover_and_four_times_the_probes_halve_them(probe):
    sde, data = VPSDE(), DATA["correlated"]
    seeds = 100
    x = jnp.tile(data.sample(sde, jax.random.key(0), 1, T_MIN), (seeds, 1, 1, 1))
    keys = jax.random.split(jax.random.key(3), seeds)
    exact = run(keys[:1], sde, data, x[:1], probes=0).logp
    errors = {}
    for probes in (8, 32):
        result = run(keys, sde, data, x, probes=probes, probe=probe)
        half = scipy.stats.t.ppf(0.995, probes - 1) * result.logp_se
        assert np.sum(np.abs(result.logp - exact) <= half) >= 97
        errors[probes] = np.sqrt(np.mean(result.logp_se**2))
    # The mean of 100 estimates of a variance with 7 degrees of freedom is known to 5 %.
    np.testing.assert_allclose(errors[8] / errors[32], 2, rtol=0.1)


NEIGHBOURS = pytest.mark.parametrize("neighbour", [1.0, 1e4, np.nan], ids=["easy", "far", "nan"])


@default_sde
@NEIGHBOURS
def test_an_example_does_not_know_its_neighbours(sde, neighbour):
    data = DATA["diagonal"]
    x = data.sample(sde, jax.random.key(0), BATCH, T_MIN)
    x = x.at[1:].multiply(neighbour)
    beside = run(keys_of(1), sde, data, x)
    alone = run(keys_of(1)[:1], sde, data, x[:1])
    assert beside.nfe[0] == alone.nfe[0] and beside.converged[0] and alone.converged[0]
    np.testing.assert_allclose(beside.logp[0], alone.logp[0], atol=1e-5 * DIMS)
    scale = np.max(np.abs(alone.z[0]))
    np.testing.assert_allclose(beside.z[0] / scale, alone.z[0] / scale, atol=1e-5)


@pytest.fixture(scope="module")
def network_logp():
    """(keys, x) -> log-density under a small NCSN++ that has something to say; sub-VP."""
    network = NCSNpp(
        features=8, channel_multipliers=(1,), blocks_per_level=1, attention_resolutions=()
    )
    # The last layer starts at zero, which would hide everything before it.
    params = random_parameters(network, jnp.zeros((1, 4, 4, 1)), jnp.ones(1), scale=0.1)
    params = jax.tree.map(lambda leaf: leaf.astype(np.float32), params)
    sde = SubVPSDE()

    @partial(jax.jit, compiler_options=commands.COMPILER)
    def logp(keys, x):
        score_fn = make_score_fn(vp_continuous(sde), partial(network.apply, {"params": params}))
        options = {"t_min": 1e-2, "rtol": 1e-5, "atol": 1e-5, "max_steps": 300}
        return log_likelihood(keys, sde, score_fn, x, **options)

    return logp


@NEIGHBOURS
def test_nor_does_it_with_a_network(network_logp, neighbour):
    x = jax.random.uniform(jax.random.key(2), (8, 4, 4, 1), minval=-1.0)
    beside = network_logp(keys_of(3)[:8], x.at[1:].multiply(neighbour))
    alone = network_logp(keys_of(3)[:1], x[:1])
    assert beside.converged[0] and alone.converged[0]
    # 1e-4 nats/dim: sums over other batches round otherwise, and the solver amplifies it.
    np.testing.assert_allclose(beside.logp[0] / 16, alone.logp[0] / 16, rtol=0, atol=1e-4)


def test_running_out_of_steps_is_nan_and_not_converged():
    sde, data = VPSDE(), DATA["diagonal"]
    x = data.sample(sde, jax.random.key(0), BATCH, T_MIN)
    x = x.at[1].set(jnp.nan)
    short = run(keys_of(1), sde, data, x, max_steps=2)
    assert not np.any(short.converged) and np.all(np.isnan(short.logp))
    np.testing.assert_array_equal(np.asarray(short.nfe)[[0, 2]], 2 + 6 * 2)
    enough = run(keys_of(1), sde, data, x)
    np.testing.assert_array_equal(enough.converged, np.arange(BATCH) != 1)
    np.testing.assert_array_equal(np.isnan(enough.logp), np.arange(BATCH) == 1)


@default_sde
def test_tolerance_is_kept(sde):
    data = DATA["diagonal"]
    x = data.sample(sde, jax.random.key(0), BATCH, T_MIN)
    loose, tight = (run(keys_of(1), sde, data, x, tol=tol) for tol in (1e-3, 1e-5))
    assert np.mean(loose.nfe) < np.mean(tight.nfe)
    np.testing.assert_allclose(loose.logp, tight.logp, atol=1e-2 * DIMS)


MATRIX = np.random.default_rng(0).normal(size=(6, 6)).astype(np.float32)


def nonlinear(x):
    """A field whose Jacobian is neither diagonal nor symmetric nor constant."""
    return jnp.tanh(x.reshape(-1, 6) @ MATRIX).reshape(x.shape) * jnp.cos(x)


def test_divergence_over_all_axes_is_the_trace():
    x = jax.random.normal(jax.random.key(0), (3, 2, 3, 1))
    axes = np.sqrt(6) * np.eye(6, dtype=np.float32).reshape(6, 1, 2, 3, 1)
    v = jnp.tile(axes, (1, 3, 1, 1, 1))
    value, divergence = value_and_divergence(nonlinear, x, v)
    assert divergence.shape == (3, 6)
    np.testing.assert_allclose(value, nonlinear(x), rtol=1e-6)
    jacobian = jax.vmap(jax.jacobian(lambda x: nonlinear(x[None])[0]))(x).reshape(3, 6, 6)
    trace = np.trace(jacobian, axis1=1, axis2=2)
    np.testing.assert_allclose(np.mean(divergence, axis=1), trace, rtol=1e-5, atol=1e-5)


def test_divergence_is_the_quadratic_form_of_each_probe():
    x = jax.random.normal(jax.random.key(0), (3, 2, 3, 1))
    v = jax.random.normal(jax.random.key(1), (5, 3, 2, 3, 1))
    _, divergence = value_and_divergence(nonlinear, x, v)
    jacobian = jax.vmap(jax.jacobian(lambda x: nonlinear(x[None])[0]))(x).reshape(3, 6, 6)
    flat = np.asarray(v).reshape(5, 3, 6)
    expected = np.einsum("kbi,bij,kbj->bk", flat, np.asarray(jacobian), flat)
    np.testing.assert_allclose(divergence, expected, rtol=1e-4, atol=1e-4)


def test_the_score_is_traced_at_most_twice():
    traces = []

    def score_fn(x, t):
        traces.append(1)
        return -x

    options = {"t_min": 0.1, "rtol": 1e-2, "atol": 1e-2, "probes": 4}
    x = jnp.ones((2, *SHAPE))
    jax.eval_shape(
        lambda keys: log_likelihood(keys, VPSDE(), score_fn, x, **options), keys_of(0)[:2]
    )
    assert len(traces) <= 2  # the first step and the loop; probes share one trace
