"""What UniPC is made of: the predictor alone at the end, and a correction for every other point."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mixture import APART

from sampling.chosen import fast
from scoresde_jax.sampling import ddim, dpm_solver_2m, dpm_solver_3m, unipc
from scoresde_jax.sampling.change import alpha_std, denoised
from scoresde_jax.sampling.weights import exact_weights, implicit_steps
from scoresde_jax.sde import VPSDE, half_log_snr

SDE = VPSDE()
SCORE = APART.score_fn(SDE)
TIMES = np.asarray([0.5, 0.45, 0.4, 0.3, 0.25])
ALONE = {2: dpm_solver_2m, 3: dpm_solver_3m}


def held(x0):
    """A score by which x0 is the prediction everywhere."""

    def score(x, t):
        m, s = alpha_std(SDE, t)
        return (m[:, None] * x0 - x) / s[:, None] ** 2

    return score


def by_hand(x, order, history):
    """Two steps along TIMES[2:]: the first point predicted, the same corrected, and the last."""
    times, alone = jnp.asarray(TIMES[2:]), ALONE[order] if history else ddim
    options = {"history": history} if history else {}
    predicted = alone(None, SDE, SCORE, x, times[:2], **options).x
    here, ahead = (denoised(SDE, SCORE, *at) for at in ((x, times[0]), (predicted, times[1])))
    h = half_log_snr(SDE, times[1]) - half_log_snr(SDE, times[0])
    if history:
        weights = exact_weights(implicit_steps(SDE, times[:2], history, order + 1))[0]
    else:
        weights = -jnp.expm1(-h) * jnp.asarray([0.5, 0.5])
    (_, alpha), (std_s, std_t) = alpha_std(SDE, times[:2])
    known = [ahead, here, *(x0 for _, x0 in history)]
    integral = sum(w * x0 for w, x0 in zip(weights, known, strict=True))
    corrected = std_t / std_s * x + alpha * integral
    # The prediction at the middle point stays that of the predicted x: it is not made again.
    past = ((times[0], here), *history)[: order - 1]
    last = ALONE[order](None, SDE, held(ahead), corrected, times[1:], history=past).x
    return predicted, corrected, last


@pytest.mark.parametrize("order", ALONE)
@pytest.mark.parametrize("cold", [False, True], ids=["given", "cold"])
def test_two_steps_are_prediction_correction_prediction(order, cold):
    def both(x):
        points = [(TIMES[i], denoised(SDE, SCORE, x * (2 - i), TIMES[i])) for i in range(2)]
        history = () if cold else tuple(reversed(points))[: order - 1]
        expected = by_hand(x, order, history)
        options = {"order": order, "history": history}
        one = unipc(None, SDE, SCORE, x, jnp.asarray(TIMES[2:4]), **options).x
        two = unipc(None, SDE, SCORE, x, jnp.asarray(TIMES[2:]), **options).x
        return one, two, expected

    with jax.enable_x64(True):
        x = jnp.asarray([[0.3, -0.2], [1.0, 0.1]])
        one, two, (predicted, corrected, last) = fast(both)(x)
    np.testing.assert_allclose(one, predicted, rtol=1e-10)
    np.testing.assert_allclose(two, last, rtol=1e-10)
    assert np.all(np.abs(predicted - corrected) > 1e-5)
