"""Our predictor-corrector sampler with the settings, the start and the noise of the original's."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from scoresde_jax import sampling
from scoresde_jax.sampling.pc import Constrain, Move
from scoresde_jax.sde import SDE
from scoresde_jax.types import Array, ScoreFn, Update
from tests.golden import noise
from tests.golden.checks.pc_updates import CORRECTORS, PREDICTORS
from tests.golden.item import Item


def moves(config: Mapping[str, Any], sde: SDE, n: int) -> tuple[Move, Move]:
    """The corrector and the predictor that a config names, in the order of the original's loop."""
    corrector: Any = sampling.identity
    if config["corrector"] != "none":
        steps = config["n_steps_each"] if "n_steps_each" in config else config["n_steps"]
        alpha = partial(sde.chain_alpha, n=n)
        options = {"snr": config["snr"], "steps": steps, "alpha": alpha}
        corrector = partial(CORRECTORS[config["corrector"]], **options)
    predictor: Any = sampling.identity
    if config["predictor"] != "none":
        flow = int(config.get("probability_flow", False))
        predictor = partial(PREDICTORS[config["predictor"], flow], n=n)
    return corrector, predictor


def draws_noise(config: Mapping[str, Any]) -> dict[str, bool]:
    """Whether our corrector and our predictor draw noise; the original's flow draws it in vain."""
    flow = bool(config.get("probability_flow", False))
    predictor = config["predictor"] != "none" and not flow
    return {"corrector": config["corrector"] != "none", "predictor": predictor}


def draws(item: Item, names: Sequence[tuple[str, bool]], shape: tuple[int, ...]) -> Iterator:
    """The noise of a run step by step, from arrays (N, ...) or (N, draws a step, ...).

    Args:
      names: the arrays in the order in which a step uses them, and whether ours does; one that the
        file does not have is passed over.
      shape: of one draw.
    """
    arrays = [(item.given(name), used) for name, used in names if name in item.names]
    for step in zip(*[array for array, used in arrays if used], strict=True):
        for array in step:
            yield from array.reshape(-1, *shape)


class StartingAt:
    """An SDE whose prior sample is given: `pc_sample` draws its own start."""

    def __init__(self, sde: SDE, start: Array):
        self._sde, self._start = sde, start

    def prior_sample(self, key: Array, shape: tuple[int, ...]) -> Array:
        """The start."""
        del key, shape
        return self._start

    def __getattr__(self, name: str) -> Callable:
        return getattr(self._sde, name)


def sample(
    config: Mapping[str, Any],
    sde: SDE,
    score_fn: ScoreFn,
    start: np.ndarray,
    draws: Iterable[np.ndarray],
    *,
    n: int,
    denoise: bool,
    constrain: Constrain = sampling.unconstrained,
) -> tuple[Array, np.ndarray]:
    """Runs `pc_sample` on a chain of n steps; returns the samples and the times it went through."""
    times: list[float] = []
    corrector, predictor = moves(config, sde, n)

    def watched(key: Array, sde: SDE, update: Update, t: Array) -> Update:
        times.append(float(t[0]))
        return constrain(key, sde, update, t)

    with noise.given(draws):
        samples = sampling.pc_sample(
            jax.random.key(0),
            StartingAt(sde, jnp.asarray(start)),
            score_fn,
            start.shape,
            predictor=predictor,
            corrector=corrector,
            constrain=watched,
            steps=n,
            t_min=config["eps"],
            denoise=denoise,
        )
    return samples.x, np.array(times[::2])  # two moves at each time
