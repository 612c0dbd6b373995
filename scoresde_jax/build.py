"""From config sections to objects.

Below this module nothing reads a config; above it, `training`, `sampling` and `likelihood` give
loops their lengths and seeds.

A section is the keyword arguments of one function or class; `name` says which, by a table here. All
names and keys are checked when an `Experiment` is built, before anything is compiled.

To add an SDE, predictor, corrector, loss or network: write it, and add a row to its table.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

from scoresde_jax import data, likelihood, losses, runge_kutta, sampling, score, sde, training
from scoresde_jax.data import preprocess
from scoresde_jax.models import DDPM, NCSN, DequantizationFlow, NCSNpp, NCSNv2
from scoresde_jax.tables import check_key, listed, lookup, select
from scoresde_jax.types import Array, Samples, ScoreFn

Config = Any  # a ConfigDict; type checkers know nothing of its attributes

SDES = {
    "ve": sde.VESDE,
    "vp": sde.VPSDE,
    "subvp": sde.SubVPSDE,
    "linear_ve": sde.LinearVESDE,
}
PARAMETERIZATIONS = {
    "ve_continuous": score.ve_continuous,
    "ve_discrete": score.ve_discrete,
    "ncsn": score.ncsn,
    "vp_continuous": score.vp_continuous,
    "vp_discrete": score.vp_discrete,
}
NETWORKS = {"ncsnpp": NCSNpp, "ddpm": DDPM, "ncsn": NCSN, "ncsnv2": NCSNv2}
LOSSES = {"dsm": losses.dsm_loss, "smld": losses.smld_loss, "ddpm": losses.ddpm_loss}
TIMES = {
    "uniform": losses.uniform_times,
    "stratified": losses.stratified_times,
    "likelihood": losses.likelihood_times,
}
WEIGHTINGS = {"variance": losses.variance_weighting, "likelihood": losses.likelihood_weighting}
REDUCTIONS = {"mean": losses.mean_over_dims, "half_sum": losses.half_sum_over_dims}
PREDICTORS = {
    "euler_maruyama": sampling.euler_maruyama,
    "euler": sampling.euler,
    "reverse_diffusion": sampling.reverse_diffusion,
    "probability_flow": sampling.probability_flow,
    "ancestral": sampling.ancestral,
    "identity": sampling.identity,
}
CORRECTORS = {
    "langevin": sampling.langevin,
    "annealed_langevin": sampling.annealed_langevin,
    "identity": sampling.identity,
}
SOLVERS = {
    "ddim": sampling.ddim,
    "heun": sampling.heun,
    "dpm_solver_2s": sampling.dpm_solver_2s,
    "dpm_solver_2m": sampling.dpm_solver_2m,
    "dpm_solver_3m": sampling.dpm_solver_3m,
    "sde_dpm_solver_1": sampling.sde_dpm_solver_1,
    "sde_dpm_solver_2m": sampling.sde_dpm_solver_2m,
    "unipc": partial(sampling.unipc, order=2),
    "unipc_3": partial(sampling.unipc, order=3),
}
GRIDS = {
    "uniform": sampling.uniform_grid,
    "quadratic": sampling.quadratic_grid,
    "log_snr": sampling.log_snr_grid,
    "edm": sampling.edm_grid,
}
PAIRS = {
    "rk23": runge_kutta.BOGACKI_SHAMPINE,
    "rk45": runge_kutta.DORMAND_PRINCE,
    "tsit5": runge_kutta.TSITOURAS,
}
BOUND_TIMES = {
    "stratified": likelihood.stratified_importance,
    "antithetic": likelihood.antithetic_importance,
    "independent": likelihood.independent_importance,
    "uniform": likelihood.independent_uniform,
}
BOUND_FORMS = {"denoising": likelihood.denoising, "sliced": likelihood.sliced}
PROBES = {"rademacher": likelihood.rademacher, "gaussian": likelihood.gaussian}
DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}

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


class Experiment(NamedTuple):
    """Everything a config asks for, built and checked."""

    sde: sde.SDE
    network: nn.Module
    parameterization: score.Parameterization
    image_shape: tuple[int, int, int]
    levels: int
    data_scale: float  # d x / d level, for bits/dim
    scale_train: Callable[[Array, Array], Array]  # (keys, uint8 images) -> x, as in training
    scale_loss: Callable[[Array, Array], Array]  # the same, never flipped
    scale_eval: Callable[[Array, Array], Array]  # (keys, uint8 images) -> x, dequantized
    scale_cells: Callable[[Array], Array]  # levels with noise, 0 to `levels` -> x
    to_pixels: Callable[[Array], Array]  # x -> uint8, 0..255
    loss: Callable[[Array, ScoreFn, Array], Array]  # (key, score_fn, x0) -> (B,)
    sampler: Callable[[Array, ScoreFn, tuple[int, ...]], Samples]
    encode: Callable[[ScoreFn, Array], Samples]  # (score_fn, x) -> latents
    decode: Callable[[ScoreFn, Array], Samples]  # (score_fn, latents) -> x
    density: likelihood.FlowDensity
    bound: Callable[[Array, ScoreFn, Array], likelihood.Bound]  # (keys, score_fn, x)

    def init_params(self, key: Array) -> Any:
        """Draws fresh parameters."""
        x, label = jnp.zeros((1, *self.image_shape)), jnp.ones((1,))
        return self.network.init({"params": key, "dropout": key}, x, label)["params"]

    def score_fn(self, params: Any, dropout_key: Array | None = None) -> ScoreFn:
        """The score of the network with these parameters; with a dropout key, as in training."""
        rngs = {} if dropout_key is None else {"dropout": dropout_key}

        def network(x: Array, label: Array) -> Array:
            train = dropout_key is not None
            output = self.network.apply({"params": params}, x, label, train=train, rngs=rngs)
            return jnp.asarray(output)

        return score.make_score_fn(self.parameterization, network)

    def train_loss(self, params: Any, key: Array, images: Array) -> Array:
        """Loss of each of a batch of uint8 images, dropout on; (B,)."""
        scale_key, loss_key, dropout_key = jax.random.split(key, 3)
        x0 = self.scale_train(jax.random.split(scale_key, images.shape[0]), images)
        return self.loss(loss_key, self.score_fn(params, dropout_key), x0)

    def eval_loss(self, params: Any, keys: Array, images: Array) -> Array:
        """Loss of each image with its own key, whatever the batch it is in; (B,)."""

        def one(key: Array, image: Array) -> Array:
            scale_key, loss_key = jax.random.split(key)
            x0 = self.scale_loss(scale_key[None], image[None])
            return self.loss(loss_key, self.score_fn(params), x0)[0]

        return jax.vmap(one)(keys, images)


def resolve(config: Config) -> Config:
    """A copy of a config with every value that depends on others or on the machine filled in."""
    config = ConfigDict(config.to_dict())
    for section in (config.training, config.dequantizer_training):
        if section.n_jitted_steps is None:
            # Gradients of convolutions inside loops are slow on CPUs; see training/step.py.
            section.n_jitted_steps = 1 if jax.default_backend() == "cpu" else 5
    return config


def experiment(config: Config) -> Experiment:
    """Builds everything that a resolved config describes.

    Raises:
      ValueError: a name or key is unknown, or two choices do not go together; says which, what
        is known and where it was set.
    """
    the_sde = select(SDES, config.sde, "config.sde")()
    _check_numbers(config)
    section = config.data
    network = _network(config.model)
    _check_choices(config, getattr(network, "divisor", 1))  # a network of one's own need not say
    shape = (section.image_size, section.image_size, section.channels)
    fields = {"input": score.as_is if section.centered else score.to_centered}
    scale_train, scale_loss, scale_eval, scale_cells, to_pixels = _scaling(section)
    optimizer(config, "optimizer", "training")
    return Experiment(
        sde=the_sde,
        network=network,
        parameterization=select(
            PARAMETERIZATIONS, config.parameterization, "config.parameterization"
        )(the_sde, **fields),
        image_shape=shape,
        levels=section.levels,
        data_scale=(2 if section.centered else 1) / section.levels,
        scale_train=scale_train,
        scale_loss=scale_loss,
        scale_eval=scale_eval,
        scale_cells=scale_cells,
        to_pixels=to_pixels,
        loss=_loss(config.loss, the_sde),
        sampler=sampler(config.sampling, the_sde),
        encode=_between(sampling.encode, config.sampling, the_sde),
        decode=_between(sampling.decode, config.sampling, the_sde),
        density=_density(config.likelihood, the_sde),
        bound=_bound(config.likelihood.bound, the_sde),
    )


_INTERVALS = ("log_every", "eval_every", "checkpoint_every", "snapshot_every")
# Keys and their least values, wherever a section has them.
_LEAST: dict[str, int] = dict.fromkeys(
    ("steps", "batch_size", "microbatches", "n_jitted_steps", *_INTERVALS), 1
)
_LEAST |= dict.fromkeys(("snapshot_images", "keep_checkpoints", "corrector_steps"), 1)
_LEAST |= dict.fromkeys(("max_steps", "n"), 1)
_LEAST |= {"seed": 0, "warmup_steps": 0, "probes": 0}


def dataset(config: Config, split: str) -> data.Dataset:
    """Loads a split and checks that it is what the config says.

    Raises:
      ValueError: the name is unknown, the data are not prepared, or their shape or number of
        levels differs from the config's.
    """
    section = config.data
    loaded = data.load(section.name, split, section.data_dir)
    found = (*loaded.images.shape[1:], loaded.levels)
    wanted = (section.image_size, section.image_size, section.channels, section.levels)
    if found != wanted:
        raise ValueError(
            f"data set {section.name!r} has images of (height, width, channels) {found[:3]} and "
            f"{found[3]} levels, but config.data says {wanted[:3]} and {wanted[3]}; set "
            "config.data.image_size, .channels and .levels to the data's."
        )
    return loaded


def _check_choices(config: Config, divisor: int) -> None:
    """Raises ValueError for two choices that do not go together.

    Args:
      divisor: what the network needs the size of images to be a multiple of.
    """
    name = config.sde.name
    for where, choice in (
        ("config.parameterization.name", config.parameterization.name),
        ("config.loss.name", config.loss.name),
        ("config.sampling.pc.predictor", config.sampling.pc.predictor),
    ):
        if name not in DEFINED_FOR.get(choice, tuple(SDES)):
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


def _check_numbers(config: Config) -> None:
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


def _network(section: Mapping[str, Any]) -> nn.Module:
    arguments = {k: tuple(v) if isinstance(v, list) else v for k, v in section.items()}
    arguments["dtype"] = lookup(DTYPES, section["dtype"], "config.model.dtype")
    return select(NETWORKS, arguments, "config.model")()


def _scaling(section: Mapping[str, Any]):
    """The functions from levels to the network's scale and back; see data/preprocess.py."""
    levels, centered = section["levels"], section["centered"]
    shift = preprocess.center if centered else score.as_is
    unshift = preprocess.uncenter if centered else score.as_is

    def scale_cells(y: Array) -> Array:
        return shift(y / levels)

    def scale_eval(keys: Array, images: Array) -> Array:
        return shift(preprocess.dequantize(keys, images, levels=levels))

    def scale_loss(keys: Array, images: Array) -> Array:
        if section["dequantize"]:
            return scale_eval(keys, images)
        return shift(preprocess.quantized_unit(images, levels=levels))

    def scale_train(keys: Array, images: Array) -> Array:
        flip_keys, noise_keys = jax.vmap(jax.random.split, out_axes=1)(keys)
        if section["flip"]:
            images = preprocess.random_flip(flip_keys, images)
        return scale_loss(noise_keys, images)

    read = preprocess.to_levels if section["dequantize"] else preprocess.nearest_level

    def to_pixels(x: Array) -> Array:
        return preprocess.to_uint8(read(unshift(x), levels=levels) / (levels - 1))

    return scale_train, scale_loss, scale_eval, scale_cells, to_pixels


def _loss(section: Mapping[str, Any], the_sde: sde.SDE):
    if section.get("times") == section.get("weighting") == "likelihood":
        raise ValueError(
            "config.loss.times and config.loss.weighting are both 'likelihood', which would weight "
            "by g^2 / std^2 twice; times drawn by importance go with weighting 'variance'."
        )
    tables = {"times": TIMES, "weighting": WEIGHTINGS, "reduction": REDUCTIONS}
    arguments = {
        key: lookup(tables[key], value, f"config.loss.{key}") if key in tables else value
        for key, value in section.items()
    }
    loss = select(LOSSES, arguments, "config.loss")
    return lambda key, score_fn, x0: loss(key, the_sde, score_fn, x0)


def sampler(
    section: Mapping[str, Any], the_sde: sde.SDE
) -> Callable[[Array, ScoreFn, tuple[int, ...]], Samples]:
    """The sampler of a config.sampling section.

    Raises:
      ValueError: a name or key is unknown.
    """
    makers = {"pc": _pc, "ode": _ode, "grid": _grid, "adaptive": _adaptive}
    method = section["method"]
    make = lookup(makers, method, "config.sampling.method")
    return _on(make(dict(section[method]), the_sde), the_sde)


def _pc(options: dict[str, Any], the_sde: sde.SDE) -> Callable:
    n, snr = options.pop("n"), options.pop("snr")
    corrector_steps = options.pop("corrector_steps")
    n = options["steps"] if n is None else n
    predictor_name, corrector_name = options.pop("predictor"), options.pop("corrector")
    predictor = lookup(PREDICTORS, predictor_name, "config.sampling.pc.predictor")
    corrector = lookup(CORRECTORS, corrector_name, "config.sampling.pc.corrector")
    if predictor is not sampling.identity:
        predictor = partial(predictor, n=n)
    if corrector is not sampling.identity:
        alpha = partial(the_sde.chain_alpha, n=n)
        corrector = partial(corrector, snr=snr, steps=corrector_steps, alpha=alpha)
    return partial(sampling.pc_sample, predictor=predictor, corrector=corrector, **options)


def _ode(options: dict[str, Any], the_sde: sde.SDE) -> Callable:
    del the_sde
    options["pair"] = lookup(PAIRS, options["pair"], "config.sampling.ode.pair")
    return partial(sampling.ode_sample, **options)


def _between(
    carry: Callable[..., Samples], section: Mapping[str, Any], the_sde: sde.SDE
) -> Callable[[ScoreFn, Array], Samples]:
    """`encode` or `decode` with the settings of config.sampling.ode."""
    options = dict(section["ode"])
    del options["temperature"]
    options["pair"] = lookup(PAIRS, options["pair"], "config.sampling.ode.pair")
    return lambda score_fn, x: carry(the_sde, score_fn, x, **options)


def _grid(options: dict[str, Any], the_sde: sde.SDE) -> Callable:
    del the_sde
    s_churn = options.pop("s_churn")
    method = lookup(SOLVERS, options.pop("solver"), "config.sampling.grid.solver")
    if method is sampling.heun:
        method = partial(method, s_churn=s_churn)
    grid = lookup(GRIDS, options.pop("times"), "config.sampling.grid.times")
    return partial(sampling.grid_sample, method=method, grid=grid, **options)


def _adaptive(options: dict[str, Any], the_sde: sde.SDE) -> Callable:
    del the_sde
    return partial(sampling.adaptive_sample, **options)


def _on(sampler: Callable, the_sde: sde.SDE) -> Callable[..., Samples]:
    return lambda key, score_fn, shape: sampler(key, the_sde, score_fn, shape)


# Keys of config.likelihood that are not FlowDensity's.
_LIKELIHOOD_KEYS = (
    "batch_size",
    "seed",
    "bound",
    "dequantizations",
    "importance_samples",
    "truncated_std",
    "images_per_piece",
)


def _density(section: Mapping[str, Any], the_sde: sde.SDE) -> likelihood.FlowDensity:
    known = [field.name for field in dataclasses.fields(likelihood.FlowDensity)]
    for key in section:
        check_key(key, [*known, *_LIKELIHOOD_KEYS], "config.likelihood")
    options = {key: value for key, value in section.items() if key in known}
    options["probe"] = lookup(PROBES, options["probe"], "config.likelihood.probe")
    options["pair"] = lookup(PAIRS, options["pair"], "config.likelihood.pair")
    return likelihood.FlowDensity(the_sde, **options)


def _bound(section: Mapping[str, Any], the_sde: sde.SDE):
    options = dict(section)
    options["times"] = lookup(BOUND_TIMES, options["times"], "config.likelihood.bound.times")
    options["form"] = lookup(BOUND_FORMS, options["form"], "config.likelihood.bound.form")
    select(
        {"bound": likelihood.likelihood_bound},
        {"name": "bound", **options},
        "config.likelihood.bound",
    )
    return lambda keys, score_fn, x: likelihood.likelihood_bound(
        keys, the_sde, score_fn, x, **options
    )


def dequantizers(
    config: Config, experiment: Experiment, learned_params: Callable[[], Any]
) -> dict[str, likelihood.Dequantizer]:
    """What config.likelihood.dequantizations names, each (keys, levels (B, H, W, C)) -> Noise.

    Args:
      learned_params: gives the parameters of the trained flow; called if it is named.

    Raises:
      ValueError: a name is unknown, or comes twice, or there is none.
    """
    names = tuple(config.likelihood.dequantizations)
    where = "config.likelihood.dequantizations"
    if not names or len(set(names)) < len(names):
        raise ValueError(f"{where} is {names}; it must name each dequantization once.")
    makers = {
        "uniform": lambda: likelihood.uniform,
        "truncated_normal": lambda: partial(
            likelihood.truncated_normal, std=_truncated_std(config, experiment)
        ),
        "learned": lambda: learned_dequantizer(config, learned_params()),
    }
    return {name: lookup(makers, name, where)() for name in names}


def _truncated_std(config: Config, experiment: Experiment) -> float:
    """The width of truncated normal noise, in levels: by default what the SDE adds at t_min."""
    if config.likelihood.truncated_std is not None:
        return config.likelihood.truncated_std
    alpha, std = experiment.sde.marginal(jnp.ones(()), jnp.asarray(config.likelihood.t_min))
    return float(std / alpha) / experiment.data_scale


def dequantization_flow(config: Config) -> nn.Module:
    """The network of config.dequantizer."""
    arguments = {k: tuple(v) if isinstance(v, list) else v for k, v in config.dequantizer.items()}
    return select(
        {"flow": DequantizationFlow}, {"name": "flow", **arguments}, "config.dequantizer"
    )()


def learned_dequantizer(config: Config, params: Any) -> likelihood.Dequantizer:
    """The flow with these parameters, as a dequantizer."""
    network = dequantization_flow(config)

    def flow(eps: Array, image: Array) -> tuple[Array, Array]:
        u, log_det = network.apply({"params": params}, eps, image)
        return jnp.asarray(u), jnp.asarray(log_det)

    return partial(likelihood.learned, flow=flow, levels=config.data.levels)


def optimizer(
    config: Config, section: str, training_section: str
) -> tuple[optax.Schedule, optax.GradientTransformation]:
    """The learning rate by step, and Adam with it.

    Raises:
      ValueError: a key or name is unknown.
    """
    options: dict[str, Any] = config[section].to_dict()
    schedules = {"constant": None, "cosine": config[training_section].steps}
    decay_steps = lookup(schedules, options.pop("schedule"), f"config.{section}.schedule")
    schedule = training.learning_rate(
        options.pop("learning_rate"),
        warmup_steps=options.pop("warmup_steps"),
        decay_steps=decay_steps,
    )
    return schedule, training.adam(schedule, **options)
