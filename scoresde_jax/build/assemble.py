"""The experiment that a config describes: SDE, network, data, loss, sampler, likelihood."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

from scoresde_jax import data, likelihood, losses, sampling, score, sde, training
from scoresde_jax.build.checks import check_choices, check_numbers
from scoresde_jax.build.likelihoods import bound, density
from scoresde_jax.build.samplers import between, sampler
from scoresde_jax.data import preprocess
from scoresde_jax.models import DDPM, NCSN, NCSNpp, NCSNv2
from scoresde_jax.tables import lookup, select
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
DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


class Experiment(NamedTuple):
    """Everything a config asks for, built and checked."""

    sde: sde.SDE
    network: nn.Module
    parameterization: score.Parameterization
    image_shape: tuple[int, int, int]
    levels: int | None  # None for continuous data
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

    @property
    def classes(self) -> int:
        """How many classes of images the network can be told of; 0 if it knows of none."""
        return getattr(self.network, "image_classes", 0)  # a network of one's own need not say

    def init_params(self, key: Array) -> Any:
        """Draws fresh parameters."""
        x, label = jnp.zeros((1, *self.image_shape)), jnp.ones((1,))
        return self.network.init({"params": key, "dropout": key}, x, label)["params"]

    def score_fn(
        self, params: Any, dropout_key: Array | None = None, labels: Array | None = None
    ) -> ScoreFn:
        """The score of the network with these parameters; with a dropout key, as in training.

        Args:
          labels: (B,) int32, the class of each example, of a network that knows classes; None is
            the score of all classes together.
        """
        rngs = {} if dropout_key is None else {"dropout": dropout_key}
        told: dict[str, Any] = {} if labels is None else {"y": labels}

        def network(x: Array, label: Array) -> Array:
            train = dropout_key is not None
            output = self.network.apply(
                {"params": params}, x, label, train=train, rngs=rngs, **told
            )
            return jnp.asarray(output)

        return score.make_score_fn(self.parameterization, network)

    def train_loss(
        self, params: Any, key: Array, images: Array, labels: Array | None = None
    ) -> Array:
        """Loss of each of a batch of uint8 images, dropout on; (B,)."""
        scale_key, loss_key, dropout_key = jax.random.split(key, 3)
        x0 = self.scale_train(jax.random.split(scale_key, images.shape[0]), images)
        return self.loss(loss_key, self.score_fn(params, dropout_key, labels), x0)

    def eval_loss(
        self, params: Any, keys: Array, images: Array, labels: Array | None = None
    ) -> Array:
        """Loss of each image with its own key, whatever the batch it is in; (B,)."""

        def one(key: Array, image: Array, label: Array | None) -> Array:
            scale_key, loss_key = jax.random.split(key)
            x0 = self.scale_loss(scale_key[None], image[None])
            own = None if label is None else label[None]
            return self.loss(loss_key, self.score_fn(params, labels=own), x0)[0]

        return jax.vmap(one)(keys, images, labels)


def resolve(config: Config) -> Config:
    """A copy of a config with every value that depends on others or on the machine filled in.

    Raises:
      ValueError: no run can use a number; says which, and where it was set.
    """
    config = ConfigDict(config.to_dict())
    for section in (config.training, config.dequantizer_training, config.guide_training):
        if section.n_jitted_steps is None:
            # Gradients of convolutions inside loops are slow on CPUs; see training/step.py.
            section.n_jitted_steps = 1 if jax.default_backend() == "cpu" else 5
    check_numbers(config)
    return config


def experiment(config: Config) -> Experiment:
    """Builds everything that a resolved config describes.

    Raises:
      ValueError: a name or key is unknown, or two choices do not go together; says which, what
        is known and where it was set.
    """
    the_sde = select(SDES, config.sde, "config.sde")()
    section = config.data
    network = _network(config.model)
    divisor = getattr(network, "divisor", 1)  # a network of one's own need not say
    check_choices(config, divisor, SDES)
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
        data_scale=(2 if section.centered else 1) / (section.levels or 1),
        scale_train=scale_train,
        scale_loss=scale_loss,
        scale_eval=scale_eval,
        scale_cells=scale_cells,
        to_pixels=to_pixels,
        loss=_loss(config.loss, the_sde),
        sampler=sampler(config.sampling, the_sde),
        encode=between(sampling.encode, config.sampling, the_sde),
        decode=between(sampling.decode, config.sampling, the_sde),
        density=density(config.likelihood, the_sde),
        bound=bound(config.likelihood.bound, the_sde),
    )


def dataset(config: Config, split: str) -> data.Dataset:
    """Loads a split and checks that it is what the config says.

    Raises:
      ValueError: the name is unknown, the data are not there, not prepared or corrupt, or their
        shape or number of levels differs from the config's.
    """
    section = config.data
    loaded = data.load(
        section.name,
        split,
        section.data_dir,
        path=section.path,
        image_size=section.image_size,
        channels=section.channels,
        on_corrupt=section.on_corrupt,
        test_fraction=section.test_fraction,
    )
    found = (*loaded.images.shape[1:], loaded.levels)
    wanted = (section.image_size, section.image_size, section.channels, section.levels)
    if found != wanted:
        raise ValueError(
            f"data set {section.name!r} has images of (height, width, channels) {found[:3]} and "
            f"{found[3]} levels, but config.data says {wanted[:3]} and {wanted[3]}; set "
            "config.data.image_size, .channels and .levels to the data's."
        )
    known = config.model.get("image_classes", 0)
    if known:
        check_labels(loaded, known, "config.model.image_classes")
    return loaded


def check_labels(loaded: data.Dataset, classes: int, where: str) -> None:
    """Raises ValueError unless a data set has labels of as many classes as a config says."""
    found = 0 if loaded.classes == data.UNLABELLED else len(loaded.classes)
    if found != classes:
        raise ValueError(
            f"{where} is {classes}, and data set {loaded.name!r} has {found or 'no'} classes; set "
            "it to the data's, or choose data with labels."
        )


def _network(section: Mapping[str, Any]) -> nn.Module:
    arguments = {k: tuple(v) if isinstance(v, list) else v for k, v in section.items()}
    arguments["dtype"] = lookup(DTYPES, section["dtype"], "config.model.dtype")
    return select(NETWORKS, arguments, "config.model")()


def _scaling(section: Mapping[str, Any]):
    """The functions from levels to the network's scale and back; see data/preprocess.py."""
    levels, centered = section["levels"], section["centered"]
    shift = preprocess.center if centered else score.as_is
    unshift = preprocess.uncenter if centered else score.as_is

    if levels is None:
        return _continuous(section["flip"], shift, unshift)

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


def _continuous(flip: bool, shift: Callable[[Array], Array], unshift: Callable[[Array], Array]):
    """What `_scaling` returns for data without levels: nothing is rounded, nothing spread."""

    def scale_eval(keys: Array, images: Array) -> Array:
        del keys
        return shift(images)

    def scale_train(keys: Array, images: Array) -> Array:
        return shift(preprocess.random_flip(keys, images) if flip else images)

    def to_pixels(x: Array) -> Array:
        return preprocess.to_uint8(unshift(x))

    return scale_train, scale_eval, scale_eval, shift, to_pixels


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


def adam_to_zero(config: Config, section: str, examples: int) -> optax.GradientTransformation:
    """Adam whose learning rate falls to 0 over the epochs of a section, by a cosine."""
    options = config[section]
    steps = options.epochs * (examples // options.batch_size)
    rate = training.learning_rate(options.learning_rate, warmup_steps=0, decay_steps=steps)
    return training.adam(rate, weight_decay=options.weight_decay)
