"""Every example of docs/extending.md and of the README runs, and does what it says."""

import pathlib
import re
from functools import partial

import commands
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from scoresde_jax import (
    VPSDE,
    build,
    data,
    make_score_fn,
    pc_sample,
    reverse_diffusion,
    vp_continuous,
)
from scoresde_jax.losses import dsm_loss
from scoresde_jax.types import bcast

ROOT = pathlib.Path(__file__).parents[1]
GUIDE = ROOT / "docs" / "extending.md"
MEAN, STD = 0.3, 0.5


@pytest.fixture(scope="module")
def names():
    """What the examples define, run in order as a reader would."""
    found = {"__name__": "extending"}
    for block in re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL):
        exec(compile(block, str(GUIDE), "exec"), found)
    return found


def gaussian_score(sde, x, t):
    """The exact score when x_0 is N(MEAN, STD^2)."""
    mean, std = sde.marginal(jnp.full_like(x, MEAN), t)
    scale = sde.marginal(jnp.ones(x.shape[:1]), t)[0]
    return -(x - mean) / bcast((scale * STD) ** 2 + std**2, x)


def draw(sde, **moves):
    score_fn = partial(gaussian_score, sde)
    shape = (4000, 2, 2, 1)
    return pc_sample(jax.random.key(0), sde, score_fn, shape, steps=200, t_min=1e-3, **moves)


def assert_moments(samples, tolerance=0.02):
    # 16,000 numbers: standard errors of 0.004 for the mean, 0.003 for the std; the rest is bias
    # of 200 steps.
    assert abs(float(samples.x.mean()) - MEAN) < tolerance
    assert abs(float(samples.x.std()) - STD) < tolerance


def test_an_sde_of_constant_rate_solves_its_own_marginal(names):
    sde = names["constant_rate"](8.0)
    _, std = sde.marginal(jnp.zeros(1), jnp.array([0.5]))
    np.testing.assert_allclose(std, np.sqrt(1 - np.exp(-8.0 * 0.5)), rtol=1e-6)


def test_an_sde_of_ones_own_samples(names):
    sde = names["sde"]
    assert type(sde).__name__ == "BrownianSDE"
    assert_moments(draw(sde, predictor=partial(reverse_diffusion, n=200)), tolerance=0.05)


def test_a_predictor_samples_and_counts_both_its_evaluations(names):
    samples = draw(VPSDE(), predictor=partial(names["heun"], n=200))
    assert_moments(samples)
    assert int(samples.nfe[0]) == 2 * 200


def test_a_corrector_leaves_the_law_alone(names):
    corrector = partial(names["fixed_langevin"], snr=0.05, steps=1, alpha=None)
    samples = draw(VPSDE(), predictor=partial(reverse_diffusion, n=200), corrector=corrector)
    assert_moments(samples)
    assert int(samples.nfe[0]) == 2 * 200


def test_a_network_trains(names):
    net = names["TinyNet"]()
    x0 = jnp.ones((8, 8, 8, 1))
    params = net.init(jax.random.key(0), x0, jnp.zeros(8))
    sde = VPSDE()

    def loss(params):
        score_fn = make_score_fn(vp_continuous(sde), partial(net.apply, params))
        return dsm_loss(jax.random.key(1), sde, score_fn, x0, t_min=1e-3).mean()

    value, gradient = jax.value_and_grad(loss)(params)
    stepped = jax.tree.map(lambda p, g: p - 0.01 * g, params, gradient)
    assert loss(stepped) < value


def test_all_of_them_from_a_config(names, monkeypatch):
    monkeypatch.setitem(build.SDES, "brownian", names["BrownianSDE"])
    for choice in ("ve_continuous",):
        known = (*build.DEFINED_FOR[choice], "brownian")
        monkeypatch.setitem(build.DEFINED_FOR, choice, known)
    monkeypatch.setitem(build.PREDICTORS, "heun", names["heun"])
    monkeypatch.setitem(build.CORRECTORS, "fixed_langevin", names["fixed_langevin"])
    monkeypatch.setitem(build.NETWORKS, "tiny_net", names["TinyNet"])
    monkeypatch.setitem(data.PACKAGED, "stripes", names["stripes"])
    config = commands.raw_config("ve", training__steps=1)
    config.sde = ConfigDict({"name": "brownian", "sigma": 3.0})
    config.model = ConfigDict({"name": "tiny_net", "features": 4, "dtype": "bfloat16"})
    config.data.update({"name": "stripes", "levels": 256})
    config.sampling.pc.update({"predictor": "heun", "corrector": "fixed_langevin"})
    config.sampling.pc.update({"steps": 2, "corrector_steps": 3})
    config = build.resolve(config)
    experiment = build.experiment(config)
    params = experiment.init_params(jax.random.key(0))
    samples = experiment.sampler(jax.random.key(1), experiment.score_fn(params), (2, 8, 8, 1))
    assert samples.nfe.tolist() == [2 * (2 + 3)] * 2
    images = build.dataset(config, "train").images[:4]
    assert np.isfinite(experiment.train_loss(params, jax.random.key(2), images)).all()


def test_a_data_set_is_checked_and_whole(names):
    stripes = names["stripes"]("train")
    assert stripes.images.shape == (64, 8, 8, 1)
    assert (stripes.images[0] == stripes.images[1].transpose(1, 0, 2)).all()


def test_the_readme_draws():
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    found = {"__name__": "readme", "network": lambda x, label: -x}
    exec(compile(block, "README.md", "exec"), found)
    assert found["images"].shape == (16, 8, 8, 1) and np.isfinite(found["images"]).all()
