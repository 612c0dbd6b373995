"""The battery: every method of few steps finds the flow, at its order, at its cost."""

from dataclasses import dataclass
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gaussian import DEFAULTS, diagonal
from mixture import APART, GAUSSIAN, SMOOTH, flow

from sampling.chosen import chosen, fast
from scoresde_jax.sampling import (
    ddim,
    dpm_solver_2m,
    dpm_solver_2s,
    dpm_solver_3m,
    grid_sample,
    heun,
    log_snr_grid,
    sde_dpm_solver_1,
    sde_dpm_solver_2m,
    uniform_grid,
    unipc,
)
from scoresde_jax.sampling.change import denoised
from scoresde_jax.sde import VESDE, VPSDE

KEY = jax.random.key(0)


@dataclass(frozen=True)
class Case:
    """A method, and what is claimed of it."""

    method: object
    order: int
    order_cold: int  # without a history
    history: int = 0  # predictions that a start of full order needs
    evaluations: int = 1  # a step


# A new deterministic method is tested by joining the list.
FLOW = {
    "ddim": Case(ddim, 1, 1),
    "heun": Case(heun, 2, 2, evaluations=2),
    "dpm_solver_2s": Case(dpm_solver_2s, 2, 2, evaluations=2),
    "dpm_solver_2m": Case(dpm_solver_2m, 2, 2, history=1),
    "dpm_solver_3m": Case(dpm_solver_3m, 3, 2, history=2),
    "unipc-2": Case(partial(unipc, order=2), 3, 3, history=1),
    "unipc-3": Case(partial(unipc, order=3), 4, 3, history=2),
}
NOISY = {
    "sde_dpm_solver_1": Case(sde_dpm_solver_1, 1, 1),
    "sde_dpm_solver_2m": Case(sde_dpm_solver_2m, 1, 1),
    "heun-churn": Case(partial(heun, s_churn=4.0), 2, 2, evaluations=2),
}
every_flow = pytest.mark.parametrize("name", FLOW)
every_method = pytest.mark.parametrize("case", (FLOW | NOISY).values(), ids=list(FLOW | NOISY))

every_sde = pytest.mark.parametrize("sde", DEFAULTS)


@partial(fast, static_argnames="name")
def run(name, sde, data, x, times, history):
    options = {"history": history} if history else {}
    return FLOW[name].method(KEY, sde, data.score_fn(sde), x, times, **options).x


def carried(name, sde, data, x, times, history=()):
    """`run`; a method without a past in parts of 5 steps, so that it is compiled for one length."""
    part = len(times) - 1 if FLOW[name].history else 5
    for i in range(0, len(times) - 1, part):
        x = run(name, sde, data, x, times[i : i + part + 1], history)
    return x


@fast
def predict(sde, data, x, t):
    return denoised(sde, data.score_fn(sde), x, t)


@fast
def even_times(sde, ends, fractions):
    """Times even in half log-SNR."""
    return sde.time_of_half_log_snr(ends[0] + (ends[1] - ends[0]) * fractions)


def counts(name):
    """Steps on the grids of the convergence test; among them 20 and 50 evaluations."""
    return (10, 25, 50, 100) if FLOW[name].evaluations == 2 else (20, 50, 100, 200)


# From s = sigma / alpha = 3, where the flow begins to bend, to s = 0.1: a std above 0.09.
ENDS = -np.log([3.0, 0.1])


@cache
def start(sde):
    """Eight points at s = 3, and the flow from there to s = 0.1."""
    t0, t1 = even_times(chosen(sde), ENDS, np.asarray([0.0, 1.0]))
    x = 3 * DEFAULTS[sde].marginal(jnp.ones(()), t0)[0] * jax.random.normal(KEY, (8, 2))
    return x, flow(DEFAULTS[sde], SMOOTH, x, [t0, t1])[-1]


@cache
def head(sde, steps):
    """The times of a grid, and the flow at its first three."""
    times = even_times(chosen(sde), ENDS, np.linspace(0, 1, steps + 1))
    return times, flow(DEFAULTS[sde], SMOOTH, start(sde)[0], times[:3])


@cache
def errors(name, sde, warm):
    """Largest error at the end for each of `counts`."""
    found, k = [], FLOW[name].history if warm else 0
    _, exact = start(sde)
    for steps in counts(name)[: None if warm else 2]:
        times, points = head(sde, steps)
        history = tuple(
            (times[i], predict(chosen(sde), SMOOTH, points[i], times[i]))
            for i in reversed(range(k))
        )
        x = carried(name, chosen(sde), SMOOTH, points[k], times[k:], history)
        found.append(float(np.max(np.abs(x - exact))))
    return np.asarray(found)


def slopes(found, steps):
    return -np.diff(np.log(found)) / np.diff(np.log(steps))


@every_flow
@every_sde
def test_the_error_falls_at_the_order_of_the_method(name, sde):
    with jax.enable_x64(True):
        found = slopes(errors(name, sde, True), counts(name))
    # 0.2 below the order: the next term of the error, at 10 steps over a factor of 30 in s.
    assert np.all(found > FLOW[name].order - 0.2)


@pytest.mark.parametrize("name", [name for name in FLOW if FLOW[name].history])
@every_sde
def test_a_start_of_first_order_costs_no_more_than_it_says(name, sde):
    with jax.enable_x64(True):
        found = slopes(errors(name, sde, False), counts(name)[:2])
    assert np.all(found > FLOW[name].order_cold - 0.2)


@every_flow
@every_sde
def test_the_flow_of_a_gaussian_is_its_closed_form(name, sde):
    """Along the flow x keeps its place, (x - mean) / std."""
    with jax.enable_x64(True):
        x0, _ = start(sde)
        times = even_times(chosen(sde), ENDS, np.linspace(0, 1, 50 // FLOW[name].evaluations + 1))
        x = carried(name, chosen(sde), GAUSSIAN, x0, times)
        mean, std = GAUSSIAN.mean[0], GAUSSIAN.std[0]
        (m0, s0), (m1, s1) = (
            DEFAULTS[sde].marginal(jnp.ones(()), t) for t in (times[0], times[-1])
        )
        exact = m1 * mean + jnp.hypot(m1 * std, s1) * (x0 - m0 * mean) / jnp.hypot(m0 * std, s0)
        error = float(jnp.max(jnp.abs(x - exact)) / std)
    # 50 evaluations over a factor of 30 in s: h = 0.07 of half log-SNR each.
    assert error < (0.07 * FLOW[name].evaluations) ** FLOW[name].order_cold


@every_sde
@pytest.mark.parametrize("nfe", [20, 50])
def test_every_method_of_a_higher_order_is_closer_than_ddim(sde, nfe):
    """From the prior, over the whole of the grid, to modes that are apart."""
    found = {}
    with jax.enable_x64(True):
        t_min = float(even_times(chosen(sde), -np.log([0.05, 1]), np.zeros(())))
        x = DEFAULTS[sde].prior_sample(jax.random.key(3), (8, 2))
        exact = flow(DEFAULTS[sde], APART, x, [1.0, t_min])[-1]
        for name, case in FLOW.items():
            times = log_snr_grid(DEFAULTS[sde], nfe // case.evaluations, t_min)
            error = carried(name, chosen(sde), APART, x, times) - exact
            found[name] = float(jnp.sqrt(jnp.mean(error**2)))
    # Ten of Heun's steps are too few for s from 152 (VP): it is level with DDIM, and often behind.
    spared = {"ddim", "heun"} if nfe == 20 else {"ddim"}
    assert all(error < found["ddim"] for name, error in found.items() if name not in spared)
    # Far closer, where an evaluation is a step and the order is above 1: measured 9 times and more.
    assert all(found[name] < found["ddim"] / 5 for name in found if FLOW[name].history)


@every_flow
def test_an_example_knows_nothing_of_its_batch(name):
    with jax.enable_x64(True):
        x0, _ = start("vp")
        times = even_times(chosen("vp"), ENDS, np.linspace(0, 1, counts(name)[0] + 1))
        other = jnp.flip(x0, axis=0).at[2].set(x0[2])
        alone, among = (carried(name, chosen("vp"), SMOOTH, x, times) for x in (other, x0))
        np.testing.assert_array_equal(alone[2], among[2])
        assert not np.any(alone[3] == among[3])


@every_method
def test_nfe_is_the_number_of_calls_and_the_score_is_traced_twice(case):
    """Once in the loop, and once for the x0-prediction at the end."""
    calls, traces, sde = [], [], VPSDE()

    def score_fn(x, t):
        assert t.shape == x.shape[:1]
        traces.append(1)
        jax.debug.callback(lambda: calls.append(1))
        return -x

    options = {"method": case.method, "grid": uniform_grid, "steps": 4, "t_min": 0.1}
    draw = fast(lambda key: grid_sample(key, sde, score_fn, (3, 2), **options))
    samples = jax.block_until_ready(draw(KEY))
    jax.effects_barrier()
    assert len(calls) == 4 * case.evaluations + 1 and len(traces) == 2
    np.testing.assert_array_equal(samples.nfe, len(calls))
    assert samples.x.shape == (3, 2) and samples.nfe.dtype == jnp.int32
    assert samples.converged.shape == (3,) and np.all(samples.converged)


@pytest.mark.parametrize("method", [dpm_solver_2m, sde_dpm_solver_2m])
@pytest.mark.parametrize("sde", [VPSDE(), VESDE()], ids=["vp", "ve"])
def test_grid_sample_draws_the_data_and_denoises_it_at_the_end(method, sde):
    data, shape = diagonal((1, 2, 1)), (4096, 1, 2, 1)
    score_fn = data.score_fn(sde)
    options = {"method": method, "grid": log_snr_grid, "steps": 30, "t_min": 1e-3}

    @fast
    def draw(key):
        plain = grid_sample(key, sde, score_fn, shape, denoise=False, **options)
        return plain, grid_sample(key, sde, score_fn, shape, **options)

    plain, clean = draw(KEY)
    x0 = denoised(sde, score_fn, plain.x, jnp.asarray(1e-3))
    np.testing.assert_allclose(clean.x, x0, atol=1e-5)
    np.testing.assert_array_equal(clean.nfe, plain.nfe + 1)
    x = np.asarray(clean.x).reshape(shape[0], -1)
    # 5 standard errors of 4096 samples, 8 % of a std for the mean and 5.5 % for the std.
    assert np.all(np.abs(x.mean(axis=0) - data.mean.reshape(-1)) < 0.08 * data.std)
    assert np.all(np.abs(x.std(axis=0) / data.std - 1) < 0.055)
