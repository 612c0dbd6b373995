"""The solver against closed forms, scipy and diffrax; each example on its own in a batch."""

from functools import partial

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from scoresde_jax import ode
from scoresde_jax.runge_kutta import BOGACKI_SHAMPINE, DORMAND_PRINCE, TSITOURAS

# Tolerances, times and max_steps are arguments: one compilation for a field and a shape.
solve = jax.jit(ode.solve, static_argnums=0, static_argnames="pair")


def decay(t, y, args):
    return -y


def oscillator(t, y, args):
    return jnp.stack([y[:, 1], -y[:, 0]], axis=1)


def van_der_pol(t, y, args):
    """State x and its own stiffness, so that neighbours can differ; stiff from mu = 10 or so."""
    x, mu = y["x"], y["mu"]
    slope = mu * (1 - x[:, 0] ** 2) * x[:, 1] - x[:, 0]
    return {"x": jnp.stack([x[:, 1], slope], axis=1), "mu": jnp.zeros_like(mu)}


def forced(t, y, args):
    """A field that depends on time."""
    return -2 * y + jnp.sin(5 * t)[:, None]


@pytest.mark.parametrize("t0, t1", [(0.0, 2.0), (2.0, 0.0)], ids=["forward", "backward"])
@pytest.mark.parametrize("tol", [1e-3, 1e-4, 1e-5])
def test_decay_and_oscillator_are_solved_to_tolerance(t0, t1, tol):
    y0 = jnp.asarray([[1.0, 0.5], [0.3, -2.0], [0.0, 1.0]])
    options = {"rtol": tol, "atol": tol, "max_steps": 1000}
    solution = solve(decay, y0, t0, t1, **options)
    # The local error is held to tol; it grows with the flow, e^2 backward, over some ten steps.
    growth = max(1.0, np.exp(t0 - t1))
    np.testing.assert_allclose(solution.y, y0 * np.exp(t0 - t1), atol=5 * tol * growth)
    assert np.all(solution.converged)
    solution = solve(oscillator, y0, t0, t1, **options)
    c, s = np.cos(t1 - t0), np.sin(t1 - t0)
    np.testing.assert_allclose(solution.y, y0 @ np.asarray([[c, -s], [s, c]]), atol=10 * tol)
    assert np.all(solution.converged)


def test_tighter_tolerance_costs_the_fifth_root_more():
    y0 = jnp.asarray([[1.0, 0.0]] * 3)
    coarse, fine = (
        solve(oscillator, y0, 0.0, 30.0, rtol=tol, atol=tol, max_steps=1000).nfe[0]
        for tol in (1e-3, 1e-5)
    )
    # Steps go as tol^(-1/5): a hundredth of the tolerance, 2.5 times the steps.
    assert 2.2 < fine / coarse < 2.8


SINGLE = {
    "decay": (decay, lambda t, y: -y),
    "oscillator": (oscillator, lambda t, y: [y[1], -y[0]]),
    "forced": (forced, lambda t, y: -2 * y + np.sin(5 * t)),
}


@pytest.mark.parametrize("field, scipy_field", SINGLE.values(), ids=SINGLE)
@pytest.mark.parametrize("tol", [1e-3, 1e-5])
@pytest.mark.parametrize("t1", [4.0, -1.0])
def test_evaluations_are_those_of_scipy_rk45(field, scipy_field, tol, t1):
    y0 = np.asarray([[1.0, 0.3], [-4.0, 2.0], [0.0, 0.1]])
    ours = solve(field, jnp.asarray(y0), 0.0, t1, rtol=tol, atol=tol, max_steps=1000)
    for i in range(3):
        theirs = solve_ivp(scipy_field, (0.0, t1), y0[i], method="RK45", rtol=tol, atol=tol)
        # The same pair, step rule and first step; float32 may turn an accepted step into a
        # rejected one.
        assert abs(int(ours.nfe[i]) - theirs.nfev) <= 6
        # On the same steps they share even the error; where they part, they differ by tol.
        np.testing.assert_allclose(ours.y[i], theirs.y[:, -1], rtol=2 * tol, atol=2 * tol)


PAIRS = {"rk23": BOGACKI_SHAMPINE, "rk45": DORMAND_PRINCE, "tsit5": TSITOURAS}
THEIRS = {"rk23": diffrax.Bosh3(), "rk45": diffrax.Dopri5(), "tsit5": diffrax.Tsit5()}


@pytest.mark.parametrize("name", PAIRS)
def test_formulas_are_those_of_diffrax(name):
    pair, tableau = PAIRS[name], THEIRS[name].tableau
    for ours, theirs in zip(pair.a[1:], tableau.a_lower, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-14)
    np.testing.assert_allclose(pair.c[1:], tableau.c, rtol=1e-14)
    np.testing.assert_allclose(pair.a[-1], tableau.b_sol[:-1], rtol=1e-14)  # the last is the next
    # diffrax takes two thirds of Dormand and Prince's own estimate; scipy takes the whole.
    share = 2 / 3 if name == "rk45" else 1
    # Its numbers are small differences of rounded ones.
    np.testing.assert_allclose(share * np.array(pair.error), tableau.b_error, rtol=1e-11)
    assert pair.order == THEIRS[name].order(None)


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_every_pair_solves_to_tolerance_in_steps_of_its_order(pair):
    y0 = jnp.asarray([[1.0, 0.0], [-2.0, 0.5]])
    options = {"max_steps": 2000, "pair": pair}
    coarse, fine = (
        solve(oscillator, y0, 0.0, 10.0, rtol=tol, atol=tol, **options) for tol in (1e-3, 1e-5)
    )
    c, s = np.cos(10.0), np.sin(10.0)
    np.testing.assert_allclose(fine.y, y0 @ np.asarray([[c, -s], [s, c]]), atol=4e-4)
    # Steps go as tol^(-1/order), but for the first ones.
    growth = fine.nfe[0] / coarse.nfe[0]
    np.testing.assert_allclose(growth, 100 ** (1 / pair.order), rtol=0.2)


def test_a_step_that_met_nan_is_tried_again_smaller():
    """A field that is NaN where only too long a step goes."""

    def walled(t, y, args):
        return jnp.where(y < 0.99, 40 * (0.9 - y), jnp.nan)

    y0 = jnp.asarray([[0.0], [0.5]])
    solution = solve(walled, y0, 0.0, 1.0, rtol=1e-1, atol=1e-1, max_steps=200)
    assert np.all(solution.converged)
    np.testing.assert_allclose(solution.y, 0.9, atol=0.1)
    assert np.max(solution.nfe) > 8


def test_nfe_counts_every_call_while_the_slowest_runs():
    calls = []

    def counted(t, y, args):
        jax.debug.callback(lambda: calls.append(1))
        return forced(t, y, args)

    run = jax.jit(lambda y: ode.solve(counted, y, 0.0, 3.0, rtol=1e-4, atol=1e-4, max_steps=1000))
    solution = run(jnp.asarray([[1.0, 0.3], [50.0, -20.0]]))
    jax.effects_barrier()
    assert len(calls) == np.max(solution.nfe)
    assert np.all((solution.nfe - 2) % 6 == 0)
    assert solution.nfe[0] != solution.nfe[1]


def test_solution_agrees_with_diffrax():
    y0 = jnp.asarray([[1.0, 0.3], [5.0, -2.0], [0.0, 0.1]])
    tol = 1e-5

    def one(y):
        return diffrax.diffeqsolve(
            diffrax.ODETerm(lambda t, y, args: -2 * y + jnp.sin(5 * t)),
            diffrax.Dopri5(),
            0.0,
            3.0,
            None,
            y,
            stepsize_controller=diffrax.PIDController(rtol=tol, atol=tol),
            max_steps=1000,
        ).ys[-1]

    theirs = jax.jit(jax.vmap(one))(y0)
    ours = solve(forced, y0, 0.0, 3.0, rtol=tol, atol=tol, max_steps=1000)
    np.testing.assert_allclose(ours.y, theirs, atol=2 * tol)  # tol from either


def solve_van_der_pol(y0, max_steps=500):
    """Five units of time at a tolerance of 1e-4."""
    return solve(van_der_pol, y0, 0.0, 5.0, rtol=1e-4, atol=1e-4, max_steps=max_steps)


def oscillators(mu, batch):
    """`batch` oscillators: the first at a fixed start and mu = 1, the others with `mu`."""
    x = np.random.default_rng(0).normal(size=(batch, 2)).astype(np.float32)
    mus = np.full(batch, mu, np.float32)
    x[0], mus[0] = (1.5, -0.2), 1.0
    return {"x": jnp.asarray(x), "mu": jnp.asarray(mus)}


@pytest.mark.parametrize("mu", [0.5, 30.0, np.nan, np.inf], ids=["easy", "stiff", "nan", "inf"])
@pytest.mark.parametrize("batch", [2, 64])
def test_an_example_does_not_know_its_neighbours(mu, batch):
    alone = solve_van_der_pol(oscillators(mu, 1))
    beside = solve_van_der_pol(oscillators(mu, batch))
    assert beside.nfe[0] == alone.nfe[0] and beside.converged[0]
    # Only the order of float32 sums may differ.
    np.testing.assert_allclose(beside.y["x"][0], alone.y["x"][0], rtol=1e-6, atol=1e-6)
    if mu == 30.0:
        assert np.max(beside.nfe[1:]) > 2 * beside.nfe[0]  # the neighbours were hard indeed


def test_running_out_of_steps_is_nan_and_spares_the_neighbours():
    fields = {"x": jnp.asarray([[1.5, -0.2]] * 2), "mu": jnp.asarray([1.0, 100.0])}
    run = jax.jit(lambda y: ode.solve(van_der_pol, y, 0.0, 5.0, rtol=1e-4, atol=1e-4, max_steps=60))
    solution = run(fields)
    np.testing.assert_array_equal(solution.converged, [True, False])
    assert np.all(np.isfinite(solution.y["x"][0])) and np.all(np.isnan(solution.y["x"][1]))
    assert solution.nfe[1] == 2 + 6 * 60 > solution.nfe[0]


@pytest.mark.parametrize("start", [0.0, 1.0], ids=["at once", "on the way"])
def test_a_nan_field_stops_early(start):
    field = lambda t, y, args: jnp.where(t >= start, jnp.nan, 1.0)[:, None] * y  # noqa: E731
    y0 = jnp.ones((2, 3))
    solution = solve(field, y0, 0.0, 2.0, rtol=1e-4, atol=1e-4, max_steps=10_000)
    assert not np.any(solution.converged) and np.all(np.isnan(solution.y))
    # The step shrinks fivefold a time, to the spacing of float32 at t: 1e-7 of t, 1e-38 at 0.
    assert np.max(solution.nfe) < 2 + 6 * 60


def test_segments_equal_one_solve_exactly():
    y0 = oscillators(5.0, 2)
    options = {"rtol": 1e-4, "atol": 1e-4}
    whole = solve_van_der_pol(y0)
    advance = jax.jit(lambda s, most: ode.advance(van_der_pol, s, 5.0, max_steps=most, **options))
    state = ode.start(y0, 0.0)
    for most in range(7, 507, 7):
        state = advance(state, most)
        if not np.any(ode.active(state, 5.0, 500)):
            break
    pieces = ode.finish(state, 5.0)
    assert np.max(state.attempts) > 7  # more than one segment
    np.testing.assert_array_equal(pieces.nfe, whole.nfe)
    np.testing.assert_array_equal(pieces.y["x"], whole.y["x"])
    assert np.all(pieces.converged)


def test_examples_may_be_exchanged_between_turns():
    y0 = oscillators(5.0, 3)
    options = {"rtol": 1e-4, "atol": 1e-4, "max_steps": 500}
    whole = solve_van_der_pol(y0)
    go = jax.jit(lambda s, fewest: ode.advance(van_der_pol, s, 5.0, fewest=fewest, **options))
    rows = lambda state, i: jax.tree.map(lambda leaf: leaf[jnp.asarray(i)], state)  # noqa: E731
    first, third = (ode.start(rows(y0, i), 0.0) for i in ([0, 1], [2]))
    state = go(first, 1)
    running = np.asarray(ode.active(state, 5.0, 500))
    assert running.sum() == 1
    stays, done = int(np.argmax(running)), int(np.argmin(running))
    joined = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), rows(state, [stays]), third)
    found = dict(zip([stays, 2], np.asarray(ode.finish(go(joined, 0), 5.0).y["x"]), strict=True))
    found[done] = ode.finish(state, 5.0).y["x"][done]
    for i in range(3):
        # Only the order of float32 sums may differ.
        np.testing.assert_allclose(found[i], whole.y["x"][i], rtol=1e-6, atol=1e-6)


def with_integral(t, y, args):
    """A state, and the integral of its square along the path."""
    return {"x": forced(t, y["x"], args), "q": jnp.sum(y["x"] ** 2, axis=1)}


def wrong_integral(t, y, args):
    return {"x": forced(t, y["x"], args), "q": jnp.full_like(y["q"], 1e6)}


@pytest.mark.parametrize("pair", [DORMAND_PRINCE, BOGACKI_SHAMPINE], ids=["rk45", "rk23"])
def test_an_integral_is_not_needed_where_a_stage_only_leads(pair):
    """Also by an example that comes while another is within a step."""
    options = {"rtol": 1e-5, "atol": 1e-5, "max_steps": 500, "pair": pair}
    y0 = {"x": jnp.asarray([[1.0, -0.5], [8.0, 2.0]]), "q": jnp.zeros(2)}
    rows = lambda tree, i: jax.tree.map(lambda leaf: leaf[i : i + 1], tree)  # noqa: E731
    go = jax.jit(partial(ode.advance, with_integral, leading=wrong_integral, **options))
    first = go(ode.start(rows(y0, 0), 0.0, pair=pair), 3.0, turns=7)
    second = ode.start(rows(y0, 1), 0.0, pair=pair)
    both = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), first, second)
    found = ode.finish(go(both, 3.0), 3.0)
    wanted = solve(with_integral, y0, 0.0, 3.0, **options)
    np.testing.assert_array_equal(found.nfe, wanted.nfe)
    for name in y0:
        np.testing.assert_allclose(found.y[name], wanted.y[name], rtol=1e-5)


def test_stages_that_only_lead():
    assert DORMAND_PRINCE.idle == (1,)  # b and error of the second stage are 0 (their table 2)
    assert BOGACKI_SHAMPINE.idle == TSITOURAS.idle == ()


def test_turns_bound_a_segment():
    options = {"rtol": 1e-4, "atol": 1e-4, "max_steps": 500}
    state = ode.advance(forced, ode.start(jnp.ones((2, 2)), 0.0), 3.0, turns=9, **options)
    np.testing.assert_array_equal(state.nfe, 9)


def test_the_field_is_traced_once():
    traces = []

    def counted(t, y, args):
        traces.append(1)
        return forced(t, y, args)

    run = jax.jit(lambda y: ode.solve(counted, y, 0.0, 1.0, rtol=1e-3, atol=1e-3, max_steps=100))
    run(jnp.ones((2, 2)))
    run(2 * jnp.ones((2, 2)))
    assert len(traces) == 1


def test_a_solve_over_no_time_is_where_it_began():
    y0 = jnp.asarray([[1.0, 2.0]] * 3)
    solution = solve(decay, y0, 0.5, 0.5, rtol=1e-3, atol=1e-3, max_steps=10)
    np.testing.assert_array_equal(solution.y, y0)
    assert solution.converged[0] and solution.nfe[0] == 0
