"""What solvers ask of a measurement y = A x + noise_std z, and what is checked before they start.

    forward    x (B, H, W, C) -> y (B, ...)                  A
    adjoint    y -> x                                        A^T:  <A x, y> = <x, A^T y>
    spectral   A = U diag(s) V^T in factors, or None         orthonormal columns

y is real, its entries are what was measured and nothing else, and <., .> is the plain dot product.
An operator is a frozen dataclass and a pytree: two of one kind and size share a compilation. All
act on each image, and but for masks and grey on each channel, alike.

A measurement that is not linear is a plain function x -> y.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np

from scoresde_jax.types import Array


class Spectral(NamedTuple):
    """A singular value decomposition. Coordinates are (B, ...) arrays, as many numbers as x has."""

    s: Array  # singular values, not sorted, 0 where A sees nothing; broadcasts to coordinates
    v: Callable[[Array], Array]  # coordinates -> x
    vt: Callable[[Array], Array]  # x -> coordinates, the inverse of v
    u: Callable[[Array], Array]  # coordinates -> y; those where s = 0 do not matter
    ut: Callable[[Array], Array]  # y -> coordinates, 0 where s = 0; leaves out what no x causes


@runtime_checkable
class LinearOperator(Protocol):
    """What every operator has."""

    def forward(self, x: Array) -> Array:
        """A x."""
        ...

    def adjoint(self, y: Array) -> Array:
        """A^T y."""
        ...

    def spectral(self) -> Spectral | None:
        """The singular value decomposition; None where there is none that is cheap."""
        ...


Measurement = Callable[[Array], Array]  # x -> y, not linear, differentiable
Operator = LinearOperator | Measurement


def forward_of(operator: Operator) -> Measurement:
    """x -> y, for operators and plain functions."""
    return operator.forward if isinstance(operator, LinearOperator) else operator


def degrade(key: Array, operator: Operator, x: Array, noise_std: float) -> Array:
    """Draws y = A x + noise_std z."""
    y = forward_of(operator)(x)
    return y + noise_std * jax.random.normal(key, y.shape, y.dtype)


def matrix_of(operator: LinearOperator, image_shape: tuple[int, ...]) -> np.ndarray:
    """A as a matrix, (numbers of y, H W C): for small images, and for tests."""
    size = int(np.prod(image_shape))
    columns = operator.forward(jnp.eye(size).reshape(size, *image_shape))
    return np.asarray(columns, np.float64).reshape(size, -1).T


def check_operator(operator: Operator, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of y for images of a shape, found without computing anything.

    Raises:
      ValueError: the operator does not take images of this shape (B, H, W, C), or does not keep
        the batch apart.
    """
    if len(shape) != 4:
        raise ValueError(f"Images are (B, H, W, C); this shape is {tuple(shape)}.")
    image = jax.ShapeDtypeStruct(shape, jnp.float32)
    y = jax.eval_shape(forward_of(operator), image)
    if not y.shape or y.shape[0] != shape[0]:
        raise ValueError(
            f"A measurement of {shape[0]} images has {shape[0]} rows; this operator makes "
            f"{y.shape} of {tuple(shape)}."
        )
    if isinstance(operator, LinearOperator):
        back = jax.eval_shape(operator.adjoint, y)
        if back.shape != tuple(shape):
            raise ValueError(
                f"The adjoint of this operator makes {back.shape} of {y.shape}; its images are "
                f"{tuple(shape)}."
            )
    return y.shape


def check_problem(
    operator: Operator, y: Array, shape: tuple[int, ...], noise_std: float, steps: int
) -> None:
    """What every solver checks first; noise_std is a plain number.

    Raises:
      ValueError: the operator does not take these images, y is not a measurement of them, noise_std
        is negative, or there is no step.
    """
    expected = check_operator(operator, shape)
    if y.shape != expected:
        raise ValueError(f"y is {y.shape}; this operator makes {expected} of {tuple(shape)}.")
    if not noise_std >= 0:
        raise ValueError(f"noise_std is a standard deviation, 0 or more; it is {noise_std}.")
    if steps < 1:
        raise ValueError(f"steps is {steps}; a solver takes at least 1.")


def check_linear(operator: Operator, solver: str) -> LinearOperator:
    """The operator, if it is linear.

    Raises:
      ValueError: it is a plain function.
    """
    if isinstance(operator, LinearOperator):
        return operator
    raise ValueError(
        f"{solver} takes linear operators (scoresde_jax.posterior.operators), not a function x -> "
        "y; for one that is not linear take dps or smc."
    )


def check_spectral(operator: Operator, solver: str) -> Spectral:
    """The singular value decomposition of an operator.

    Raises:
      ValueError: it has none.
    """
    spectral = check_linear(operator, solver).spectral()
    if spectral is None:
        raise ValueError(
            f"{solver} works in the coordinates of a singular value decomposition, and this "
            f"{type(operator).__name__} has none; take projection, dps, pigdm or smc."
        )
    return spectral


def check_noise_free(noise_std: float, solver: str) -> None:
    """Raises ValueError if there is noise."""
    if noise_std != 0:
        raise ValueError(
            f"{solver} takes y as exact, and noise_std is {noise_std}; for noisy measurements take "
            "ddrm, pigdm, dps or smc."
        )


def check_image(what: str, x: Array, *sizes: int | None) -> None:
    """Raises ValueError unless x is (B, H, W, C) with these sizes, None being any."""
    fits = x.ndim == 4 and all(
        size in (None, n) for size, n in zip(sizes, x.shape[1:], strict=True)
    )
    if not fits:
        named = zip("HWC", sizes, strict=True)
        wanted = ", ".join(name if size is None else str(size) for name, size in named)
        raise ValueError(f"{what} takes images (B, {wanted}); these are {x.shape}.")


def image_sizes(image_shape: tuple[int, ...]) -> tuple[int, int, int]:
    """(H, W, C) of one image.

    Raises:
      ValueError: it is not three positive numbers.
    """
    if len(image_shape) != 3 or min(image_shape) < 1:
        raise ValueError(f"image_shape is (H, W, C), without the batch; it is {image_shape}.")
    height, width, channels = image_shape
    return height, width, channels


def check_factor(image_shape: tuple[int, ...], factor: int) -> tuple[int, int]:
    """(H, W) of an image that is made of whole blocks of factor x factor pixels.

    Raises:
      ValueError: factor is less than 2, or does not divide both.
    """
    height, width, _ = image_sizes(image_shape)
    if factor < 2:
        raise ValueError(f"factor is 2 or more; it is {factor}.")
    if height % factor or width % factor:
        raise ValueError(f"factor {factor} does not divide an image of {height} x {width}.")
    return height, width
