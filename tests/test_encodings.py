"""The flow gives given images back, and images between them."""

import commands
import jax
import numpy as np
import pytest
from small_network import SmallNetwork

from scoresde_jax import build, encodings, sharding


@pytest.fixture(scope="module")
def tools():
    config = commands.tiny_config("subvp", sampling__ode__rtol=1e-4, sampling__ode__atol=1e-4)
    experiment = build.experiment(config)._replace(network=SmallNetwork())
    params = experiment.init_params(jax.random.key(0))
    images = build.dataset(config, "test").images[:6]
    mesh = sharding.device_mesh(jax.devices()[:4])  # 6 is not a multiple: filled up
    return experiment, jax.device_put(params, sharding.replicated(mesh)), images, 0, mesh


def test_reconstructions_are_the_images(tools):
    found = encodings.reconstructions(*tools)
    assert found.pixels.shape == (6, 2, 8, 8, 1) and found.converged.all()
    given, back = found.pixels[:, 0], found.pixels[:, 1]
    np.testing.assert_array_equal(given, np.round(tools[2] * 255.0 / 16))
    close(back, given)


def close(found, wanted):
    """Equal but for one level: noise near the edge of its cell crosses it, with solver's error."""
    difference = np.abs(found.astype(int) - wanted)
    assert difference.max() <= 16 and np.mean(difference > 0) < 0.2


def test_interpolations_begin_and_end_with_the_images(tools):
    found = encodings.interpolations(*tools)
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
