"""From config.posterior to operators and solvers, and what is said of a mistake in it."""

import commands
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


@pytest.mark.parametrize("operator", [name for name in build.OPERATORS if name != "gray"])
def test_defaults_fit_small_images(operator):
    assert restorer(operator=operator, solver="ddrm").step is None


@pytest.mark.parametrize("solver", build.RESTORERS)
def test_every_solver_restores_a_box(solver):
    noise = 0.1 if solver == "smc" else 0.0
    found = restorer(solver=solver, noise_std=noise)
    assert (found.step is not None) == (found.rows is not None) == (solver in ("pigdm", "dps"))


def test_pictures_and_the_scale_of_the_network():
    config = commands.tiny_config("subvp")
    experiment = build.experiment(config)
    levels = np.arange(16 + 1).reshape(1, 1, 17, 1)
    x = build.from_unit(experiment, config, levels / np.float32(16))
    np.testing.assert_array_equal(experiment.to_pixels(x), np.round(levels * 255 / 16))
    # The middle of each level's share of [0, 1].
    np.testing.assert_allclose(build.to_unit(config, x), (levels + 0.5) / 17, atol=1e-6)
