"""The bound of Gaussians under a score that is the exact one times a factor.

What is expected comes from `gaussian_bound.py`. The variance of one draw in nats^2, for the data
`diagonal` and t_min = 1e-3:

               uniform times   importance   importance, spread evenly    ratios
    VE                 4 586        4 586                       1 045     1, 4.4
    VP               105 848        5 797                       1 165    18, 5.0
    sub-VP           425 289       13 827                       3 781    31, 3.7
    linear VE        269 329        2 846                         697    95, 4.1
"""

from functools import partial

import commands
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gaussian import DEFAULTS, correlated, default_sde, diagonal
from gaussian_bound import (
    axes,
    draw_variances,
    expected_bound,
    expected_ends,
    model_logp,
    over_time,
    path_of,
)

from scoresde_jax.likelihood import (
    antithetic_importance,
    denoising,
    independent_importance,
    independent_uniform,
    likelihood_bound,
    sliced,
    stratified_importance,
)
from scoresde_jax.sde import VESDE, VPSDE, LinearVESDE, SubVPSDE

SHAPE = (4, 2, 2)
BATCH, DRAWS = 256, 128
T_MIN = 1e-3
# Uniform over importance, and importance over evenly spread: the table above.
RATIOS = {"ve": (1.0, 4.39), "vp": (18.3, 4.98), "subvp": (30.8, 3.66), "linear_ve": (94.6, 4.08)}
DATA = {"diagonal": diagonal(SHAPE), "correlated": correlated(SHAPE)}
TIMES = {
    "stratified": stratified_importance,
    "antithetic": antithetic_importance,
    "independent": independent_importance,
    "uniform": independent_uniform,
}
FORMS = {"denoising": denoising, "sliced": sliced}
# The data show through the noise at t = 1, so the prior is wrong and its term counts.
SHORT = {
    "ve": VESDE(0.01, 1.0),
    "vp": VPSDE(0.1, 2.0),
    "subvp": SubVPSDE(0.1, 2.0),
    "linear_ve": LinearVESDE(1.0),
}

every_data = pytest.mark.parametrize("data", DATA.values(), ids=DATA)
every_form = pytest.mark.parametrize("form", FORMS)
any_sde = pytest.mark.parametrize(
    "sde", [*DEFAULTS.values(), *SHORT.values()], ids=[*DEFAULTS, *(f"{s}-short" for s in SHORT)]
)


@partial(jax.jit, compiler_options=commands.COMPILER)
def compiled(keys, sde, data, x, factor, times, form):
    """One compilation per kind of SDE: the choices are branches of it."""

    def chosen_times(key, sde, draws, t_min):
        return jax.lax.switch(
            times, [lambda f=f: f(key, sde, draws, t_min) for f in TIMES.values()]
        )

    def chosen_form(*args):
        keys, field, *arrays = args
        return jax.lax.switch(form, [lambda f=f: f(keys, field, *arrays) for f in FORMS.values()])

    score_fn = lambda x, t: factor * data.score(sde, x, t)  # noqa: E731
    options = {"t_min": T_MIN, "draws": DRAWS, "times": chosen_times, "form": chosen_form}
    return likelihood_bound(keys, sde, score_fn, x, **options)


def run(sde, data, x, factor=1.0, times="stratified", form="denoising", seed=1):
    indices = (list(TIMES).index(times), list(FORMS).index(form))
    return compiled(keys_of(seed), sde, data, x, factor, *indices)


def small(x, draws, form, score_fn=lambda x, t: -x, sde=DEFAULTS["vp"]):
    options = {"t_min": T_MIN, "draws": draws, "form": form}
    bound = partial(likelihood_bound, sde=sde, score_fn=score_fn, **options)
    return jax.jit(bound, compiler_options=commands.COMPILER)(keys_of(2, len(x)), x=x)


def keys_of(seed, batch=BATCH):
    return jax.random.split(jax.random.key(seed), batch)


def data_points(data):
    return data.sample(LinearVESDE(), jax.random.key(0), BATCH, 0.0)  # at std = 0


def standard_errors(errors):
    """The mean of independent errors (B,) in units of its standard error."""
    return np.mean(errors) / (np.std(errors, ddof=1) / np.sqrt(len(errors)))


@any_sde
@every_form
def test_the_estimate_has_the_mean_of_the_bound(sde, form):
    data = DATA["correlated"]
    x = data_points(data)
    expected = expected_bound(path_of(sde, data, T_MIN), 0.9, axes(data, x))
    bound = run(sde, data, x, factor=0.9, form=form)
    assert abs(standard_errors(bound.logp - expected)) < 4
    assert bound.logp.shape == bound.logp_se.shape == bound.nfe.shape == (BATCH,)


@default_sde
@pytest.mark.parametrize("times", TIMES)
def test_and_with_any_times(sde, times):
    data = DATA["diagonal"]
    x = data_points(data)
    expected = expected_bound(path_of(sde, data, T_MIN), 1.1, axes(data, x))
    bound = run(sde, data, x, factor=1.1, times=times)
    assert abs(standard_errors(bound.logp - expected)) < 4


@default_sde
@every_data
@every_form
def test_the_bound_of_the_exact_score_is_the_density(sde, data, form):
    x = data_points(data)
    density = model_logp(path_of(sde, data, T_MIN), 1.0, axes(data, x))
    bound = run(sde, data, x, form=form)
    # What the prior lacks of p_1 leaves a gap of 0.005 nats under linear VE, 3 % of the error.
    assert abs(standard_errors(bound.logp - density)) < 4
    # The model is that of the data but for the prior: 4 s^2 / sigma_max^2 per number, at most.
    np.testing.assert_allclose(density, data.logp(LinearVESDE(), x, 0.0), atol=0.1)


@default_sde
def test_the_bound_of_a_wrong_score_is_below_the_density(sde):
    data = DATA["diagonal"]
    x = data_points(data)
    path, y = path_of(sde, data, T_MIN), axes(data, x)

    def gaps(factor):
        return model_logp(path, factor, y) - np.asarray(run(sde, data, x, factor=factor).logp)

    # The noise of the draws is common to all factors, and at 1 it is all there is.
    noise = gaps(1.0)
    for factors in ((0.8, 0.9, 0.95), (1.2, 1.1, 1.05)):
        far, near, nearest = (gaps(factor) - noise for factor in factors)
        assert min(map(standard_errors, (far, near, nearest))) > 5
        assert min(standard_errors(far - near), standard_errors(near - nearest)) > 5


@default_sde
@every_form
def test_standard_error_is_honest(sde, form):
    data = DATA["correlated"]
    x = jnp.tile(data_points(data)[:1], (BATCH, 1, 1, 1))
    spread, reported = {}, {}
    for times in TIMES:
        bound = run(sde, data, x, times=times, form=form)
        spread[times] = np.std(bound.logp, ddof=1)
        reported[times] = np.sqrt(np.mean(bound.logp_se**2))
    # A standard deviation of 256 is known to 4.4 %.
    np.testing.assert_allclose(spread["independent"], reported["independent"], rtol=0.15)
    np.testing.assert_allclose(spread["uniform"], reported["uniform"], rtol=0.15)
    # Not independent, so the error is too large; it says nothing of how evenly they are spread.
    np.testing.assert_allclose(reported["stratified"], reported["independent"], rtol=0.05)
    np.testing.assert_allclose(reported["antithetic"], reported["independent"], rtol=0.05)
    assert max(spread["stratified"], spread["antithetic"]) < 0.9 * reported["independent"]


@pytest.mark.parametrize("name", DEFAULTS)
def test_importance_and_even_times_lower_the_variance(name):
    sde, data = DEFAULTS[name], DATA["diagonal"]
    x = data_points(data)[:1]
    uniform, importance, even = draw_variances(path_of(sde, data, T_MIN), axes(data, x))
    np.testing.assert_allclose([uniform / importance, importance / even], RATIOS[name], rtol=0.01)
    x = jnp.tile(x, (BATCH, 1, 1, 1))
    measured = [
        np.mean(run(sde, data, x, times=t).logp_se ** 2) for t in ("uniform", "independent")
    ]
    # Of 32 768 draws. At uniform times the weights go up to 2000, and the few small t count most.
    np.testing.assert_allclose(DRAWS * measured[0], uniform, rtol=0.3)
    np.testing.assert_allclose(DRAWS * measured[1], importance, rtol=0.05)
    # A variance of 256 is known to 9 %.
    spread = np.var(run(sde, data, x).logp, ddof=1)
    np.testing.assert_allclose(DRAWS * spread, even, rtol=0.3)


@default_sde
def test_forms_agree(sde):
    data = DATA["correlated"]
    x = data_points(data)
    first, second = (run(sde, data, x, factor=1.1, form=form, seed=3).logp for form in FORMS)
    assert abs(standard_errors(first - second)) < 4
    assert np.all(first != second)


def test_the_decoder_and_its_error():
    def only_the_decoder(keys, field, x, std, z):
        return field(x), jnp.zeros(std.shape)

    sde, data = VESDE(0.1, 10.0), DATA["diagonal"]
    x = jnp.tile(data_points(data)[:1], (BATCH, 1, 1, 1))
    bound = small(x, 2, only_the_decoder, data.score_fn(sde), sde)
    expected = -expected_ends(path_of(sde, data, T_MIN), 1.0, axes(data, x))
    assert abs(standard_errors(bound.logp - expected)) < 4
    # A standard deviation of 256 is known to 4.4 %; the change of s with z, std^2 / v, is 2 %.
    np.testing.assert_allclose(np.std(bound.logp), np.sqrt(np.mean(bound.logp_se**2)), rtol=0.15)


@default_sde
@pytest.mark.parametrize("neighbour", [1e4, np.nan], ids=["far", "nan"])
def test_an_example_does_not_know_its_neighbours(sde, neighbour):
    data = DATA["correlated"]
    x = data_points(data)
    order = np.roll(np.arange(BATCH), 5)
    keys = keys_of(1)
    here = compiled(keys, sde, data, x, 1.0, 0, 1)
    there = compiled(keys[order], sde, data, x.at[1:].multiply(neighbour)[order], 1.0, 0, 1)
    # The same sums in another row.
    np.testing.assert_allclose(there.logp[5], here.logp[0], rtol=1e-5)
    np.testing.assert_allclose(there.logp_se[5], here.logp_se[0], rtol=1e-5)


def test_a_batch_is_what_its_examples_are_alone():
    x = data_points(DATA["diagonal"])[:3]
    beside, alone = small(x, 4, sliced), small(x[:1], 4, sliced)
    np.testing.assert_allclose(beside.logp[0], alone.logp[0], rtol=1e-5)  # other sums
    np.testing.assert_allclose(beside.logp_se[0], alone.logp_se[0], rtol=1e-5)


@pytest.mark.parametrize("form, draws", [(denoising, 1), (sliced, 5)], ids=["1", "5"])
def test_evaluations_are_counted_and_the_score_is_traced_once(form, draws):
    calls, traces = [], []

    def score_fn(x, t):
        traces.append(1)
        jax.debug.callback(lambda: calls.append(1))
        return -x

    bound = small(jnp.ones((3, *SHAPE)), draws, form, score_fn)
    jax.effects_barrier()
    assert len(traces) == 1
    assert len(calls) == draws + 1  # the decoder's
    np.testing.assert_array_equal(bound.nfe, [draws + 1] * 3)
    # One draw has no spread.
    assert np.all(np.isfinite(bound.logp)) and np.all(np.isnan(bound.logp_se) == (draws == 1))


@default_sde
@pytest.mark.parametrize("times", TIMES)
def test_times_integrate_over_the_rate(sde, times):
    many, t_min = 100_000, 0.1
    t, weight = TIMES[times](jax.random.key(0), sde, many, t_min)
    assert t.shape == weight.shape == (many,)
    assert np.min(t) >= t_min * (1 - 1e-4) and np.max(t) <= 1 + 1e-4  # float32 log t
    # h = 1 and h = std^2, whose integral is that of g^2; correlated draws have smaller errors.
    path = path_of(sde, DATA["diagonal"], t_min)
    std = sde.marginal(jnp.zeros(many), t)[1]
    for h, values in ((1.0, (path.g / path.std) ** 2), (np.float64(std) ** 2, path.g**2)):
        terms = np.float64(weight) * h
        error = np.mean(terms) - over_time(path, values)
        # Rounding where the terms are all the same: 1e-6 of them.
        assert abs(error) < 4 * np.std(terms) / np.sqrt(many) + 2e-6 * np.mean(terms)


@pytest.mark.parametrize("t_min, mass", [(1e-5, 23.864472), (1e-3, 19.165387)])
@pytest.mark.parametrize("times", ["stratified", "antithetic", "independent"])
def test_importance_has_one_weight(times, t_min, mass):
    _, weight = TIMES[times](jax.random.key(0), VPSDE(), 7, t_min)
    np.testing.assert_allclose(weight, np.full(7, mass), rtol=1e-6)  # float32


def test_times_are_spread_as_they_say():
    # Under VE time is linear in u; float32 times.
    sde, keys = VESDE(), [jax.random.key(seed) for seed in range(3)]
    even = [np.sort(stratified_importance(key, sde, 10, 0.5)[0]) for key in keys]
    np.testing.assert_allclose(np.diff(even), 0.05, atol=1e-6)
    assert np.ptp([grid[0] for grid in even]) > 1e-3
    pairs, _ = antithetic_importance(keys[0], sde, 7, 0.5)
    np.testing.assert_allclose(pairs[:3] + pairs[4:], 1.5, atol=1e-6)
    assert len(set(pairs.tolist())) == 7
