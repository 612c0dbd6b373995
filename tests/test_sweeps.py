"""Samplers are compared from the same noise, with the budgets that were asked for."""

import commands
import jax
import numpy as np
import pytest
from small_network import SmallNetwork

from scoresde_jax import build, sharding, sweeps

SAMPLERS = ("pc", "ode", "adaptive", "heun", "unipc")


@pytest.fixture(scope="module")
def swept():
    config = commands.tiny_config(
        "subvp",
        sweep__samplers=SAMPLERS,
        sweep__images=20,
        sweep__evaluations=(4, 40),
        sweep__ode_tolerances=(1e-4,),
        sampling__batch_size=8,
    )
    experiment = build.experiment(config)._replace(network=SmallNetwork())
    todo = sweeps.trials(experiment, config)
    mesh = sharding.device_mesh(jax.devices()[:2])
    params = experiment.init_params(jax.random.key(0))
    params = jax.device_put(params, sharding.replicated(mesh))
    sets = (build.dataset(config, split) for split in ("train", "test"))
    return sweeps.run(todo, experiment, config, params, mesh, *sets)


def test_every_sampler_has_every_budget(swept):
    found = [(row["sampler"], row["setting"]) for row in swept["rows"]]
    assert found == [
        ("pc", "4 steps"),
        ("ode", "tolerance 0.0001"),
        ("adaptive", "tolerance 0.3"),
        ("heun", "2 steps"),
        ("heun", "20 steps"),
        ("unipc", "4 steps"),
        ("unipc", "40 steps"),
    ]
    nfe = {found[i]: row["nfe"] for i, row in enumerate(swept["rows"])}
    assert nfe["heun", "20 steps"] == nfe["unipc", "40 steps"] == 40


def test_solvers_of_the_flow_are_compared_with_its_solution(swept):
    rows = {(row["sampler"], row["setting"]): row for row in swept["rows"]}
    assert rows["pc", "4 steps"]["rms_error"] is rows["adaptive", "tolerance 0.3"]["rms_error"]
    assert rows["pc", "4 steps"]["rms_error"] is None
    # The same noise: x is of size 150 here, and these are solvers of it.
    assert rows["ode", "tolerance 0.0001"]["rms_error"] < 0.1
    for name in ("heun", "unipc"):
        few, many = (row["rms_error"] for row in swept["rows"] if row["sampler"] == name)
        assert many < few


def test_distances_are_of_samples_and_of_real_images(swept):
    assert all(row["converged"] for row in swept["rows"])
    assert swept["images"] == 20 and swept["features"] == 64
    real = swept["real_images"]
    assert real["images"] == 297
    # An untrained network draws nothing like digits.
    assert all(row["frechet_distance"] > 10 * real["frechet_distance"] for row in swept["rows"])
    text = sweeps.table(swept).splitlines()
    assert len(text) == 2 + len(swept["rows"]) and text[2].startswith("| pc | 4 steps | 4 |")


def test_an_unknown_sampler_is_refused():
    config = commands.tiny_config("subvp", sweep__samplers=("pc", "henu"))
    with pytest.raises(ValueError, match="'henu'.*Did you mean 'heun'"):
        sweeps.trials(build.experiment(config), config)


def test_distance_of_failures_is_left_out(swept):
    rows = [{**swept["rows"][0], "frechet_distance": None, "converged": False}]
    assert "not finite" in sweeps.table({**swept, "rows": rows})
    assert np.isfinite(swept["rows"][0]["frechet_distance"])
