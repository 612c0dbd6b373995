"""h_optimizer: Adam, warm-up, clipping and moving average, on given gradients and in training."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from scoresde_jax import losses, training
from scoresde_jax.score import make_score_fn
from scoresde_jax.training import TrainState
from scoresde_jax.training.step import LossFn
from scoresde_jax.types import Array
from tests.golden import networks
from tests.golden.checks.losses import REDUCTIONS, WEIGHTINGS
from tests.golden.golden import nested, today
from tests.golden.item import FORMULA, NETWORK, Item
from tests.golden.original import digits_left, sdes

AVERAGE = 1e-6  # what a moving average moves by in a step is about 1e-4 of it


def check(item: Item) -> None:
    """Compares one file."""
    if "model" in item.config:
        check_training(item)
    else:
        check_updates(item)


def step_of(settings: Mapping[str, Any], loss_fn: LossFn):
    """The initial state of training and our training step, by the settings of a 2021 config."""
    schedule = training.learning_rate(settings["lr"], warmup_steps=settings["warmup"])
    tx = training.adam(
        schedule,
        b1=settings.get("beta1", 0.9),
        b2=settings.get("beta2", 0.999),
        adam_eps=settings.get("eps", 1e-8),
        weight_decay=settings.get("weight_decay", 0.0),
        clip_norm=settings["grad_clip"],
    )
    step = partial(training.train_step, loss_fn=loss_fn, tx=tx, ema_decay=settings["ema_rate"])
    return partial(training.create, tx=tx), jax.jit(step)


def check_updates(item: Item) -> None:
    """Compares the parameters and averages after each of the gradients that are given."""

    def loss_fn(params: Any, key: Array, gradient: Any) -> Array:
        del key  # the loss whose gradient is `gradient`
        products = jax.tree.map(lambda p, g: jnp.sum(p * g), params, gradient)
        return sum(jax.tree.leaves(products))[None]

    create, step = step_of(item.config, loss_fn)
    state = create(tree(item, "init/"))
    count = len({name.partition("/")[0] for name in item.names if name.startswith("step")})
    for i in range(count):
        gradient = tree(item, f"step{i}/grad/")
        state, metrics = step(state, jax.random.key(0), gradient)
        compare(item, f"step{i}/params_after/", state.params)
        compare(item, f"step{i}/ema_after/", state.ema_params, tolerance=AVERAGE)
        if f"step{i}/global_grad_norm" in item.names:
            item.compare(f"step{i}/global_grad_norm", metrics["grad_norm"], FORMULA)


def tree(item: Item, prefix: str) -> Any:
    """The arrays whose names start with this, as a tree of parameters."""
    names = [name for name in item.names if name.startswith(prefix)]
    return nested({n.removeprefix(prefix): today(n, item.given(n)) for n in names})


def compare(
    item: Item,
    prefix: str,
    found: Any,
    absolute: Callable[[str], float] = lambda path: 0.0,
    tolerance: float = FORMULA,
) -> None:
    """Compares a tree with the arrays of this prefix; `absolute` is added to the tolerance."""
    for path, leaf in leaves(found).items():
        name = prefix + path
        if name in item.names:
            expected = item.golden.arrays[name]
            relative = absolute(path) / max(float(np.abs(expected).max()), 1e-30)
            item.compare(name, leaf.reshape(expected.shape), tolerance + relative)


def leaves(tree: Any) -> dict[str, Array]:
    """A tree of parameters by their paths."""
    found = jax.tree_util.tree_leaves_with_path(tree)
    return {"/".join(key.key for key in path): leaf for path, leaf in found}


def check_training(item: Item) -> None:
    """Compares the losses of some training steps at given t and z, and where they led."""
    model = item.related(item.config["model"])
    full = model.config["full"]
    t, z, batches = (jnp.asarray(item.given(name)) for name in ("t", "z", "batch"))
    ours, rounded, n = sdes(*item.config["sde"])
    sde = ours if digits_left(ours, t).all() else rounded
    row = networks.parameterization(full, sde, n, continuous=item.config.get("continuous", True))
    network = networks.compiled(full)
    loss = partial(
        losses.dsm_loss,
        t_min=0.0,
        times=lambda *_: t,
        weighting=WEIGHTINGS[item.config["likelihood_weighting"]],
        reduction=REDUCTIONS[item.config["reduce_mean"]],
    )

    def loss_fn(params: Any, key: Array, x0: Array) -> Array:
        return loss(key, sde, make_score_fn(row, partial(network, params)), x0)

    settings = {**full["optim"], **item.config}
    create, step = step_of(settings, loss_fn)
    start = create(model.params())
    state, found = start, []
    with mock.patch.object(jax.random, "normal", lambda key, shape: z):
        for batch in batches:
            state, metrics = step(state, jax.random.key(0), batch)
            found.append(metrics["loss"])
    if "losses" in item.names:
        item.compare("losses", jnp.stack(found), NETWORK)
    errors = partial(absolute_error, start, state, settings["lr"] * len(batches))
    compare(item, "param_after:", state.params, errors)
    # An average takes 1 - ema_rate of each error.
    share = min(1.0, (1 - settings["ema_rate"]) * len(batches))
    compare(item, "ema_after:", state.ema_params, lambda path: share * errors(path))


def absolute_error(start: TrainState, end: TrainState, longest: float, path: str) -> float:
    """How far one of the parameters, or its average, may be from the original's after training.

    Adam makes steps of one length whatever the gradients, so that an error of a gradient becomes
    one of the step: 1e-3 of the longest way. Where the gradient is zero but for rounding (the
    attention's key bias, which softmax ignores) the step is rounding as well: ten of ours.
    """
    squares = {
        path: float(leaf.max()) for path, leaf in leaves(training.adam_moments(end)[2]).items()
    }
    if squares[path] > 1e-12 * max(squares.values()):
        return 1e-3 * longest
    return 10 * float(jnp.abs(leaves(end.params)[path] - leaves(start.params)[path]).max())
