"""The Wide ResNet has the original's size, and what it sees does not depend on scale or shift."""

import jax
import jax.numpy as jnp
import numpy as np

from scoresde_jax.models.wideresnet import WideResNet

NET = WideResNet(classes=3, blocks_per_group=1, width=1)
X = np.random.default_rng(0).normal(size=(3, 8, 8, 1)).astype(np.float32)
SIGMA = jnp.array([0.01, 1.0, 50.0])


def test_28_10_has_the_size_of_the_original():
    def block(c_in, c):  # two convolutions, two normalizations, and a dense layer of time
        return 9 * c_in * c + 9 * c * c + 2 * c_in + 2 * c + 512 * c + c

    widths = (16, *[160] * 4, *[320] * 4, *[640] * 4)
    blocks = sum(map(block, widths[:-1], widths[1:]))
    time = 128 + (256 * 512 + 512) + (512 * 512 + 512)  # frequencies, two dense layers
    wanted = 9 * 3 * 16 + blocks + time + 2 * 640 + (640 * 10 + 10)
    x, sigma = jnp.zeros((1, 32, 32, 3)), jnp.ones(1)
    params = jax.eval_shape(WideResNet().init, jax.random.key(0), x, sigma)["params"]
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == wanted == 38_913_242


def test_scale_and_shift_of_an_image_do_not_matter_and_its_noise_does():
    params = jax.jit(NET.init)(jax.random.key(0), X, SIGMA)["params"]
    apply = jax.jit(lambda x, sigma: NET.apply({"params": params}, x, sigma))
    logits = apply(X, SIGMA)
    assert logits.shape == (3, 3)
    # Standardizing rounds; five layers follow.
    np.testing.assert_allclose(apply(40 * X + 3, SIGMA), logits, rtol=1e-3, atol=1e-3)
    moved = apply(X, SIGMA.at[1].set(1.1))
    same = np.all(np.asarray(logits) == np.asarray(moved), axis=1)
    np.testing.assert_array_equal(same, [True, False, True])
