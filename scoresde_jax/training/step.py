"""The compiled training step.

    params <- Adam(params, gradient of mean loss)
    ema    <- ema_decay ema + (1 - ema_decay) params

Randomness is fold_in(key, step): a resumed run draws what an uninterrupted one would have drawn.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from scoresde_jax.training.state import TrainState
from scoresde_jax.types import Array

LossFn = Callable[[Any, Array, Any], Array]  # (params, key, batch) -> (B,)


def train_step(
    state: TrainState,
    key: Array,
    batch: Any,
    *,
    loss_fn: LossFn,
    tx: optax.GradientTransformation,
    ema_decay: float,
    microbatches: int = 1,
) -> tuple[TrainState, dict[str, Array]]:
    """One step on one batch.

    Args:
      key: the run's key; the step's own is folded from it.
      batch: what `loss_fn` takes; sharded over devices, means are over the whole of it.
      microbatches: parts that the batch is computed in, one after the other, which needs that much
        less memory for activations. The gradient is that of the whole batch; each part has a key of
        its own.

    Returns:
      The next state, and {"loss", "grad_norm"} of this step before clipping, each ().
    """
    step_key = jax.random.fold_in(key, state.step)
    loss, grads = _loss_and_gradient(loss_fn, state.params, step_key, batch, microbatches)
    updates, opt_state = tx.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    ema_params = optax.incremental_update(params, state.ema_params, 1 - ema_decay)
    metrics = {"loss": loss, "grad_norm": optax.tree.norm(grads)}
    return TrainState(state.step + 1, params, ema_params, opt_state), metrics


def _loss_and_gradient(
    loss_fn: LossFn, params: Any, key: Array, batch: Any, microbatches: int
) -> tuple[Array, Any]:
    """Mean loss and its gradient, the mean over the parts of a batch."""

    def of_part(key: Array, part: Any) -> tuple[Array, Any]:
        return jax.value_and_grad(lambda p: jnp.mean(loss_fn(p, key, part)))(params)

    if microbatches == 1:
        return of_part(key, batch)

    def add(total: Any, part: tuple[Array, Any]) -> tuple[Any, None]:
        i, examples = part
        found = of_part(jax.random.fold_in(key, i), examples)
        return jax.tree.map(lambda t, f: t + f / microbatches, total, found), None

    def split(leaf: Array) -> Array:
        """(B, ...) -> (parts, B / parts, ...), so that each device has its share of every part."""
        return jnp.moveaxis(jnp.reshape(leaf, (-1, microbatches, *leaf.shape[1:])), 1, 0)

    parts = jnp.arange(microbatches), jax.tree.map(split, batch)
    nothing = jnp.zeros(()), jax.tree.map(jnp.zeros_like, params)
    # On CPUs gradients of convolutions are slow inside loops, so there is none: jax issue 12868.
    unroll = jax.default_backend() == "cpu"
    return jax.lax.scan(add, nothing, parts, unroll=unroll)[0]


def train_steps(
    state: TrainState,
    key: Array,
    batches: Any,
    count: Array,
    *,
    loss_fn: LossFn,
    tx: optax.GradientTransformation,
    ema_decay: float,
    microbatches: int = 1,
) -> tuple[TrainState, dict[str, Array]]:
    """`count` steps on the first `count` of n stacked batches, in one call.

    One compilation serves every count up to n, so a chunk may be cut short anywhere.

    Args:
      batches: pytree of (n, B, ...) arrays. For n = 1 there is no loop at all: on CPUs XLA runs
        gradients of convolutions inside loops 13 to 28 times slower (jax issue 12868).

    Returns:
      The state, and the metrics of the last step.
    """

    def step(i: Array | int, carry: tuple[TrainState, dict[str, Array]]):
        batch = jax.tree.map(lambda leaf: leaf[i], batches)
        options = {"tx": tx, "ema_decay": ema_decay, "microbatches": microbatches}
        return train_step(carry[0], key, batch, loss_fn=loss_fn, **options)

    nothing = {"loss": jnp.zeros(()), "grad_norm": jnp.zeros(())}
    if jax.tree.leaves(batches)[0].shape[0] == 1:
        return step(0, (state, nothing))
    return jax.lax.fori_loop(0, count, step, (state, nothing))
