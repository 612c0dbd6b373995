"""Networks that are told of classes: what they add, what it does, and who learns of labels."""

import commands
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_parameters import random_parameters

from scoresde_jax import build, files, tasks, workdirs
from scoresde_jax.models import DDPM, NCSNpp

SMALL = {
    "channel_multipliers": (1,),
    "blocks_per_level": 1,
    "attention_resolutions": (),
    "dropout": 0.0,
}
# DDPM has 32 groups: in groups of one channel, time and class would cancel.
NETWORKS = {"ncsnpp": (NCSNpp, 8), "ddpm": (DDPM, 64)}
X = np.random.default_rng(0).normal(size=(2, 4, 4, 1)).astype(np.float32)
LABEL = np.array([10.0, 900.0], np.float32)
CONDITIONAL = {"model__image_classes": 10}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_knows_classes_and_none(name):
    kind, features = NETWORKS[name]
    told = {"image_classes": 3, "features": features, **SMALL}
    net, forgetful = kind(**told, class_dropout=0.0), kind(**told, class_dropout=1.0)
    params = random_parameters(net, X, LABEL)

    @jax.jit
    def outputs(y):
        rngs = {"dropout": jax.random.key(0)}
        apply = lambda net, *args: net.apply({"params": params}, X, LABEL, *args, rngs=rngs)  # noqa: E731
        sure, unsure = apply(net, True, y), apply(forgetful, True, y)
        return apply(net), apply(net, False, y), sure, unsure

    untold, of_none, _, _ = outputs(np.array([3, 3]))
    np.testing.assert_array_equal(of_none, untold)
    untold, told, sure, unsure = outputs(np.array([0, 2]))
    np.testing.assert_array_equal(sure, told)
    np.testing.assert_array_equal(unsure, untold)
    assert np.abs(told - untold).reshape(2, -1).max(axis=1).min() > 1e-3
    _, other, _, _ = outputs(np.array([0, 1]))
    np.testing.assert_array_equal(np.any(other != told, axis=(1, 2, 3)), [False, True])


@pytest.mark.parametrize("name", NETWORKS)
def test_classes_add_a_table_and_nothing_else(name):
    kind, features = NETWORKS[name]
    shapes = {}
    for classes in (0, 3):
        net = kind(image_classes=classes, features=features, **SMALL)
        found = jax.eval_shape(net.init, jax.random.key(0), X, LABEL)["params"]
        shapes[classes] = jax.tree.map(lambda leaf: leaf.shape, found)
    table = shapes[3].pop("ClassEmbedding_0")
    assert table == {"table": {"embedding": (4, 4 * features)}}
    assert shapes[3] == shapes[0]


@pytest.mark.parametrize("name", NETWORKS)
def test_classes_need_the_time_label(name):
    with pytest.raises(ValueError, match=r"image_classes is 3 and \.conditional is False"):
        NETWORKS[name][0](image_classes=3, conditional=False)


def test_only_the_task_of_a_network_that_knows_classes_takes_labels():
    rows = {"image": np.zeros((2, 8, 8, 1), np.uint8), "label": np.array([3, 4], np.int32)}
    for settings, wanted in (({}, rows["image"]), (CONDITIONAL, (rows["image"], rows["label"]))):
        config = commands.tiny_config("subvp", **settings)
        experiment = build.experiment(config)
        task = tasks.score_task(experiment, config)
        assert experiment.classes == (10 if settings else 0)
        batch = task.columns(rows)
        assert jax.tree.structure(batch) == jax.tree.structure(wanted)
        params = jax.eval_shape(task.init_params, jax.random.key(0))
        keys = jax.random.split(jax.random.key(0), 2)
        for loss, key in ((task.train_loss, keys[0]), (task.eval_loss, keys)):
            assert jax.eval_shape(loss, (), params, key, batch).shape == (2,)


def test_labels_reach_the_network_each_with_its_image():
    config = commands.tiny_config("subvp", **CONDITIONAL)
    experiment = build.experiment(config)

    class Network:
        image_classes = 10

        def apply(self, variables, x, label, train, rngs, y=None):
            return x * jnp.cos(y)[:, None, None, None]

    experiment = experiment._replace(network=Network())
    images = np.random.default_rng(0).integers(0, 17, (4, 8, 8, 1)).astype(np.uint8)
    labels = jnp.array([3, 1, 4, 1])
    keys = jax.random.split(jax.random.key(0), 4)

    @jax.jit
    def losses(labels):
        trained = experiment.train_loss((), keys[0], images, labels)
        return jnp.stack([trained, experiment.eval_loss((), keys, images, labels)])

    before, after = losses(labels), losses(labels.at[2].set(0))
    np.testing.assert_array_equal(before == after, [[True, True, False, True]] * 2)


def test_data_with_other_classes():
    config = commands.tiny_config("subvp", model__image_classes=7)
    with pytest.raises(ValueError, match=r"config\.model\.image_classes is 7, .* has 10 classes"):
        build.dataset(config, "train")


def test_a_checkpoint_from_before_there_were_classes_is_gone_on_with():
    def check(config):
        workdirs.check_same_model(config, stored, ("model",), "it holds a checkpoint", "")

    config = commands.tiny_config("subvp")
    stored = {"model": files.plain(config.model.to_dict())}
    del stored["model"]["image_classes"], stored["model"]["class_dropout"]
    check(config)
    with pytest.raises(ValueError, match=r"config\.model\.image_classes is 10, was 0"):
        check(commands.tiny_config("subvp", **CONDITIONAL))
