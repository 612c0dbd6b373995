"""The flow gives given images back, and images between them."""

import commands
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gaussian import correlated
from small_network import SmallNetwork

from scoresde_jax import build, encodings, sampling, score, sharding
from scoresde_jax.evaluation import agreement
from scoresde_jax.posterior.exact import gaussian
from scoresde_jax.progress import Progress
from scoresde_jax.sde import SubVPSDE
from scoresde_jax.types import bcast


@pytest.fixture(scope="module")
def tools():
    config = commands.tiny_config("subvp", sampling__ode__rtol=1e-4, sampling__ode__atol=1e-4)
    experiment = build.experiment(config)._replace(network=SmallNetwork())
    params = experiment.init_params(jax.random.key(0))
    images = build.dataset(config, "test").images[:6]
    mesh = sharding.device_mesh(jax.devices()[:4])  # 6 is no multiple: filled up
    return experiment, jax.device_put(params, sharding.replicated(mesh)), images, 0, mesh


def test_reconstructions_are_the_images(tools):
    found = encodings.reconstructions(*tools, 4)
    assert found.pixels.shape == (6, 2, 8, 8, 1) and found.converged.all()
    given, back = found.pixels[:, 0], found.pixels[:, 1]
    np.testing.assert_array_equal(given, np.round(tools[2] * 255.0 / 16))
    close(back, given)


def close(found, wanted):
    """Equal but for one level: noise near the edge of its cell crosses it, with solver's error."""
    difference = np.abs(found.astype(int) - wanted)
    assert difference.max() <= 16 and np.mean(difference > 0) < 0.2


def test_interpolations_begin_and_end_with_the_images(tools):
    found = encodings.interpolations(*tools, 100)
    assert found.pixels.shape == (3, encodings.COLUMNS, 8, 8, 1) and found.converged.all()
    shown = np.round(tools[2] * 255.0 / 16)
    close(found.pixels[:, 0], shown[0::2])
    close(found.pixels[:, -1], shown[1::2])
    assert (found.pixels[:, 4] != found.pixels[:, 0]).any()
    assert found.nfe.shape == (3, encodings.COLUMNS)


def test_noise_becomes_images(tools):
    """x_0 is known from the last x_t, and unknown from the first."""
    experiment, params, _, seed, mesh = tools
    found = encodings.denoising(experiment, params, 3, seed, mesh)
    assert found.pixels.shape == (6, encodings.COLUMNS, 8, 8, 1) and found.converged.all()
    noisy, expected = found.pixels[0::2].astype(float), found.pixels[1::2].astype(float)
    apart = np.abs(noisy - expected).mean(axis=(0, 2, 3, 4))
    assert apart[-1] < apart[0] / 3
    assert (found.nfe == 1 + 4 * np.arange(encodings.COLUMNS)).all()


SDE = SubVPSDE()
OPTIONS = {"t_min": 1e-2, "rtol": 1e-5, "atol": 1e-5}


def codes(score_fn, x):
    """Through `in_batches`, of which 10 is no multiple."""
    mesh = sharding.device_mesh(jax.devices()[:2])
    program = jax.jit(lambda params, x: sampling.encode(SDE, score_fn, x, **OPTIONS))
    progress = Progress("codes", len(x))
    found = encodings.in_batches(program, (), x, batch_size=4, mesh=mesh, progress=progress)
    assert progress.done == len(x) and found.converged.all() and found.nfe.shape == (len(x),)
    return found.x


@pytest.fixture(scope="module")
def data():
    """Data of known score, and images of theirs."""
    law = correlated((2, 2, 1))
    return law, np.asarray(law.sample(SDE, jax.random.key(0), 10, OPTIONS["t_min"]))


def test_one_score_gives_one_code_however_it_is_written(data):
    """By the axes; by the covariance; as a network that predicts noise, of the label 999 t."""
    law, x = data
    covariance = (law.basis * law.std.astype(float) ** 2) @ law.basis.T
    other = gaussian(law.mean.ravel(), (covariance + covariance.T) / 2)

    def network(x, label):
        t = label / 999
        std = SDE.marginal(jnp.zeros_like(t), t)[1]
        return -bcast(std, x) * law.score(SDE, x, t)

    first = codes(law.score_fn(SDE), x)
    by_network = score.make_score_fn(score.vp_continuous(SDE), network)
    for score_fn in (lambda x, t: other.score(SDE, x, t), by_network):
        found = agreement(first, codes(score_fn, x))
        # Tolerance 1e-5 a step, some dozens of steps, and float32.
        assert found.distance < 3e-4 and found.correlation.min() > 1 - 1e-6
        assert found.matched == 1


def test_another_score_gives_the_code_of_its_closed_form(data):
    """Along an axis the flow keeps (x - mean) / std, of its own mean and std."""
    law, x = data
    wider = type(law)(law.mean + 0.2, 2 * law.std, law.basis)

    def closed(law):
        (m0, v0), (m1, v1) = (law.marginal(SDE, jnp.full(1, t)) for t in (OPTIONS["t_min"], 1.0))
        z = m1 + jnp.sqrt(v1 / v0) * (x.reshape(len(x), -1) @ law.basis - m0)
        return (np.asarray(z) @ law.basis.T).reshape(x.shape)

    first, second = (codes(one.score_fn(SDE), x) for one in (law, wider))
    np.testing.assert_allclose(first, closed(law), atol=1e-3)
    apart, expected = agreement(first, second), agreement(closed(law), closed(wider))
    assert apart.distance == pytest.approx(expected.distance, abs=1e-3) and apart.distance > 0.3
    np.testing.assert_allclose(apart.correlation, expected.correlation, atol=1e-3)
