"""PSNR and SSIM against their formulas, window by window, and against what they mean."""

import numpy as np
import pytest

from scoresde_jax.evaluation import psnr, ssim

RNG = np.random.default_rng(0)
A = RNG.uniform(size=(2, 14, 12, 3))
B = np.clip(A + 0.1 * RNG.normal(size=A.shape), 0, 1)


def test_psnr_is_in_decibels():
    np.testing.assert_allclose(psnr(A[0] * 0.9, A[0]), -10 * np.log10(np.mean((0.1 * A[0]) ** 2)))
    np.testing.assert_allclose(psnr(np.full((1, 4, 4, 1), 0.6), np.full((4, 4, 1), 0.5)), [20.0])
    assert psnr(A, A).tolist() == [120.0, 120.0]


def by_windows(a, b, window):
    """Eqs. 13-17 of Wang et al. 2004 as they stand, one window after the other."""
    at = np.arange(window) - window // 2
    weight = np.exp(-(at[:, None] ** 2 + at**2) / (2 * 1.5**2))
    weight /= weight.sum()
    found = []
    for channel in range(a.shape[-1]):
        for i in range(a.shape[0] - window + 1):
            for j in range(a.shape[1] - window + 1):
                x, y = (p[i : i + window, j : j + window, channel] for p in (a, b))
                mx, my = np.sum(weight * x), np.sum(weight * y)
                vx, vy = np.sum(weight * (x - mx) ** 2), np.sum(weight * (y - my) ** 2)
                xy = np.sum(weight * (x - mx) * (y - my))
                top = (2 * mx * my + 1e-4) * (2 * xy + 9e-4)
                found.append(top / ((mx**2 + my**2 + 1e-4) * (vx + vy + 9e-4)))
    return np.mean(found)


@pytest.mark.parametrize("side, window", [(12, 11), (8, 7)])
def test_ssim_is_its_formula(side, window):
    a, b = A[:, :side, :side], B[:, :side, :side]
    expected = [by_windows(*pair, window) for pair in zip(a, b, strict=True)]
    np.testing.assert_allclose(ssim(a, b), expected, rtol=1e-10)  # float64


def test_one_truth_for_several_draws():
    draws = np.stack([A, B])  # (draws, images, H, W, C)
    np.testing.assert_allclose(ssim(draws, A)[1], ssim(B, A))
    np.testing.assert_allclose(ssim(draws, A)[0], 1.0)
    assert psnr(draws, A).shape == (2, 2)


def test_other_sizes_are_refused():
    with pytest.raises(ValueError, match=r"of their size.*\(14, 12, 3\) and \(12, 12, 3\)"):
        psnr(A[0], A[0, :12])
