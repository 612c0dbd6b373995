"""Features of small grey images, from a classifier that the project trains itself.

The Inception network was trained on photographs of 299 pixels; of 8x8 digits it sees little. Here a
classifier is trained on the training split, each image shifted by up to a pixel, and its layer
before the logits is what distances are taken in.

Training is reproducible on one kind of machine, and its result is known by a hash: features of two
classifiers are two units, whatever their accuracy.
"""

from collections.abc import Callable
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from scoresde_jax import files
from scoresde_jax.data.order import permutation
from scoresde_jax.models.classifier import SmallClassifier
from scoresde_jax.types import Array

BLOCK = 1000  # images that are classified at once
MAX_SHIFT = 1  # pixels; digits of 8 pixels a side have a margin of about one


class Optimizer(Protocol):
    """An optax.GradientTransformation: its updates are added to the parameters."""

    @property
    def init(self) -> Callable[..., Any]:
        """Parameters -> state."""
        ...

    @property
    def update(self) -> Callable[..., Any]:
        """(gradients, state, parameters) -> (updates, state)."""
        ...


def centred(images: Array | np.ndarray, *, levels: int) -> Array:
    """Levels (B, H, W, C) scaled to [-1, 1], float32."""
    return jnp.asarray(images, jnp.float32) * (2 / (levels - 1)) - 1


def outputs(classifier: SmallClassifier, params: Any, x: Array) -> tuple[Array, Array]:
    """Features (B, d) and logits (B, classes) of images in [-1, 1]."""
    features, logits = classifier.apply({"params": params}, x)
    return jnp.asarray(features), jnp.asarray(logits)


def cross_entropy(logits: Array, labels: Array) -> Array:
    """-log p(label), (B,) nats, from (B, classes) and (B,)."""
    logp = jax.nn.log_softmax(logits)
    return -jnp.take_along_axis(logp, labels[:, None], axis=1)[:, 0]


def shifted(key: Array, x: Array) -> Array:
    """Each image moved by up to a pixel either way; what comes in at the border is its pixels."""

    def one(key: Array, image: Array) -> Array:
        padded = jnp.pad(image, ((MAX_SHIFT, MAX_SHIFT), (MAX_SHIFT, MAX_SHIFT), (0, 0)), "edge")
        corner = jax.random.randint(key, (2,), 0, 2 * MAX_SHIFT + 1)
        return jax.lax.dynamic_slice(padded, (corner[0], corner[1], 0), image.shape)

    return jax.vmap(one)(jax.random.split(key, len(x)), x)


def train(
    seed: int,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    classifier: SmallClassifier,
    levels: int,
    optimizer: Optimizer,
    epochs: int = 40,
    batch_size: int = 100,
    progress: Callable[[int], object] = lambda step: None,
) -> Any:
    """Parameters of a classifier of (N, H, W, C) levels with labels (N,).

    Args:
      optimizer: its learning rate should fall to about 0 after epochs * (N // batch_size) steps.
      progress: is told the step.

    Raises:
      ValueError: there are fewer images than a batch.
    """
    steps = len(images) // batch_size
    if not steps:
        raise ValueError(f"a batch is {batch_size} images, and there are {len(images)}; use more.")
    key = jax.random.key(seed)
    params = classifier.init(key, jnp.zeros((1, *images.shape[1:])))["params"]
    state = optimizer.init(params)

    @jax.jit
    def step(key, params, state, x, y):
        def loss(params):
            moved = shifted(key, centred(x, levels=levels))
            _, logits = outputs(classifier, params, moved)
            return cross_entropy(logits, y).mean()

        updates, state = optimizer.update(jax.grad(loss)(params), state, params)
        return jax.tree.map(jnp.add, params, updates), state

    for epoch in range(epochs):
        order = permutation(len(images), seed, epoch)
        for i in range(steps):
            rows = order[i * batch_size : (i + 1) * batch_size]
            number = epoch * steps + i + 1
            params, state = step(
                jax.random.fold_in(key, number), params, state, images[rows], labels[rows]
            )
            progress(number)
    return jax.device_get(params)


def accuracy(
    params: Any, images: np.ndarray, labels: np.ndarray, *, classifier: SmallClassifier, levels: int
) -> float:
    """Share of images whose likeliest class is their label; in blocks, the last one filled up."""
    program = jax.jit(outputs, static_argnums=0)
    right, count = 0, len(images)
    size = min(BLOCK, count)
    for first in range(0, count, size):
        rows = np.minimum(np.arange(first, first + size), count - 1)
        _, logits = program(classifier, params, centred(images[rows], levels=levels))
        hits = np.argmax(np.asarray(logits), axis=1) == labels[rows]
        right += int(hits[: count - first].sum())
    return right / count


def write(path: files.Path, params: Any, *, levels: int) -> None:
    """Writes a classifier's parameters, the names of their layers joined by "/", and its levels."""
    leaves = {
        f"{layer}/{name}": np.asarray(leaf)
        for layer, leaves in params.items()
        for name, leaf in leaves.items()
    }
    files.write_npz(path, leaves | {"levels": np.asarray(levels)})


def read(path: files.Path) -> tuple[SmallClassifier, Any, int]:
    """The classifier that `write` wrote: network, parameters, levels; nothing in it is executed.

    Raises:
      ValueError: the file is not one.
      OSError: it cannot be read.
    """
    with open(path, "rb") as stream:
        try:
            with np.load(stream, allow_pickle=False) as file:
                held = dict(file)
            levels = int(held.pop("levels"))
            params: dict[str, dict[str, np.ndarray]] = {}
            for name, leaf in held.items():
                layer, _, leaf_name = name.partition("/")
                params.setdefault(layer, {})[leaf_name] = leaf
            features, classes = params["logits"]["kernel"].shape
            channels = params["conv_0"]["kernel"].shape[-1]
        except (AttributeError, IndexError, OSError, *files.UNREADABLE) as error:
            raise ValueError(f"{path} is no classifier of --mode features: {error}.") from error
    return SmallClassifier(classes, channels, features), params, levels
