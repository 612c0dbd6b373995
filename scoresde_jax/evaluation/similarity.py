"""How near a picture is to the true one: PSNR and SSIM, in float64.

    PSNR  -10 log10 mean (a - b)^2      in dB, a and b in [0, 1]
    SSIM  mean of (2 m_a m_b + c1) (2 s_ab + c2) / ((m_a^2 + m_b^2 + c1) (s_a^2 + s_b^2 + c2))

m, s^2 and s_ab are local means, variances and covariances with Gaussian weights of standard
deviation 1.5 pixels in a window of 11 x 11, c1 = 0.01^2, c2 = 0.03^2 (Wang et al. 2004, section
III.B and C, eqs. 13-17). Only windows inside the image count, and colour is the mean over channels,
as in scikit-image with `gaussian_weights=True, use_sample_covariance=False`. An image of less than
11 pixels has the largest odd window that fits: 7 x 7 for digits, which is not a number to hold
beside those of others.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

WINDOW, STD = 11, 1.5
C1, C2 = 0.01**2, 0.03**2
MOST_DB = 120.0  # of equal pictures


def psnr(images: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Peak signal-to-noise ratio, (...) in dB, at most 120.

    Args:
      images, truth: (..., H, W, C) in [0, 1]; they broadcast.
    """
    images, truth = _checked(images, truth)
    square = np.mean((images - truth) ** 2, axis=(-3, -2, -1))
    return -10 * np.log10(np.maximum(square, 10 ** (-MOST_DB / 10)))


def ssim(images: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Structural similarity, (...), 1 for equal pictures.

    Args:
      images, truth: (..., H, W, C) in [0, 1]; they broadcast.
    """
    a, b = np.broadcast_arrays(*_checked(images, truth))
    weight = _weights(min(a.shape[-3:-1]))
    mean_a, mean_b = _local(a, weight), _local(b, weight)
    var_a = _local(a * a, weight) - mean_a**2
    var_b = _local(b * b, weight) - mean_b**2
    both = _local(a * b, weight) - mean_a * mean_b
    above = (2 * mean_a * mean_b + C1) * (2 * both + C2)
    below = (mean_a**2 + mean_b**2 + C1) * (var_a + var_b + C2)
    return np.mean(above / below, axis=(-3, -2, -1))


def _weights(side: int) -> np.ndarray:
    """Of one axis of the window, for images whose shorter side is given."""
    reach = (min(WINDOW, side) - 1) // 2
    weight = np.exp(-0.5 * (np.arange(-reach, reach + 1) / STD) ** 2)
    return weight / weight.sum()


def _local(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Weighted means over the windows inside (..., H, W, C)."""
    for axis in (-3, -2):
        x = sliding_window_view(x, len(weight), axis=axis) @ weight
    return x


def _checked(images: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both in float64; raises ValueError where they are not pictures of one size."""
    images, truth = np.asarray(images, np.float64), np.asarray(truth, np.float64)
    if min(images.ndim, truth.ndim) < 3 or images.shape[-3:] != truth.shape[-3:]:
        raise ValueError(
            "Pictures are compared with those of their size, (..., H, W, C); these are "
            f"{images.shape} and {truth.shape}."
        )
    return images, truth
