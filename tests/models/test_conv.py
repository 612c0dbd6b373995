"""The convolution equals lax's in value, and in derivatives of either mode and their mixtures."""

from functools import partial

import jax
import jax.numpy as jnp
import pytest
from jax import lax

from scoresde_jax.models import conv
from tests.golden.golden import relative_error

ROUNDING = 1e-6  # sums in another order, float32
LAYOUT = ("NHWC", "HWIO", "NHWC")
CASES = {
    "same": {"window_strides": (1, 1), "padding": "SAME"},
    "stride": {"window_strides": (2, 2), "padding": "SAME"},
    "valid": {"window_strides": (1, 1), "padding": "VALID"},
}


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    """Makes the batch of six 8x8 images below be cut in three."""
    monkeypatch.setattr(conv, "PIXELS_PER_CHUNK", 120)


@pytest.fixture(params=CASES, ids=CASES)
def pair(request):
    """Our convolution and lax's."""
    options = {**CASES[request.param], "dimension_numbers": LAYOUT}
    ours = partial(conv.conv_general_dilated, **options)
    return ours, partial(lax.conv_general_dilated, **options)


def normal(seed, *shape):
    return jax.random.normal(jax.random.key(seed), shape)


X, W = normal(0, 6, 8, 8, 5), normal(1, 3, 3, 5, 4)
DX, DW = normal(2, *X.shape), normal(3, *W.shape)


def assert_close(ours, reference):
    for one, other in zip(jax.tree.leaves(ours), jax.tree.leaves(reference), strict=True):
        assert relative_error(one, other) < ROUNDING


def test_batch_is_cut():
    assert conv.chunk_count(6, 64, jax.local_device_count()) == 3
    gradient = jax.grad(
        lambda w: conv.conv_general_dilated(X, w, (1, 1), "SAME", dimension_numbers=LAYOUT).sum()
    )
    # One convolution forward, and one weight gradient per piece.
    assert str(jax.make_jaxpr(gradient)(W)).count("conv_general_dilated[") == 1 + 3


def test_one_derivative_costs_one_convolution():
    def value(x):
        return conv.conv_general_dilated(x, W, (1, 1), "SAME", dimension_numbers=LAYOUT)

    tangent = jax.make_jaxpr(lambda x, dx: jax.jvp(value, (x,), (dx,)))
    assert str(tangent(X, DX)).count("conv_general_dilated[") == 2


@pytest.mark.parametrize(
    ("batch", "pixels", "devices", "expected"),
    [
        (8, 1024, 1, 8),
        (128, 64, 1, 8),
        (128, 64, 2, 4),
        (8, 16, 1, 1),
        (7, 4096, 1, 7),
        (7, 4096, 2, 7),
        (1, 4096, 1, 1),
    ],
)
def test_chunk_count(monkeypatch, batch, pixels, devices, expected):
    monkeypatch.undo()
    assert conv.chunk_count(batch, pixels, devices) == expected


def test_no_piece_moves_between_devices():
    mesh = jax.make_mesh((2,), ("data",), devices=jax.devices()[:2])
    split = jax.NamedSharding(mesh, jax.P("data"))

    def loss(w, x):
        y = conv.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=LAYOUT)
        return jnp.cos(y).sum()

    gradient = jax.jit(jax.grad(loss), in_shardings=(None, split))
    text = gradient.lower(W, X).compile().as_text()
    assert "all-reduce" in text  # of the gradient
    for collective in ("all-to-all", "all-gather", "collective-permute"):
        assert collective not in text


def test_values(pair):
    ours, reference = pair
    assert_close(jax.jit(ours)(X, W), reference(X, W))


def test_jvp(pair):
    assert_close(*(jax.jit(partial(jax.jvp, f))((X, W), (DX, DW)) for f in pair))
    assert_close(*(jax.jvp(lambda x, f=f: f(x, W), (X,), (DX,)) for f in pair))
    assert_close(*(jax.jvp(lambda w, f=f: f(X, w), (W,), (DW,)) for f in pair))


def test_vjp(pair):
    def gradients(f):
        y, pullback = jax.vjp(f, X, W)
        return pullback(jnp.cos(y))

    assert_close(*(gradients(f) for f in pair))
    assert_close(*(jax.grad(lambda w, f=f: jnp.cos(f(X, w)).sum())(W) for f in pair))


def test_grad_of_jvp(pair):
    """As in training through a divergence."""

    def divergence(f, x, w):
        def field(x):
            return jnp.sin(f(x, w))

        return jnp.sum(jax.jvp(field, (x,), (DX,))[1] ** 2)

    assert_close(*(jax.jit(jax.grad(partial(divergence, f), (0, 1)))(X, W) for f in pair))


def test_vmap(pair):
    def per_row(f):
        each = jax.vmap(jax.grad(lambda x, w: jnp.cos(f(x, w)).sum(), (0, 1)))
        return each(jnp.stack([X, DX]), jnp.stack([W, DW]))

    assert_close(*(per_row(f) for f in pair))
    assert_close(*(jax.vmap(f, (0, None))(jnp.stack([X, DX]), W) for f in pair))


def test_scan(pair):
    def total(f, w):
        def step(carry, x):
            return carry + jnp.cos(f(x, w)).sum(), None

        return lax.scan(step, 0.0, jnp.stack([X, DX]))[0]

    assert_close(*(jax.jit(jax.grad(partial(total, f)))(W) for f in pair))
