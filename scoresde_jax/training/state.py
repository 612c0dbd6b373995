"""What a training run carries from step to step: arrays, and nothing else."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax

from scoresde_jax.types import Array


@flax.struct.dataclass
class TrainState:
    """Parameters, their moving average, the optimiser's moments and the count of steps made."""

    step: Array  # () int32
    params: Any
    ema_params: Any
    opt_state: Any


def create(params: Any, tx: optax.GradientTransformation) -> TrainState:
    """The state before the first step; the average starts at the parameters."""
    # A copy: buffers that are donated together may not be the same buffer.
    return TrainState(
        jnp.zeros((), jnp.int32), params, jax.tree.map(jnp.copy, params), tx.init(params)
    )
