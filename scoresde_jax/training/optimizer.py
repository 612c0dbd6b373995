"""Adam as the 2021 models were trained: warm-up, global-norm clip, decoupled weight decay."""

import math

import jax.numpy as jnp
import optax


def learning_rate(
    peak: float, *, warmup_steps: int, decay_steps: int | None = None
) -> optax.Schedule:
    """peak * min(step / warmup_steps, 1), then constant or a half cosine to zero.

    Args:
      peak: highest learning rate.
      warmup_steps: 0 for none. With warm-up the first update has rate zero, as in the 2021 code.
      decay_steps: step at which the cosine reaches zero; None keeps the peak.
    """

    def schedule(step):
        rate = peak * jnp.minimum(step / warmup_steps, 1.0) if warmup_steps else peak
        if decay_steps is None:
            return jnp.asarray(rate)
        done = jnp.clip((step - warmup_steps) / max(decay_steps - warmup_steps, 1), 0.0, 1.0)
        return rate * 0.5 * (1 + jnp.cos(math.pi * done))

    return schedule


def adam(
    schedule: optax.Schedule,
    *,
    b1: float = 0.9,
    b2: float = 0.999,
    adam_eps: float = 1e-8,
    weight_decay: float = 0.0,
    clip_norm: float = 1.0,
) -> optax.GradientTransformation:
    """Adam on gradients clipped to a global norm.

    Args:
      schedule: step -> learning rate.
      weight_decay: decoupled (Loshchilov & Hutter 2019), times the learning rate.
      clip_norm: largest gradient norm; a negative one leaves gradients as they are, as in 2021.
    """
    return optax.chain(
        optax.clip_by_global_norm(clip_norm) if clip_norm >= 0 else optax.identity(),
        optax.adamw(schedule, b1=b1, b2=b2, eps=adam_eps, weight_decay=weight_decay),
    )
