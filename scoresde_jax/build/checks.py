"""What is checked of a config before anything is built: numbers, and choices that go together."""

import math
from collections.abc import Iterable, Iterator
from typing import Any

from scoresde_jax.tables import listed

Config = Any  # a ConfigDict; type checkers know nothing of its attributes

# Rows that are defined for some SDEs only.
DEFINED_FOR = {
    "ve_continuous": ("ve",),
    "ve_discrete": ("ve",),
    "ncsn": ("ve",),
    "vp_continuous": ("vp", "subvp", "linear_ve"),
    "vp_discrete": ("vp",),
    "smld": ("ve",),
    "ddpm": ("vp",),
    "ancestral": ("ve", "vp"),
}
_INTERVALS = ("log_every", "eval_every", "checkpoint_every", "snapshot_every")
# Keys and their least values, wherever a section has them.
_LEAST: dict[str, int] = dict.fromkeys(
    ("steps", "batch_size", "microbatches", "n_jitted_steps", *_INTERVALS), 1
)
_LEAST |= dict.fromkeys(("snapshot_images", "keep_checkpoints", "corrector_steps"), 1)
_LEAST |= dict.fromkeys(("max_steps", "n", "epochs", "components"), 1)
_LEAST |= {"seed": 0, "warmup_steps": 0, "probes": 0, "num_samples": 4}


def check_choices(config: Config, divisor: int, sdes: Iterable[str]) -> None:
    """Raises ValueError for two choices that do not go together.

    Args:
      divisor: what the network needs the size of images to be a multiple of.
      sdes: the names that config.sde.name may have.
    """
    name = config.sde.name
    for where, choice in (
        ("config.parameterization.name", config.parameterization.name),
        ("config.loss.name", config.loss.name),
        ("config.sampling.pc.predictor", config.sampling.pc.predictor),
    ):
        if name not in DEFINED_FOR.get(choice, tuple(sdes)):
            raise ValueError(
                f"{where} is {choice!r}, which is defined for {listed(DEFINED_FOR[choice])} "
                f"and not for config.sde.name {name!r}; choose another."
            )
    if config.data.image_size % divisor:
        raise ValueError(
            f"config.data.image_size is {config.data.image_size}, which this network halves until "
            f"{divisor} pixels are one; choose fewer levels in config.model.channel_multipliers, "
            f"or images whose size is a multiple of {divisor}."
        )
    if config.model.get("embedding") == "fourier" and "discrete" in config.parameterization.name:
        raise ValueError(
            "config.model.embedding is 'fourier', which takes the logarithm of the label, but "
            f"labels of config.parameterization.name {config.parameterization.name!r} start at 0; "
            "use 'positional', or a continuous parameterization."
        )
    levels = config.parameterization.get("n")
    if config.model.get("classes", levels) != levels:
        raise ValueError(
            f"config.model.classes is {config.model.classes}, but config.parameterization.n is "
            f"{levels}; the network has one class for each noise level."
        )
    if levels != config.loss.get("n"):
        raise ValueError(
            f"config.parameterization.n is {levels} and config.loss.n is {config.loss.get('n')}; "
            "a discrete parameterization is trained with the loss of the same chain."
        )


def check_numbers(config: Config) -> None:
    """Raises ValueError for a number that no run can use; the message says where it was set."""
    for where, value in _leaves(config.to_dict(), "config"):
        least = _LEAST.get(where.rpartition(".")[2])
        if least is not None and isinstance(value, int) and value < least:
            raise ValueError(f"{where} is {value}; it must be >= {least}.")
        # config.json and checkpoints are JSON.
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{where} is {value}; it must be finite.")
    batch_size, parts = config.training.batch_size, config.training.microbatches
    if batch_size % parts:
        raise ValueError(
            f"config.training.microbatches is {parts}, which does not divide "
            f"config.training.batch_size {batch_size}; choose one that does."
        )
    if config.optimizer.clip_norm == 0:
        raise ValueError(
            "config.optimizer.clip_norm is 0, which leaves no gradient; "
            "a negative value leaves gradients as they are."
        )


def _leaves(value: Any, where: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, f"{where}.{key}")
    else:
        yield where, value
