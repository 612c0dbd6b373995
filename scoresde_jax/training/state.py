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


def resumed(
    tx: optax.GradientTransformation,
    *,
    step: int,
    params: Any,
    ema_params: Any,
    count: int,
    mu: Any,
    nu: Any,
) -> TrainState:
    """The state of a run that stands at `step`, from its parts; the inverse of `adam_moments`.

    Args:
      tx: what `optimizer.adam` makes.
      count: updates that the moments have seen, for Adam's bias correction; the schedule goes by
        `step`.
      mu: first moments of Adam, as `params`; zeros, with a count of 0, are fresh ones.
      nu: second moments.
    """
    opt_state = optax.tree.set(
        tx.init(params), _of_adam, count=jnp.asarray(count, jnp.int32), mu=mu, nu=nu
    )
    opt_state = optax.tree.set(
        opt_state,
        lambda path, leaf: not _of_adam(path, leaf),
        count=jnp.asarray(step, jnp.int32),
    )
    return TrainState(jnp.asarray(step, jnp.int32), params, ema_params, opt_state)


def adam_moments(state: TrainState) -> tuple[int, Any, Any]:
    """Adam's count of updates, first and second moments."""
    count, mu, nu = (
        optax.tree.get(state.opt_state, name, filtering=_of_adam) for name in ("count", "mu", "nu")
    )
    return int(count), mu, nu


def _of_adam(path: tuple[Any, ...], leaf: Any) -> bool:
    """Whether a leaf of an optimiser's state is a field of Adam's; schedules count as well."""
    del leaf
    return getattr(path[-1], "tuple_name", None) == optax.ScaleByAdamState.__name__
