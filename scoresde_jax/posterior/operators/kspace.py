"""Magnetic resonance imaging: some frequencies of a real image, y (B, M, C, 2).

A = real and imaginary part of the chosen entries of the unitary Fourier transform. F_-k is the
conjugate of F_k, so that frequency k is measured wholly by either of the two, and twice by both:
V is Hartley's basis and s_k = sqrt((m_k + m_-k) / 2), where m is 1 for chosen frequencies.
"""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from scoresde_jax.posterior.operators.hartley import fourier, hartley, real_inverse_fourier
from scoresde_jax.posterior.operators.linear import Spectral, check_image, image_sizes
from scoresde_jax.posterior.operators.selection import Selection, selection
from scoresde_jax.types import Array, register_pytree


@register_pytree
@dataclass(frozen=True)
class KSpace:
    """The chosen frequencies, in numpy's order: 0 first, then positive, then negative."""

    chosen: Selection  # over (H, W)

    def forward(self, x: Array) -> Array:
        """The chosen frequencies, real part and imaginary part."""
        check_image("This operator", x, *self.chosen.mask.shape, None)
        f = self.chosen.pick(fourier(x))
        return jnp.stack([jnp.real(f), jnp.imag(f)], axis=-1)

    def adjoint(self, y: Array) -> Array:
        """The real part of the image that has these frequencies and no others."""
        return real_inverse_fourier(self.chosen.place(y[..., 0] + 1j * y[..., 1]))

    def spectral(self) -> Spectral:
        """Coordinates are Hartley's, (B, H, W, C)."""
        m = jnp.asarray(self.chosen.mask, jnp.float32)
        opposite = jnp.roll(jnp.flip(m), 1, axis=(0, 1))
        s = jnp.sqrt((m + opposite) / 2)[..., None]
        inverse = jnp.where(s > 0, 1 / jnp.where(s > 0, s, 1.0), 0.0)
        return Spectral(
            s,
            hartley,
            hartley,
            lambda c: self.forward(hartley(inverse * c)),
            lambda y: inverse * hartley(self.adjoint(y)),
        )


def kspace(chosen: np.ndarray) -> KSpace:
    """Any frequencies: chosen (H, W) is True for those that are measured.

    Raises:
      ValueError: chosen is not boolean, not (H, W), or False everywhere.
    """
    if np.ndim(chosen) != 2:
        raise ValueError(f"chosen is (H, W); it has the shape {np.shape(chosen)}.")
    return KSpace(selection(np.asarray(chosen), "chosen"))


def kspace_lines(
    image_shape: tuple[int, ...], acceleration: int, centre: int, seed: int = 0
) -> KSpace:
    """Whole columns of frequencies: the centre lowest ones, and others at random.

    Args:
      acceleration: 1 / acceleration of the columns are measured, rounded to a whole number.
      centre: how many of them are the lowest frequencies.

    Raises:
      ValueError: acceleration is less than 1, or centre is not between 1 and that number.
    """
    height, width, _ = image_sizes(image_shape)
    if acceleration < 1:
        raise ValueError(f"acceleration is 1 or more; it is {acceleration}.")
    count = max(1, round(width / acceleration))
    if not 1 <= centre <= count:
        raise ValueError(
            f"centre is 1 to {count}, the {width} columns / {acceleration}; it is {centre}."
        )
    order = np.argsort(np.abs(np.fft.fftfreq(width)), kind="stable")
    rest = np.random.default_rng(seed).permutation(order[centre:])[: count - centre]
    columns = np.isin(np.arange(width), np.concatenate([order[:centre], rest]))
    return kspace(np.broadcast_to(columns, (height, width)).copy())
