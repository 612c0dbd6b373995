"""Time embeddings equal the 2021 code's; Fourier frequencies are never trained."""

import jax
import jax.numpy as jnp
import pytest

from scoresde_jax.models.embedding import GaussianFourierProjection, timestep_embedding
from tests.golden.golden import load, relative_error

TOLERANCE = 1e-5  # float32 sine of arguments up to 1000
WAVES = load("b_layers/timestep_embedding")


@pytest.mark.parametrize("features", [8, 9, 32, 128])
def test_timestep_embedding(features):
    found = timestep_embedding(WAVES.arrays["timesteps"], features)
    # Both sides round the argument, up to 1000, to 6e-5 before the sine.
    assert relative_error(found, WAVES.arrays[f"emb_dim={features}"]) < 1e-4


def test_whole_labels_may_be_integers():
    label = jnp.array([0, 7])
    assert relative_error(timestep_embedding(label, 8), timestep_embedding(1.0 * label, 8)) == 0


def test_fourier():
    golden = load("b_layers/fourier")
    layer = GaussianFourierProjection(16, scale=16.0)
    found = layer.apply({"params": golden.params}, golden.arrays["input0"])
    assert relative_error(found, golden.arrays["out"]) < TOLERANCE


def test_fourier_frequencies():
    layer = GaussianFourierProjection(4096, scale=16.0)
    u = jnp.array([0.5])
    variables = layer.init(jax.random.key(0), u)
    assert float(variables["params"]["W"].std()) == pytest.approx(16, rel=0.05)  # 1/sqrt(2n) = 1%
    gradient = jax.grad(lambda v: layer.apply(v, u).sum())(variables)
    assert not gradient["params"]["W"].any()
