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
) -> tuple[TrainState, dict[str, Array]]:
    """One step on one batch.

    Args:
      key: the run's key; the step's own is folded from it.
      batch: what `loss_fn` takes; sharded over devices, means are over the whole of it.

    Returns:
      The next state, and {"loss", "grad_norm"} of this step before clipping, each ().
    """
    step_key = jax.random.fold_in(key, state.step)
    loss, grads = jax.value_and_grad(lambda p: jnp.mean(loss_fn(p, step_key, batch)))(state.params)
    updates, opt_state = tx.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    ema_params = optax.incremental_update(params, state.ema_params, 1 - ema_decay)
    metrics = {"loss": loss, "grad_norm": optax.tree.norm(grads)}
    return TrainState(state.step + 1, params, ema_params, opt_state), metrics


def train_steps(
    state: TrainState,
    key: Array,
    batches: Any,
    count: Array,
    *,
    loss_fn: LossFn,
    tx: optax.GradientTransformation,
    ema_decay: float,
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
        return train_step(carry[0], key, batch, loss_fn=loss_fn, tx=tx, ema_decay=ema_decay)

    nothing = {"loss": jnp.zeros(()), "grad_norm": jnp.zeros(())}
    if jax.tree.leaves(batches)[0].shape[0] == 1:
        return step(0, (state, nothing))
    return jax.lax.fori_loop(0, count, step, (state, nothing))
