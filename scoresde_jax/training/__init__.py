"""State, optimiser, compiled step, checkpoints and records of a training run."""

from scoresde_jax.training.checkpoint import Checkpoints
from scoresde_jax.training.optimizer import adam, learning_rate
from scoresde_jax.training.records import Records, read_records
from scoresde_jax.training.signals import StopSignals
from scoresde_jax.training.state import TrainState, adam_moments, create, resumed
from scoresde_jax.training.step import train_step, train_steps

__all__ = [
    "Checkpoints",
    "Records",
    "StopSignals",
    "TrainState",
    "adam",
    "adam_moments",
    "create",
    "learning_rate",
    "read_records",
    "resumed",
    "train_step",
    "train_steps",
]
