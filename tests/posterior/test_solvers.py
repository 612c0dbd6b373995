"""What all solvers share: every SDE alike, evaluations counted, bad input refused."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from posterior.problems import GAUSSIAN, IMAGE, SDES, chosen, score_fn
from posterior.test_inverse import Bare
from scoresde_jax import posterior
from scoresde_jax.posterior.operators import (
    Gray,
    average,
    bicubic,
    blur,
    box_mask,
    check_operator,
    gaussian_blur,
    hadamard,
    half_mask,
    kspace,
    kspace_lines,
    mask,
    motion_blur,
    radon,
    random_mask,
)
from scoresde_jax.sampling import identity, langevin, reverse_diffusion
from scoresde_jax.sde import half_log_snr

MASK = half_mask(IMAGE)
Y = MASK.forward(jnp.asarray(GAUSSIAN.draw(0, 2).reshape(2, *IMAGE), jnp.float32))
MOVES = {"predictor": partial(reverse_diffusion, n=100), "corrector": partial(langevin, snr=0.1)}
SOLVERS = {
    "replacement": partial(posterior.replacement_sample, **MOVES),
    "projection": partial(posterior.projection_sample, **MOVES),
    "repaint": partial(posterior.repaint_sample, jump_length=2, resamplings=2),
    "ddrm": posterior.ddrm_sample,
    "pigdm": posterior.pigdm_sample,
    "dps": posterior.dps_sample,
    "smc": partial(posterior.smc_sample, particles=3),
}
NOISE = {"ddrm": 0.05, "pigdm": 0.05, "dps": 0.05, "smc": 0.05, "projection": 0.05}
every = pytest.mark.parametrize("name", SOLVERS)


def solve(name, sde, operator=MASK, y=Y, shape=(2, *IMAGE), **options):
    settings = {"noise_std": NOISE.get(name, 0.0), "steps": 4, "t_min": 0.01} | options
    score = score_fn(GAUSSIAN, sde)
    return SOLVERS[name](jax.random.key(0), sde, score, operator, y, shape, **settings)


@pytest.mark.parametrize("name", ["repaint", "ddrm", "pigdm", "dps", "smc"])
def test_sdes_are_one_process(name):
    """On levels of the same noise-to-data ratio: the draws of VP, in the same noises."""
    end = half_log_snr(SDES["vp"], jnp.asarray(1e-2))
    run = jax.jit(lambda sde, t_min: solve(name, sde, steps=12, t_min=t_min).x)
    draws = {}
    for sde in SDES:
        t_min = SDES[sde].time_of_half_log_snr(end)
        draws[sde] = run(chosen(sde), t_min)
    assert np.std(np.asarray(draws["vp"])) > 0.2
    for found in draws.values():
        # VP's N(0, I) at t = 1 has not quite the variance 1 + (alpha / sigma)^2 of the others.
        np.testing.assert_allclose(found, draws["vp"], atol=2e-3)


def test_projection_takes_any_sde():
    found = jax.jit(lambda y: solve("projection", SDES["ve"], y=y, noise_std=0.0).x)(Y)
    np.testing.assert_allclose(MASK.forward(found), Y, atol=2e-5)


@every
def test_evaluations_are_counted(name):
    calls = []

    def score(x, t):
        jax.debug.callback(calls.append, x.shape[0] // 2)  # images for each measurement
        return -x

    settings = {"noise_std": NOISE.get(name, 0.0), "steps": 4, "t_min": 0.01}
    run = jax.jit(
        lambda key: SOLVERS[name](key, SDES["vp"], score, MASK, Y, (2, *IMAGE), **settings)
    )
    found = run(jax.random.key(0))
    jax.effects_barrier()
    assert found.nfe.shape == (2,) and np.all(found.nfe == sum(calls))
    assert np.all(found.converged)


# Not of replacement and projection: Langevin's step is a mean over the batch.
@pytest.mark.parametrize("name", [n for n in SOLVERS if n not in ("replacement", "projection")])
def test_an_answer_is_its_own(name):
    """Of one compilation, other measurements beside it change nothing."""
    run = jax.jit(lambda y: solve(name, SDES["vp"], y=y).x)
    np.testing.assert_allclose(run(Y)[0], run(Y.at[1].add(1.0))[0], atol=1e-6)


@every
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shape": (2, 4, 5, 3)}, r"takes images \(B, 4, 4, 3\); these are \(2, 4, 5, 3\)"),
        ({"shape": IMAGE}, r"Images are \(B, H, W, C\)"),
        ({"y": Y[:, 1:]}, r"y is \(2, 23\); this operator makes \(2, 24\)"),
        ({"y": Y[:1]}, r"y is \(1, 24\)"),
        ({"noise_std": -0.1}, "standard deviation, 0 or more; it is -0.1"),
        ({"noise_std": float("nan")}, "0 or more"),
        ({"steps": 0}, "at least 1"),
    ],
)
def test_bad_problems(name, options, message):
    with pytest.raises(ValueError, match=message):
        solve(name, SDES["vp"], **options)


@pytest.mark.parametrize("name", ["replacement", "projection", "repaint", "ddrm", "pigdm"])
def test_functions_are_refused(name):
    with pytest.raises(ValueError, match="takes linear operators|takes masks"):
        solve(name, SDES["vp"], operator=MASK.forward)


@pytest.mark.parametrize("name", ["replacement", "ddrm"])
def test_a_decomposition_is_asked_for(name):
    with pytest.raises(ValueError, match="this Bare has none; take projection"):
        solve(name, SDES["vp"], operator=Bare(MASK))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("replacement", {"noise_std": 0.1}, "takes y as exact"),
        ("repaint", {"noise_std": 0.1}, "takes y as exact"),
        ("smc", {"noise_std": 0.0}, "noise_std is positive"),
        ("smc", {"particles": 0}, "1 or more"),
        ("ddrm", {"eta": 1.2}, "eta is between 0 and 1"),
        ("ddrm", {"eta_b": -0.1}, "eta_b is between 0 and 1"),
        ("projection", {"strength": 1.1}, "strength is between 0 and 1"),
        ("repaint", {"resamplings": 0}, "1 or more"),
        ("repaint", {"jump_length": 4}, "jump_length is 4 and there are 4 steps"),
        (
            "repaint",
            {"operator": Gray(), "y": np.zeros((2, 4, 4, 1))},
            "takes masks, and this is Gray",
        ),
    ],
)
def test_bad_options(name, options, message):
    with pytest.raises(ValueError, match=message):
        solve(name, SDES["vp"], **options)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: mask(np.ones((4, 4), bool)), "without the batch"),
        (lambda: mask(np.ones(IMAGE)), "boolean"),
        (lambda: mask(np.zeros(IMAGE, bool)), "nothing would be measured"),
        (lambda: box_mask(IMAGE, 3, 0, 2, 2), "not a part of an image of 4 x 4"),
        (lambda: half_mask(IMAGE, "front"), "left, right, top, bottom"),
        (lambda: random_mask(IMAGE, 0.0), "more than 0"),
        (lambda: average(IMAGE, 3), "does not divide an image of 4 x 4"),
        (lambda: average(IMAGE, 1), "2 or more"),
        (lambda: bicubic(IMAGE, 3), "does not divide"),
        (lambda: bicubic((4, 4), 2), "without the batch"),
        (lambda: blur(IMAGE, np.ones((2, 3))), "two odd sides"),
        (lambda: blur(IMAGE, np.ones((5, 1))), "exceeds an image"),
        (lambda: gaussian_blur(IMAGE, 0.0), "positive"),
        (lambda: motion_blur(IMAGE, -1.0), "positive"),
        (lambda: motion_blur(IMAGE, 9.0), "exceeds an image"),
        (lambda: hadamard((3, 4, 1), 0.5), "power of 2"),
        (lambda: hadamard(IMAGE, 1.5), "at most 1"),
        (lambda: kspace(np.ones(IMAGE, bool)), r"is \(H, W\)"),
        (lambda: kspace_lines(IMAGE, 2, 3), "centre is 1 to 2"),
        (lambda: kspace_lines(IMAGE, 0, 1), "acceleration is 1 or more"),
        (lambda: radon(IMAGE, 0), "1 or more"),
    ],
)
def test_bad_operators(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("operator", "shape", "message"),
    [
        (Gray(), (2, 4, 4, 1), r"Gray takes images \(B, H, W, 3\)"),
        (average(IMAGE, 2), (2, 5, 4, 3), "do not fill"),
        (bicubic(IMAGE, 2), (2, 4, 8, 3), r"\(B, 4, 4, C\)"),
        (gaussian_blur(IMAGE, 0.5), (2, 8, 8, 3), r"\(B, 4, 4, C\)"),
        (hadamard(IMAGE, 0.5), (2, 8, 8, 3), r"\(B, 4, 4, C\)"),
        (kspace(np.ones((4, 4), bool)), (2, 4, 8, 3), r"\(B, 4, 4, C\)"),
        (radon(IMAGE, 2), (2, 8, 8, 3), r"\(B, 4, 4, C\)"),
        (jnp.sum, (2, *IMAGE), "has 2 rows"),
    ],
)
def test_operators_that_do_not_fit(operator, shape, message):
    with pytest.raises(ValueError, match=message):
        check_operator(operator, shape)


def test_operators_that_fit():
    assert check_operator(Gray(), (2, 7, 5, 3)) == (2, 7, 5, 1)
    assert check_operator(lambda x: x**2, (2, *IMAGE)) == (2, *IMAGE)
    assert check_operator(average(IMAGE, 2), (3, 8, 4, 1)) == (3, 4, 2, 1)


def test_no_corrector_is_a_corrector():
    options = {"noise_std": 0.0, "corrector": identity}
    found = jax.jit(lambda y: solve("projection", SDES["vp"], y=y, **options))(Y)
    assert np.all(found.nfe == 4)
