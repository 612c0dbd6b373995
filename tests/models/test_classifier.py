"""The classifier has the shapes it promises, and depends on time only where it is told of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scoresde_jax.models.classifier import SmallClassifier

NET = SmallClassifier(classes=3, channels=2, features=5)
X = np.random.default_rng(0).normal(size=(4, 8, 8, 1)).astype(np.float32)
T = jnp.array([0.1, 0.5, 0.9, 1.0])


@pytest.mark.parametrize("t", [None, T], ids=["clean", "noisy"])
def test_features_and_logits(t):
    params = NET.init(jax.random.key(0), X, t)["params"]
    features, logits = NET.apply({"params": params}, X, t)
    assert features.shape == (4, 5) and logits.shape == (4, 3)
    assert np.min(features) >= 0 < np.max(features)
    last = params["logits"]
    np.testing.assert_allclose(
        logits, features @ last["kernel"] + last["bias"], rtol=1e-5, atol=1e-6
    )
    assert any("time" in name for name in params) == (t is not None)


def test_each_image_has_its_own_time():
    params = NET.init(jax.random.key(0), X, T)["params"]
    _, logits = NET.apply({"params": params}, X, T)
    _, moved = NET.apply({"params": params}, X, T.at[1].set(0.6))
    same = np.all(np.asarray(logits) == np.asarray(moved), axis=1)
    np.testing.assert_array_equal(same, [True, False, True, True])
