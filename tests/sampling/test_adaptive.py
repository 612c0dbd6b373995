"""Adaptive steps draw the right law, with noise that no rejection chooses."""

from functools import partial

import commands
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gaussian import DEFAULTS, diagonal, isotropic

from sampling.chosen import chosen, fast
from scoresde_jax.sampling import adaptive, adaptive_sample
from scoresde_jax.sampling.change import denoised
from scoresde_jax.sde import VPSDE, reverse_drift

KEY = jax.random.key(0)
ONE = isotropic((1, 1, 1))  # one number: nothing averages the error of a step


@partial(jax.jit, static_argnames="batch", compiler_options=commands.LOOPS)
def compiled(key, sde, tol, batch, max_steps):
    shape = (batch, *ONE.mean.shape)
    options = {"t_min": 1e-3, "rtol": tol, "atol": tol / 4, "max_steps": max_steps}
    return adaptive_sample(key, sde, ONE.score_fn(sde), shape, **options)


def draw(sde, tol, batch=4096, max_steps=1000):
    return compiled(KEY, chosen(sde), tol, batch, max_steps)


@pytest.mark.parametrize("sde", DEFAULTS)
def test_one_number_has_its_mean_and_std_and_a_smaller_tolerance_costs_more(sde):
    loose, tight = (draw(sde, tol) for tol in (0.1, 0.05))
    x = np.asarray(tight.x).reshape(-1)
    assert np.all(tight.converged)
    # 4 standard errors of 4096 samples, 1/64 of a std for the mean and 1/90 for the std, and 2 %
    # for the tolerance. New noise for each attempt gives 1.5 to 2.2 times the std.
    assert abs(x.mean() - ONE.mean.item()) < (4 / 64 + 0.02) * 0.5
    assert abs(x.std() / 0.5 - 1) < 4 / 90 + 0.02
    # The steps of a method of first order: E goes as h^1 to h^1.5, and so nfe as 1 / tol or less.
    assert 1.4 < np.mean(tight.nfe) / np.mean(loose.nfe) < 2
    assert len(np.unique(tight.nfe)) > 10  # every example at its own pace


def test_an_example_depends_on_its_key_and_on_nothing_else():
    many, few = (draw("vp", 0.05, batch=batch) for batch in (4096, 3))
    # float32: the same numbers in other vector lanes, along some 100 steps.
    np.testing.assert_allclose(few.x, many.x[:3], rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(few.nfe, many.nfe[:3])
    assert len(np.unique(many.nfe)) > 1


def test_running_out_of_steps_is_reported():
    samples = draw("vp", 0.05, max_steps=3)
    assert not np.any(samples.converged) and np.all(np.isnan(samples.x))
    np.testing.assert_array_equal(samples.nfe, 2 * 3 + 1)


def test_nfe_is_the_number_of_calls_and_the_end_is_denoised():
    """Every call is made for the whole batch, as long as its slowest example needs."""
    calls, traces, sde, data = [], [], VPSDE(), diagonal((1, 2, 1))

    def score_fn(x, t):
        assert t.shape == x.shape[:1]
        traces.append(1)
        jax.debug.callback(lambda: calls.append(1))
        return data.score(sde, x, t)

    @fast
    def both(key):
        options = {"t_min": 1e-2, "rtol": 0.05, "atol": 0.05}
        sample = partial(adaptive_sample, key, sde, score_fn, (3, 1, 2, 1), **options)
        plain = sample(denoise=False)
        return plain, sample(), denoised(sde, data.score_fn(sde), plain.x, jnp.asarray(1e-2))

    plain, clean, x0 = jax.block_until_ready(both(KEY))
    jax.effects_barrier()
    assert max(plain.nfe) + max(clean.nfe) == len(calls) and len(traces) == 1 + 2
    assert np.all(plain.nfe % 2 == 0)
    np.testing.assert_array_equal(clean.nfe, plain.nfe + 1)
    np.testing.assert_allclose(clean.x, x0, atol=1e-5)


def by_hand(sde, score_fn, x, h, slope):
    """x', x'' and E without its tolerance, for the "noise" B(t) = slope t."""
    t, end = jnp.ones(x.shape[:1]), jnp.full(x.shape[:1], 1 - h)

    def change(x, t):
        return -h * reverse_drift(sde, score_fn, x, t) + sde.diffusion(t[0]) * slope * h

    first = change(x, t)
    second = change(x + first, end)
    return x + first, x + (first + second) / 2, jnp.abs(second - first) / 2


@pytest.mark.parametrize("relative", [False, True], ids=["atol", "rtol"])
def test_a_step_is_improved_euler_and_taken_where_it_is_near_eulers(monkeypatch, relative):
    sde, data, h, slope = VPSDE(), diagonal((1, 2, 1)), 0.125, 3.0
    x = jnp.asarray([[[[0.7], [-4.0]]]])  # of which the second becomes smaller
    monkeypatch.setattr(adaptive, "brownian", lambda key, t, shape: jnp.full(shape, slope * t))

    @fast
    def carry(tol):
        options = {"rtol": tol * relative, "atol": tol * (not relative), "h_init": h}
        found = adaptive.reverse(
            jax.random.split(KEY, 1),
            sde,
            data.score_fn(sde),
            x,
            t_min=1 - h,
            max_steps=2,
            **options,
        )
        return found, by_hand(sde, data.score_fn(sde), x, h, slope)

    _, (euler, improved, error) = carry(1.0)
    scale = np.maximum(np.abs(euler), np.abs(x)) if relative else 1.0
    tol = float(np.sqrt(np.mean((np.asarray(error) / scale) ** 2)))
    taken, _ = carry(1.001 * tol)
    np.testing.assert_allclose(taken.x, improved, rtol=1e-5)
    assert taken.nfe == 2 and taken.converged
    rejected, _ = carry(0.999 * tol)
    assert rejected.nfe == 4 and not rejected.converged


def test_steps_follow_the_error_and_are_at_most_doubled(monkeypatch):
    """For F = c (1 - t), g = 0: E of a step is c h^2 / (2 atol), from wherever it starts."""
    asked, atol, c = [], 1e-3, 2.0

    class Drift:
        def marginal(self, x0, t):
            return x0, t

        def drift(self, x, t):
            return c * (1 - t)[:, None] * jnp.ones_like(x)

        def diffusion(self, t):
            return 0 * t

    def score_fn(x, t):
        jax.debug.callback(lambda t: asked.append(float(t[0])), t, ordered=True)
        return 0 * x

    options = {"t_min": 0.5, "rtol": 0.0, "atol": atol, "h_init": 0.2, "max_steps": 100}
    keys, x = jax.random.split(KEY, 1), jnp.zeros((1, 1))
    found = fast(lambda x: adaptive.reverse(keys, Drift(), score_fn, x, **options))(x)
    jax.effects_barrier()
    starts, ends = np.reshape(asked, (-1, 2)).T
    h = starts - ends
    errors = c * h**2 / (2 * atol)
    expected = h * np.minimum(0.9 * errors**-0.9, 2)
    # Down to 4 binary digits, and what is left at the end.
    ratio = (h[1:] / expected[:-1])[:-1]
    assert np.all((ratio > 1 - 1 / 8) & (ratio < 1 + 1e-3))
    assert np.any(errors > 1) and np.any(expected == 2 * h)
    np.testing.assert_array_equal(starts[1:] == ends[:-1], errors[:-1] <= 1)
    assert found.nfe == len(asked) and ends[-1] == 0.5 and found.converged


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_an_example_that_meets_nan_spoils_only_itself(bad):
    sde = VPSDE()

    def score_fn(x, t):
        poisoned = (jnp.arange(3) == 1) & (t < 0.5)
        return jnp.where(poisoned[:, None], bad, -x)

    options = {"t_min": 1e-2, "rtol": 0.05, "atol": 0.01, "max_steps": 10_000, "denoise": False}
    samples = fast(lambda key: adaptive_sample(key, sde, score_fn, (3, 2), **options))(KEY)
    np.testing.assert_array_equal(samples.converged, [True, False, True])
    np.testing.assert_array_equal(np.isnan(samples.x).any(axis=1), [False, True, False])
    assert max(samples.nfe) < 2000  # it gives up, and does not wait for max_steps
