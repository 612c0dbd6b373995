"""The port's checkpoints agree with the JAX ones, whatever order its parts were registered in."""

import random

import numpy as np
import pytest
import weight_files

from scoresde_jax import interop
from scoresde_jax.models import DDPM, NCSNpp

WRITERS = {"zip": weight_files.write_zip, "legacy": weight_files.write_legacy}
SMALL = {"features": 8, "channel_multipliers": (1, 2), "blocks_per_level": 1}

# One network for each kind of part that has parameters.
NETWORKS = {
    "ddpm": DDPM(features=32, channel_multipliers=(1, 2), blocks_per_level=1),
    "ddpm without conv": DDPM(
        features=32, channel_multipliers=(1, 2), blocks_per_level=1, resample_with_conv=False
    ),
    "ncsnpp": NCSNpp(**SMALL, fir=True, progressive_input="residual", embedding="fourier"),
    "ncsnpp, large": NCSNpp(
        **SMALL,
        fir=True,
        progressive="output_skip",
        progressive_input="input_skip",
        embedding="fourier",
    ),
    "ddpm blocks, fir": NCSNpp(**SMALL, block="ddpm", fir=True, progressive="residual"),
    "unconditional": NCSNpp(**SMALL, conditional=False, progressive_combine="cat"),
}


def shuffled(paths):
    """Another order of registration inside each part; the parts stay in order."""
    parts = dict.fromkeys(path.split("/")[0] for path in paths)
    rng = random.Random(0)
    groups = [[path for path in paths if path.split("/")[0] == part] for part in parts]
    return [path for group in groups for path in rng.sample(group, len(group))]


@pytest.mark.parametrize("name", weight_files.NAMES)
def test_the_golden_files_of_jax_and_pytorch_are_the_same(name):
    shapes = weight_files.golden_shapes(name)
    jax_weights = interop.read_weights(weight_files.jax_file(name), shapes)
    torch_weights = interop.read_weights(weight_files.torch_file(name), shapes)
    weight_files.assert_same(torch_weights, jax_weights)  # bit for bit, moments and all
    assert any(leaf.any() for leaf in weight_files.flat(jax_weights.mu).values())


@pytest.mark.parametrize("order", [list, shuffled])
@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_every_kind_of_network(tmp_path, network, order):
    shapes = weight_files.shapes_of(network)
    weights = with_frozen_frequencies(weight_files.random_weights(shapes))
    checkpoint = weight_files.port_checkpoint(weights, shapes, order=order)
    path = weight_files.write_zip(tmp_path / "x.pth", checkpoint)
    weight_files.assert_same(interop.read_weights(path, shapes), weights)


def with_frozen_frequencies(weights):
    """What is not trained has no average of its own and no moments."""
    name = "GaussianFourierProjection_0"
    if name in weights.params:
        w = weights.params[name]
        zeros = {"W": np.zeros_like(w["W"])}
        trees = {"ema_params": w, "mu": zeros, "nu": zeros}
        weights = weights._replace(
            **{tree: getattr(weights, tree) | {name: value} for tree, value in trees.items()}
        )
    return weights


@pytest.fixture(params=WRITERS)
def write(request, tmp_path):
    return lambda checkpoint: WRITERS[request.param](tmp_path / "x.pth", checkpoint)


SHAPES = weight_files.shapes_of(NETWORKS["ncsnpp"])


@pytest.fixture
def whole():
    """Weights and their checkpoint, to be changed."""
    weights = with_frozen_frequencies(weight_files.random_weights(SHAPES))
    return weights, weight_files.port_checkpoint(weights, SHAPES)


def test_both_containers(write, whole):
    weights, checkpoint = whole
    weight_files.assert_same(interop.read_weights(write(checkpoint), SHAPES), weights)


def test_without_module_in_the_names(write, whole):
    weights, checkpoint = whole
    model = checkpoint["model"]
    checkpoint["model"] = {k.removeprefix("module."): v for k, v in model.items()}
    weight_files.assert_same(interop.read_weights(write(checkpoint), SHAPES), weights)


def test_steps_that_are_tensors(write, whole):
    """Adam of newer PyTorch counts in tensors."""
    weights, checkpoint = whole
    for entry in checkpoint["optimizer"]["state"].values():
        entry["step"] = np.asarray(entry["step"], np.float32)
    weight_files.assert_same(interop.read_weights(write(checkpoint), SHAPES), weights)


@pytest.mark.parametrize(
    ("without", "lacks"),
    [
        ("optimizer", "optimiser moments"),
        ("ema", "averaged parameters"),
        ("step", "step"),
    ],
)
def test_what_may_be_missing(write, whole, without, lacks):
    weights, checkpoint = whole
    del checkpoint[without]
    result = interop.read_weights(write(checkpoint), SHAPES)
    assert [what.split(";")[0] for what in result.lacks] == [lacks]
    if without == "ema":
        weight_files.assert_same(result, weights._replace(ema_params=weights.params))
    if without == "step":
        weight_files.assert_same(result, weights._replace(step=0))


def test_before_the_first_update(write, whole):
    _, checkpoint = whole
    checkpoint["optimizer"]["state"] = {}
    result = interop.read_weights(write(checkpoint), SHAPES)
    assert result.count == 0 and "optimiser moments" in result.lacks[0]


def damage(checkpoint, what):
    state = checkpoint["optimizer"]["state"]
    match what:
        case "no model":
            del checkpoint["model"]
        case "an average short":
            checkpoint["ema"]["shadow_params"].pop()
        case "an average of numbers":
            checkpoint["ema"]["shadow_params"][0] = 7
        case "positions short":
            checkpoint["optimizer"]["param_groups"][0]["params"].pop()
        case "positions long":
            checkpoint["optimizer"]["param_groups"][0]["params"].append(10_000)
        case "a position of nobody":
            state[10_000] = state[1]
        case "a position that is a list":
            checkpoint["optimizer"]["param_groups"][0]["params"][0] = []
        case "a group many times":
            checkpoint["optimizer"]["param_groups"] *= 1000
        case "steps that differ":
            state[1] = state[1] | {"step": 5}
        case "a step that is text":
            checkpoint["step"] = "7"
        case "another network":
            checkpoint["model"] = {"module.begin_conv.weight": np.ones((8, 3, 3, 3))}
        case "a part more":
            checkpoint["model"]["module.all_modules.99.weight"] = np.ones(3)
            checkpoint["ema"]["shadow_params"].append(np.ones(3))
            checkpoint["optimizer"]["param_groups"][0]["params"].append(1000)
        case "no dict":
            return [1, 2]
    return checkpoint


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("no model", "no 'model' as score_sde_pytorch writes it"),
        ("no dict", "no 'model' as score_sde_pytorch writes it"),
        ("an average short", "it averages"),
        ("an average of numbers", "Dense_0/kernel is no array of real numbers"),
        ("positions short", "its optimiser has"),
        ("positions long", "its optimiser has"),
        ("a position of nobody", "its optimiser has"),
        ("a position that is a list", "its optimiser has"),
        ("a group many times", "its optimiser has"),
        ("steps that differ", "some parameters more often than others"),
        ("a step that is text", "its step is not a whole number"),
        ("another network", "'module.begin_conv.weight', so it is not NCSN"),
        ("a part more", "the file has 'all_modules.99.weight'"),
    ],
)
def test_damage_is_named(write, whole, what, message):
    path = write(damage(whole[1], what))
    with pytest.raises(ValueError, match=message) as caught:
        interop.read_weights(path, SHAPES)
    assert str(caught.value).startswith(f"{path} cannot be imported: ")


@pytest.mark.parametrize("other", [n for n in NETWORKS if n != "ncsnpp"])
def test_another_network_does_not_fit(write, whole, other):
    with pytest.raises(ValueError, match="are not those of the config's network. .* and .* more"):
        interop.read_weights(write(whole[1]), weight_files.shapes_of(NETWORKS[other]))
