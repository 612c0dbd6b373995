"""Constraints of the PC loop that hold what is known of the sample: inpainting, colourisation.

    y = x Q,   Q orthogonal, some coordinates of y known
    y <- mean(y_known, t) + std(t) z   where known;   y <- y   elsewhere;   x <- y Q^T

after every move (Song et al. 2021, section 5 and appendix I). White noise is white in any
orthogonal coordinates, so these only have to be such that each is either known or not: the pixels
themselves when some are given; the grey value and two colours when a grey image is.

For `pc_sample(constrain=...)`, everything but its four arguments bound: `partial(inpaint,
known=image, mask=mask)`. A corrector makes the rest agree with the known part; without one the
sample is only approximately a draw given it.

Not here: knowledge that is noisy, or not a part of orthogonal coordinates.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from scoresde_jax.posterior.operators.gray import decouple_gray, recouple_gray
from scoresde_jax.sde import SDE
from scoresde_jax.types import Array, Update, bcast

Coordinates = Callable[[Array], Array]  # (B, ...) -> (B, ...), linear and orthogonal

_ONLY_GRAY = np.array([True, False, False])


def inpaint(key: Array, sde: SDE, update: Update, t: Array, *, known: Array, mask: Array) -> Update:
    """Holds the known pixels of an image.

    Args:
      known: (B, H, W, C) data; only its known pixels matter.
      mask: True or 1 where a pixel, or one channel of it, is known; broadcasts to `known`.
    """
    return hold_known(key, sde, update, t, known, mask, _pixels, _pixels)


def colorize(key: Array, sde: SDE, update: Update, t: Array, *, gray: Array) -> Update:
    """Holds the grey value of every pixel, the mean of its channels.

    Args:
      gray: (B, H, W, 3) data; only the mean of its channels matters.
    """
    known = decouple_gray(gray)
    return hold_known(key, sde, update, t, known, _ONLY_GRAY, decouple_gray, recouple_gray)


def hold_known(
    key: Array,
    sde: SDE,
    update: Update,
    t: Array,
    known: Array,
    mask: Array | np.ndarray,
    decouple: Coordinates,
    recouple: Coordinates,
) -> Update:
    """Replaces the known coordinates of a move; `known` and `mask` are in those coordinates.

    Where nothing is known x_mean stays the denoised one of the move. The 2021 code puts the noisy x
    there, so that its last step is not denoised.
    """
    mean, std = sde.marginal(known, t)
    noisy = mean + bcast(std, mean) * jax.random.normal(key, mean.shape)

    def hold(x: Array, y: Array) -> Array:
        return recouple(jnp.where(mask, y, decouple(x)))

    return Update(hold(update.x, noisy), hold(update.x_mean, mean), update.nfe)


def _pixels(x: Array) -> Array:
    """The coordinates of inpainting: x itself."""
    return x
