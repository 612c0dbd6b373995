"""Every variant of every config file builds, and says its shapes without computing anything."""

import importlib

import commands
import jax
import jax.numpy as jnp
import pytest

from scoresde_jax import build

FILES = sorted(commands.ROOT.glob("configs/*/*.py"))
ALL = [
    (path, variant)
    for path in FILES
    for variant in importlib.import_module(f"configs.{path.parent.name}.{path.stem}").VARIANTS
]


def names(value):
    path, variant = value if isinstance(value, tuple) else (value, None)
    return "-".join(filter(None, (path.parent.name, path.stem, variant)))


def module(path):
    return importlib.import_module(f"configs.{path.parent.name}.{path.stem}")


def test_there_is_a_file_for_every_sde_and_data_set():
    found = {(p.parent.name, p.stem) for p in FILES}
    wanted = {(s, d) for s in ("vp", "subvp", "ve") for d in ("digits", "emoji", "cifar10")}
    assert wanted <= found


@pytest.mark.parametrize("path", FILES, ids=names)
def test_default_and_unknown_variants(path):
    variants = module(path).VARIANTS
    default = module(path).get_config().to_dict()
    assert default == module(path).get_config("default").to_dict()
    with pytest.raises(ValueError) as error:
        module(path).get_config("defualt")
    assert "'defualt'" in str(error.value) and ", ".join(variants) in str(error.value)


@pytest.mark.parametrize("path", FILES, ids=names)
def test_docstring_names_every_variant_and_a_command(path):
    doc = module(path).__doc__
    assert f"--config {path.relative_to(commands.ROOT).as_posix()}" in doc
    assert set(module(path).VARIANTS) <= set(doc.split())


@pytest.mark.parametrize(("path", "variant"), ALL, ids=map(names, ALL))
def test_variant_builds(path, variant):
    config = build.resolve(module(path).get_config(variant))
    experiment = build.experiment(config)
    assert config.sde.name == path.parent.name and config.data.name == path.stem
    x = jax.ShapeDtypeStruct((2, *experiment.image_shape), jnp.float32)
    label = jax.ShapeDtypeStruct((2,), jnp.float32)
    key = jax.random.key(0)
    output, variables = jax.eval_shape(experiment.network.init_with_output, key, x, label)
    assert output.shape == x.shape and output.dtype == x.dtype
    params = variables["params"]
    if variant == "tiny":
        assert sum(leaf.size for leaf in jax.tree.leaves(params)) < 100_000
        assert config.training.steps <= 100


def test_the_same_section_is_not_shared_between_configs():
    first, second = (module(FILES[0]).get_config() for _ in range(2))
    first.training.batch_size = 1
    assert second.training.batch_size != 1
