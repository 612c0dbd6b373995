"""From config.posterior to operators and solvers, and what is said of a mistake in it."""

import commands
import jax
import numpy as np
import pytest

from scoresde_jax import build
from scoresde_jax.sde import SubVPSDE


def restorer(**settings):
    named = {f"posterior__{k}" if "data__" not in k else k: v for k, v in settings.items()}
    return build.restorer(commands.tiny_config("subvp", **named), SubVPSDE(), 2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"operator": "averge"}, "config.posterior.operator is 'averge'.*Did you mean 'average'"),
        ({"solver": "ddmr"}, "config.posterior.solver is 'ddmr'.*Did you mean 'ddrm'"),
        ({"noise_std": -0.1}, "config.posterior.noise_std is -0.1; it must be >= 0"),
        ({"images": 0}, "config.posterior.images is 0"),
        ({"draws": 0}, "config.posterior.draws is 0"),
        ({"t_min": 2.0}, "config.posterior.t_min is 2.0"),
        ({"solver": "pigdm", "pigdm__prior_std": 0.0}, "posterior.pigdm.prior_std is 0.0; it must"),
        ({"solver": "smc", "smc__prior_std": -1.0}, "posterior.smc.prior_std is -1.0; it must"),
        ({"operator": "average", "average__factor": 3}, "config.posterior.average: factor 3 does"),
        ({"box__height": 9}, "config.posterior.box: The box from row 2, column 2, 9 x 4"),
        ({"operator": "half", "half__side": "up"}, "config.posterior.half: side is one of left"),
        ({"operator": "gray"}, "config.posterior.gray: images have 1 channel"),
        (
            {"operator": "radon", "radon__angles": 2, "solver": "ddrm", "data__image_size": 72},
            "'ddrm' and config.posterior.operator is 'radon': .*this Radon has none; take",
        ),
        ({"operator": "average", "solver": "repaint"}, "'average': repaint takes masks"),
        ({"solver": "repaint", "noise_std": 0.1}, "repaint takes y as exact"),
        ({"solver": "replacement", "noise_std": 0.1}, "replacement takes y as exact"),
        ({"solver": "smc"}, "noise_std is positive"),
        (
            {"operator": "high_dynamic_range", "high_dynamic_range__gain": 1.0},
            "config.posterior.high_dynamic_range: gain is more than 1",
        ),
        (
            {"operator": "phase_retrieval", "phase_retrieval__oversampling": 0.5},
            "config.posterior.phase_retrieval: oversampling is 1 or more",
        ),
        ({"solver": "ddrm", "ddrm__eta": 2.0}, "eta is between 0 and 1"),
        (
            {"solver": "projection", "projection__predictor": "ancestral"},
            "config.posterior.projection.predictor is 'ancestral'.*'subvp'",
        ),
        (
            {"solver": "projection", "projection__corrector": "langevine"},
            "config.posterior.projection.corrector is 'langevine'.*Did you mean 'langevin'",
        ),
    ],
)
def test_mistakes(settings, message):
    with pytest.raises(ValueError, match=message):
        restorer(**settings)


NOT_LINEAR = ("high_dynamic_range", "phase_retrieval")
BY_STEPS = ("pigdm", "dps", "smc")  # they differentiate the network


@pytest.mark.parametrize("operator", [n for n in build.OPERATORS if n not in ("gray", *NOT_LINEAR)])
def test_defaults_fit_small_images(operator):
    assert restorer(operator=operator, solver="ddrm").steps is None


@pytest.mark.parametrize("solver", build.RESTORERS)
def test_every_solver_restores_a_box(solver):
    noise = 0.1 if solver == "smc" else 0.0
    found = restorer(solver=solver, noise_std=noise)
    assert (found.steps is not None) == (solver in BY_STEPS)


@pytest.mark.parametrize("operator", NOT_LINEAR)
@pytest.mark.parametrize("solver", build.RESTORERS)
def test_what_is_not_linear_goes_to_dps_and_smc(solver, operator):
    noise = 0.1 if solver == "smc" else 0.0
    if solver in ("dps", "smc"):
        assert restorer(solver=solver, operator=operator, noise_std=noise).steps
        return
    with pytest.raises(ValueError, match=f"{operator!r}: {solver} takes linear.* take dps or smc"):
        restorer(solver=solver, operator=operator)


def test_the_smallest_time_names_its_key():
    config = commands.tiny_config("subvp")
    config.sampling.grid.t_min = 1.5
    with pytest.raises(ValueError, match=r"^config.sampling.grid.t_min is 1.5; it lies"):
        build.restorer(config, SubVPSDE(), 2)


@pytest.mark.parametrize(("centered", "expected"), [(True, 0.5), (False, 0.25)])
def test_spread_of_the_data_goes_with_their_scale(centered, expected):
    """A quarter of black to white, where none is said."""
    y = jax.random.normal(jax.random.key(0), (2, 4, 4, 1))

    def draws(**settings):
        found = restorer(operator="average", data__centered=centered, pigdm__steps=4, **settings)
        return jax.jit(lambda y: found.sample(jax.random.key(1), lambda x, t: -x, y).x)(y)

    np.testing.assert_array_equal(draws(), draws(pigdm__prior_std=expected))
    assert not np.array_equal(draws(), draws(pigdm__prior_std=1.2 * expected))


def test_black_and_white_are_those_of_the_network():
    """Of data in [0, 1] mid-grey is 1/2, and black magnitudes are 0."""
    settings = {"data__centered": False, "noise_std": 0.1, "solver": "smc"}
    x = np.full((2, 8, 8, 1), 0.6, np.float32)
    hdr = restorer(operator="high_dynamic_range", **settings).operator
    np.testing.assert_allclose(hdr(x), 0.7, atol=1e-6)
    phases = restorer(operator="phase_retrieval", **settings).operator
    np.testing.assert_allclose(phases(0 * x), 0, atol=2e-6)


@pytest.mark.parametrize("solver", BY_STEPS)
def test_a_loop_over_steps_makes_the_same(solver):
    """On the host what the solver's own loop makes of the same key, to rounding."""
    settings = {"noise_std": 0.1, "t_min": 0.02, f"{solver}__steps": 4}
    if solver == "smc":
        settings["smc__particles"] = 3
    found = restorer(solver=solver, operator="average", **settings)
    y = jax.random.normal(jax.random.key(0), (2, 4, 4, 1))
    key = jax.random.key(1)

    def score(x, t):
        return -x / (1 + x**2)

    samples = jax.jit(lambda key, y: found.sample(key, score, y))(key, y)
    step = jax.jit(lambda state, row: found.steps.step(key, score, y, state, row))
    state = jax.jit(found.steps.start)(key)
    for i in range(len(found.steps.rows.i)):
        state = step(state, jax.tree.map(lambda leaf, i=i: leaf[i], found.steps.rows))
    x = jax.jit(lambda state: found.steps.end(key, score, y, state))(state)
    np.testing.assert_allclose(x, samples.x, atol=1e-4)
    assert np.all(samples.nfe == found.steps.nfe)
    assert np.std(np.asarray(x)) > 0.05


def test_pictures_and_the_scale_of_the_network():
    config = commands.tiny_config("subvp")
    experiment = build.experiment(config)
    levels = np.arange(16 + 1).reshape(1, 1, 17, 1)
    x = build.from_unit(experiment, config, levels / np.float32(16))
    np.testing.assert_array_equal(experiment.to_pixels(x), np.round(levels * 255 / 16))
    # The middle of each level's share of [0, 1].
    np.testing.assert_allclose(build.to_unit(config, x), (levels + 0.5) / 17, atol=1e-6)
