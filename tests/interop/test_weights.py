"""What fits a network is taken, what does not is named."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scoresde_jax import interop
from scoresde_jax.interop import weights
from scoresde_jax.interop.weights import Found, complete

SHAPES = {"B/kernel": (2, 3), "A/scale": (4,), "A/bias": (4,)}


def arrays(value=1.0, shapes=SHAPES):
    return {path: np.full(shape, value, np.float32) for path, shape in shapes.items()}


def found(**changes):
    whole = {"params": arrays(1), "ema_params": arrays(2), "mu": arrays(3), "nu": arrays(4)}
    return Found(**({"origin": "a test", "step": 5, "count": 6} | whole | changes))


def test_shapes_come_in_the_order_of_creation():
    """jax would sort the keys of what a traced function returns."""

    def init(key):
        return {"b": {"w": jax.random.normal(key, (2,))}, "a": jnp.zeros((3, 1))}

    assert list(interop.parameter_shapes(init).items()) == [("b/w", (2,)), ("a", (3, 1))]


def test_what_is_there_is_taken():
    result = complete(found(), SHAPES)
    assert (result.step, result.count, result.lacks) == (5, 6, ())
    assert result.found == ("parameters", "averaged parameters", "optimiser moments", "step")
    for field, value in (("params", 1), ("ema_params", 2), ("mu", 3), ("nu", 4)):
        tree = getattr(result, field)
        assert weights.flat(tree).keys() == SHAPES.keys()
        assert all((leaf == value).all() for leaf in weights.flat(tree).values())


@pytest.mark.parametrize(
    ("missing", "what"),
    [
        ({"params": {}}, "parameters; the averaged ones take their place"),
        ({"ema_params": {}}, "averaged parameters; the parameters take their place"),
        ({"mu": {}}, "optimiser moments; training goes on with fresh ones"),
        ({"count": None}, "optimiser moments; training goes on with fresh ones"),
        ({"step": None}, "step; it is taken for 0"),
    ],
)
def test_what_is_missing_is_filled_in_and_said(missing, what):
    result = complete(found(**missing), SHAPES)
    assert result.lacks == (what,)
    assert what.split(";")[0] not in result.found
    value = {"params": 2, "ema_params": 1}
    for field in missing:
        if field in value:
            leaves = weights.flat(getattr(result, field)).values()
            assert all((leaf == value[field]).all() for leaf in leaves)
    if "mu" in missing or "count" in missing:
        assert result.count == 0
        moments = [*weights.flat(result.mu).values(), *weights.flat(result.nu).values()]
        assert not any(leaf.any() for leaf in moments)


def test_padded_group_norm_is_unpadded_where_the_network_wants_it():
    padded = arrays() | {"A/scale": np.ones((1, 1, 1, 4), np.float32)}
    result = complete(found(params=padded), SHAPES)
    assert result.params["A"]["scale"].shape == (4,)
    instance = SHAPES | {"A/scale": (1, 1, 1, 4)}  # as InstanceNorm legitimately is
    same = {tree: arrays(1, instance) for tree in ("params", "ema_params", "mu", "nu")}
    assert complete(found(**same), instance).params["A"]["scale"].shape == (1, 1, 1, 4)


@pytest.mark.parametrize("dtype", [np.float16, np.float64, jnp.bfloat16])
def test_other_precisions_become_float32(dtype):
    params = {path: array.astype(dtype) for path, array in arrays(1.5).items()}
    leaf = complete(found(params=params), SHAPES).params["B"]["kernel"]
    assert leaf.dtype == np.float32 and (leaf == 1.5).all()


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"B/kernel": np.ones((3, 2))}, ["B/kernel is (2, 3) in the network and (3, 2)"]),
        ({"C/kernel": np.ones(2)}, ["the file has 'C/kernel' (2,), the network has not"]),
        ({"B/kernel": np.ones((2, 3), np.int32)}, ["B/kernel is no array of real numbers"]),
        ({"B/kernel": "text"}, ["B/kernel is no array of real numbers"]),
    ],
)
@pytest.mark.parametrize("tree", ["params", "ema_params", "mu", "nu"])
def test_a_misfit_is_named(tree, change, parts):
    with pytest.raises(ValueError) as caught:
        complete(found(**{tree: arrays() | change}), SHAPES)
    for part in [*parts, "Choose the config, variant"]:
        assert part in str(caught.value)


def test_only_a_few_misfits_are_named_and_the_rest_counted():
    some = {"B/kernel": np.ones((2, 3), np.float32)} | {f"X{i}": np.ones(1) for i in range(9)}
    with pytest.raises(ValueError) as caught:
        complete(found(params=some), SHAPES)
    message = str(caught.value)
    assert "A/scale (4,) is missing from the file; A/bias (4,) is missing" in message
    assert "and 8 more." in message and message.count("X") == 1


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("tree", ["params", "ema_params", "mu", "nu"])
def test_what_is_not_finite_is_refused(tree, value):
    broken = arrays()
    broken["A/bias"][2] = value
    with pytest.raises(ValueError, match="hold NaN or infinity, 'A/bias'"):
        complete(found(**{tree: broken}), SHAPES)


def test_nothing_at_all():
    with pytest.raises(ValueError, match="no parameters"):
        complete(found(params={}, ema_params={}), SHAPES)


@pytest.mark.parametrize("value", [3, 3.0, np.int32(3), np.array([3]), np.array(3.0, np.float32)])
def test_whole_numbers(value):
    value = np.asarray(value) if isinstance(value, np.generic) else value
    assert weights.whole_number(value, "it") == 3


@pytest.mark.parametrize("value", [-1, 2**31, 1.5, "3", True, None, np.array([1, 2]), np.nan, {}])
def test_other_steps_are_refused(value):
    with pytest.raises(ValueError, match="not a whole number"):
        weights.whole_number(value, "its step")


def test_flattening_keeps_the_order_and_does_not_recurse():
    tree = {"b": {"y": 1, "x": 2}, "a": 3}
    assert list(weights.flat(tree).items()) == [("b/y", 1), ("b/x", 2), ("a", 3)]
    assert weights.nested(weights.flat(tree)) == tree
    deep: dict = {"leaf": 1}
    for _ in range(5000):
        deep = {"d": deep}
    assert len(weights.flat(deep)) == 1


def test_names_of_a_file_do_not_flood_a_message():
    assert len(weights.named("x" * 10**6)) < 100
    assert "\x1b" not in weights.named("\x1b[2J")
