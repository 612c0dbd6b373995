"""Every operator: its adjoint, its decomposition, its matrix made in another way."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from posterior.operator_list import CHOSEN, IMAGE, KERNEL, OPERATORS, PIXELS
from scoresde_jax.posterior import operators
from scoresde_jax.posterior.operators import matrix_of

every = pytest.mark.parametrize("name", OPERATORS)
X = jax.random.normal(jax.random.key(0), (5, *IMAGE))
SIZE = X[0].size
HEIGHT, WIDTH, CHANNELS = IMAGE


def flat(a):
    return np.asarray(a, np.float64).reshape(a.shape[0], -1)


def test_every_kind_is_tested():
    kinds = {getattr(operators, name) for name in operators.__all__ if name[0].isupper()}
    kinds = {kind for kind in kinds if dataclasses.is_dataclass(kind)}
    assert kinds == {type(operator) for operator in OPERATORS.values()}


@every
def test_adjoint(name):
    operator = OPERATORS[name]
    forward = operator.forward(X)
    y = jax.random.normal(jax.random.key(1), forward.shape)
    left = np.sum(flat(forward) * flat(y), axis=1)
    right = np.sum(flat(X) * flat(operator.adjoint(y)), axis=1)
    size = np.linalg.norm(flat(forward), axis=1) * np.linalg.norm(flat(y), axis=1)
    assert np.all(np.abs(left - right) <= 1e-5 * size)


@every
def test_decomposition(name):
    """V is orthogonal, U is where s > 0, and together they are A and A^T."""
    operator = OPERATORS[name]
    spectral = operator.spectral()
    c = spectral.vt(X)
    y = operator.forward(X)
    s = jnp.broadcast_to(spectral.s, c.shape[1:])
    assert c[0].size == SIZE and s.min() >= 0
    close = {"rtol": 0, "atol": 2e-5 if name == "blur" else 3e-6}  # float32, of order 30 and 3
    np.testing.assert_allclose(spectral.v(c), X, **close)
    np.testing.assert_allclose(flat(c) @ flat(c).T, flat(X) @ flat(X).T, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(spectral.u(s * c), y, **close)
    np.testing.assert_allclose(spectral.v(s * spectral.ut(y)), operator.adjoint(y), **close)
    seen = np.asarray(s > 0, np.float32)
    np.testing.assert_allclose(spectral.ut(spectral.u(seen * c)), seen * c, **close)
    assert np.all(np.asarray(spectral.ut(jnp.ones_like(y)))[:, seen == 0] == 0)


@every
def test_singular_values_are_those_of_the_matrix(name):
    spectral = OPERATORS[name].spectral()
    shape = jax.eval_shape(spectral.vt, X).shape[1:]
    ours = np.sort(np.broadcast_to(spectral.s, shape).ravel())[::-1]
    found = np.linalg.svd(matrix_of(OPERATORS[name], IMAGE), compute_uv=False)
    # The matrix is float32, so that its small singular values are off by 1e-7 of the largest.
    np.testing.assert_allclose(ours[: len(found)], found[:SIZE], atol=2e-6)
    assert np.all(ours[len(found) :] == 0)


@every
def test_one_compilation_serves_operators_of_a_kind(name):
    operator = OPERATORS[name]
    forward = jax.jit(lambda operator, x: operator.forward(x))
    np.testing.assert_allclose(forward(operator, X), operator.forward(X), atol=2e-6)
    assert forward._cache_size() == 1
    forward(jax.tree.map(lambda a: a.copy(), operator), X)
    assert forward._cache_size() == 1


def channels(matrix):
    """A matrix for one channel (m, H W), for the three of an image: y (m, C)."""
    return np.kron(matrix, np.eye(CHANNELS))


def block_means(factor):
    rows = []
    for i in range(0, HEIGHT, factor):
        for j in range(0, WIDTH, factor):
            row = np.zeros((HEIGHT, WIDTH))
            row[i : i + factor, j : j + factor] = 1 / factor**2
            rows.append(row.ravel())
    return channels(np.array(rows))


def interpolation():
    """jax.image's bicubic interpolation, one pixel at a time."""
    pixels = jnp.eye(HEIGHT * WIDTH).reshape(-1, HEIGHT, WIDTH)
    small = (len(pixels), HEIGHT // 2, WIDTH // 2)
    columns = jax.image.resize(pixels, small, "cubic", antialias=True, precision="highest")
    return channels(np.asarray(columns).reshape(len(pixels), -1).T)


def circulant(kernel):
    kernel = np.asarray(kernel)
    matrix = np.zeros((HEIGHT, WIDTH, HEIGHT, WIDTH))
    for i, j in np.ndindex(HEIGHT, WIDTH):
        for a, b in np.ndindex(kernel.shape):
            p, q = i - a + kernel.shape[0] // 2, j - b + kernel.shape[1] // 2
            matrix[i, j, p % HEIGHT, q % WIDTH] += kernel[a, b]
    return channels(matrix.reshape(HEIGHT * WIDTH, -1))


def gaussian(std, reaches):
    lines = [np.exp(-0.5 * (np.arange(-r, r + 1) / std) ** 2) for r in reaches]
    kernel = np.outer(*lines)
    return kernel / kernel.sum()


def signs(chosen):
    full = scipy.linalg.hadamard(HEIGHT * WIDTH) / np.sqrt(HEIGHT * WIDTH)
    return channels(full[np.flatnonzero(chosen)])


def frequencies(chosen):
    rows = []
    for k, l in np.argwhere(chosen):  # noqa: E741  # as the frequencies are called
        phase = k * np.arange(HEIGHT)[:, None] / HEIGHT + l * np.arange(WIDTH) / WIDTH
        row = np.exp(-2j * np.pi * phase) / np.sqrt(HEIGHT * WIDTH)
        rows.append(np.stack([row.real.ravel(), row.imag.ravel()]))
    one = np.array(rows)  # (M, 2, H W)
    return np.einsum("mrp,cd->mcrpd", one, np.eye(CHANNELS)).reshape(-1, SIZE)


def rays(angles):
    reach = int(np.ceil(np.hypot(HEIGHT - 1, WIDTH - 1) / 2)) + 1
    matrix = np.zeros((angles, 2 * reach + 1, HEIGHT, WIDTH))
    for a, i, j in np.ndindex(angles, HEIGHT, WIDTH):
        theta = np.pi * a / angles
        up, right = (HEIGHT - 1) / 2 - i, j - (WIDTH - 1) / 2
        at = right * np.cos(theta) + up * np.sin(theta)
        for d in range(2 * reach + 1):
            matrix[a, d, i, j] = max(0.0, 1 - abs(d - reach - at)) / max(HEIGHT, WIDTH)
    return channels(matrix.reshape(-1, HEIGHT * WIDTH))


def box():
    known = np.ones(IMAGE, bool)
    known[1:5, 2:4] = False
    return np.eye(SIZE)[known.ravel()]


MATRICES = {
    "mask": lambda: np.eye(SIZE)[PIXELS.ravel()],
    "box": box,
    "half": lambda: np.eye(SIZE)[: SIZE // 2],
    "gray": lambda: np.kron(np.eye(SIZE // 3), np.full((1, 3), 1 / 3)),
    "average": lambda: block_means(2),
    "average 4": lambda: block_means(4),
    "bicubic": interpolation,
    "blur": lambda: circulant(KERNEL),
    # cut at ceil(3 x 0.8) = 3 pixels, and at 1 in 4 pixels of width
    "gaussian blur": lambda: circulant(gaussian(0.8, (3, 1))),
    "hadamard": lambda: signs(OPERATORS["hadamard"].chosen.mask),
    "kspace": lambda: frequencies(CHOSEN),
    "kspace lines": lambda: frequencies(OPERATORS["kspace lines"].chosen.mask),
    "radon": lambda: rays(3),
}


@pytest.mark.parametrize("name", MATRICES)
def test_matrix(name):
    found = matrix_of(OPERATORS[name], IMAGE)
    np.testing.assert_allclose(found, MATRICES[name](), atol=1e-6)


def test_what_random_choices_measure():
    known = OPERATORS["random"].known.mask
    assert known.sum() == 3 * round(0.3 * HEIGHT * WIDTH)  # whole pixels
    assert np.all(known == known[..., :1])
    assert OPERATORS["hadamard"].chosen.mask.sum() == round(0.4 * HEIGHT * WIDTH)
    assert OPERATORS["hadamard"].chosen.mask[0, 0]
    columns = OPERATORS["kspace lines"].chosen.mask
    assert np.all(columns == columns[:1]) and columns[0].sum() == WIDTH // 2 and columns[0, 0]


def kernel_of(operator, reach):
    """The response to one pixel, reach pixels around it."""
    height, width = operator.transfer.shape
    point = np.zeros((1, height, width, 1), np.float32)
    point[0, reach, reach] = 1
    return np.asarray(operator.forward(point))[0, : 2 * reach + 1, : 2 * reach + 1, 0]


def test_motion_blur_is_even_along_its_line():
    shape = (16, 16, 1)
    # A line of 3 pixels under the hat function of linear interpolation, integrated by hand.
    line = np.array([0, 0.125, 0.875, 1, 0.875, 0.125, 0]) / 3
    along, across = (kernel_of(operators.motion_blur(shape, 3, a), 3) for a in (0, 90))
    np.testing.assert_allclose(along, np.outer(np.eye(7)[3], line), atol=1e-4)
    np.testing.assert_allclose(across, along.T, atol=1e-6)
    rising = kernel_of(operators.motion_blur(shape, 4, 45), 3)
    assert rising[2, 4] > 0.1 and abs(rising[2, 2]) < 1e-6  # up to the right
    np.testing.assert_allclose(rising.sum(), 1, rtol=1e-6)


def test_radon_of_a_constant_image_has_its_mass_and_straight_means():
    """Every angle sees all of the image; straight through a square, the mean."""
    y = operators.radon((8, 8, 1), 4).forward(np.full((1, 8, 8, 1), 2.0, np.float32))[0, ..., 0]
    np.testing.assert_allclose(y.sum(axis=1), 2 * 64 / 8, rtol=1e-5)
    np.testing.assert_allclose(y[0].max(), 2, rtol=1e-5)


def test_large_radon_has_no_decomposition():
    assert operators.radon((65, 64, 1), 1).spectral() is None


def test_degrade_adds_noise():
    x = jnp.zeros((64, *IMAGE))
    y = operators.degrade(jax.random.key(0), OPERATORS["average"], x, 0.3)
    # 1,536 draws: the std of their std is 2 %.
    np.testing.assert_allclose(np.std(y), 0.3, rtol=0.08)
    clean = operators.degrade(jax.random.key(0), jnp.tanh, X, 0.0)
    np.testing.assert_array_equal(clean, jnp.tanh(X))
