"""How often a classifier of noisy images is right, by the time of the noise."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from scoresde_jax import build, data, sharding
from scoresde_jax.types import Array, bcast

TIMES = (0.01, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


def accuracy(
    experiment: build.Experiment,
    config: build.Config,
    params: Any,
    test_set: data.Dataset,
    mesh: jax.sharding.Mesh,
) -> dict[str, Any]:
    """Accuracy and cross-entropy of the classifier of config.guide on all images, by time.

    Each image at each time has noise of its own, whatever the batch it is in.

    Returns:
      {"times", "accuracy", "standard_error", "cross_entropy": a list each, the last in nats,
      "chance": the share of the commonest class, "images": how many}.
    """
    guide, sde = build.guide(config, experiment), experiment.sde
    section = config.guide_training
    key = jax.random.key(section.seed + 2)  # + 1 is for the evaluation loss

    def judged(params: Any, images: Array, labels: Array, index: Array, at: Array):
        keys = jax.vmap(lambda i: jax.random.fold_in(jax.random.fold_in(key, at), i))(index)
        scale_keys, z_keys = jax.vmap(jax.random.split, out_axes=1)(keys)
        x0 = experiment.scale_loss(scale_keys, images)
        t = jnp.full(x0.shape[:1], jnp.asarray(TIMES)[at])
        mean, std = sde.marginal(x0, t)
        z = jax.vmap(lambda k: jax.random.normal(k, x0.shape[1:]))(z_keys)
        log_probs = guide.log_probs(params, mean + bcast(std, x0) * z, t)
        own = jnp.take_along_axis(log_probs, labels[:, None], axis=-1)[:, 0]
        return jnp.argmax(log_probs, axis=-1) == labels, -own

    judge = jax.jit(judged)
    right, entropy = np.zeros(len(TIMES)), np.zeros(len(TIMES))
    for batch in data.eval_batches(test_set, section.batch_size):
        columns = [batch[name] for name in ("image", "label", "index")]
        columns = jax.device_put(columns, sharding.batch_sharded(mesh))
        for i in range(len(TIMES)):
            found = jax.device_get(judge(params, *columns, np.int32(i)))
            hits, nats = (values[batch["valid"]] for values in found)
            right[i] += hits.sum()
            entropy[i] += nats.sum()
    count = len(test_set.images)
    share = right / count
    return {
        "times": list(TIMES),
        "accuracy": share.tolist(),
        "standard_error": np.sqrt(share * (1 - share) / count).tolist(),
        "cross_entropy": (entropy / count).tolist(),
        "chance": float(np.bincount(test_set.labels).max() / count),
        "images": count,
    }


def lines(found: dict[str, Any]) -> list[str]:
    """What `accuracy` found, a line a time."""
    rows = zip(found["times"], found["accuracy"], found["standard_error"], strict=True)
    return [f"t = {t:4.2f}: right {right:.1%} ± {error:.1%}" for t, right, error in rows]
