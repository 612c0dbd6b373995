"""A model without a workdir; the one that comes with the repository."""

import json

import commands
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import weight_files
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from configs.vp import emoji
from scoresde_jax import build, interop

DIGITS = commands.ROOT / "pretrained" / "digits.safetensors"


def test_the_digits_model_is_small_and_says_what_it_is():
    assert DIGITS.stat().st_size <= 2e6
    tensors = load_file(DIGITS)
    assert {str(tensor.dtype) for tensor in tensors.values()} == {"float16"}
    assert {name.partition("/")[0] for name in tensors} == {"ema_params"}
    config, experiment, params = build.pretrained(DIGITS)
    assert (config.sde.name, config.data.name, experiment.classes) == ("subvp", "digits", 10)
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {np.dtype("float32")}
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 750_145


def test_the_digits_model_denoises():
    """Its loss on test images: 1 is a network that knows nothing; in training it fell to 0.33."""
    config, experiment, params = build.pretrained(DIGITS)
    images = jnp.asarray(build.dataset(config, "test").images[:64])
    keys = jax.random.split(jax.random.key(0), len(images))
    loss = jax.jit(experiment.eval_loss)(params, keys, images)
    assert float(loss.mean()) < 0.5


def test_a_file_that_is_older_than_a_section(tmp_path):
    with safe_open(DIGITS, framework="numpy") as file:
        metadata = file.metadata()
    for section in ("export", "posterior", "guide_training"):
        config = json.loads(metadata["config"])
        del config[section]
        path = tmp_path / f"{section}.safetensors"
        save_file(load_file(DIGITS), path, metadata | {"config": json.dumps(config)})
        with pytest.raises(ValueError, match=f"before there was config.{section}; give the config"):
            build.pretrained(path)


def tiny_emoji():
    config = emoji.get_config()
    fields = {"features": 8, "channel_multipliers": (1, 1), "attention_resolutions": (16,)}
    config.model.update(fields)
    return config


def test_a_file_that_does_not_say_its_config():
    source = weight_files.jax_file("ddpmpp_vp")
    with pytest.raises(ValueError, match=f"{source} does not say what its weights were trained"):
        build.pretrained(source)
    given = tiny_emoji()
    config, experiment, params = build.pretrained(source, given)
    # What depends on the machine is filled in, in a copy.
    assert config.training.n_jitted_steps == 1 and given.training.n_jitted_steps is None
    shapes = interop.parameter_shapes(experiment.init_params)
    weights = interop.read_weights(source, shapes)
    for ours, theirs in zip(
        jax.tree.leaves(params), jax.tree.leaves(weights.ema_params), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
