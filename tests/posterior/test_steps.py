"""Step by step on the host, solvers make what their loops on the device make."""

from functools import partial

import jax
import numpy as np

from posterior.problems import GAUSSIAN, IMAGE, SDES, score_fn
from scoresde_jax import posterior
from scoresde_jax.posterior import ladder
from scoresde_jax.posterior.operators import average
from scoresde_jax.sampling import log_snr_grid

OPERATOR = average(IMAGE, 2)
SDE = SDES["subvp"]
Y = OPERATOR.forward(GAUSSIAN.draw(0, 2).reshape(2, *IMAGE).astype(np.float32))
SHAPE = (2, *IMAGE)


def test_pigdm_and_dps_step_by_step():
    key, score = jax.random.key(1), score_fn(GAUSSIAN, SDE)
    grid = {"steps": 5, "t_min": 1e-2}
    rows = ladder.rows(SDE, log_snr_grid, **grid)
    prior_key, loop_key = jax.random.split(key)
    for sample, step, options in (
        (posterior.pigdm_sample, posterior.pigdm_step, {"noise_std": 0.1, "prior_std": 0.5}),
        (posterior.dps_sample, posterior.dps_step, {"zeta": 0.7}),
    ):
        noise = {"noise_std": 0.1} | options
        whole = sample(key, SDE, score, OPERATOR, Y, SHAPE, **grid, **noise).x
        one = jax.jit(partial(step, loop_key, SDE, score, OPERATOR, Y, **options))
        x = SDE.prior_sample(prior_key, SHAPE)
        for i in range(6):
            x = one(x, jax.tree.map(lambda leaf, i=i: leaf[i], rows))
        # Two programs of float32; what is divided by alpha = 0.007 at t = 1 stays in DPS.
        np.testing.assert_allclose(x, whole, atol=1e-3)
