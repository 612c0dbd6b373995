"""The battery: every predictor with every corrector samples a Gaussian under every SDE."""

from functools import partial

import commands
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gaussian import SDES, diagonal, every_sde

from scoresde_jax.sampling import (
    ancestral,
    annealed_langevin,
    euler,
    euler_maruyama,
    identity,
    langevin,
    pc_sample,
    probability_flow,
    reverse_diffusion,
)
from scoresde_jax.sde import VESDE, VPSDE

SHAPE = (4096, 2, 2, 1)
STEPS = 300
T_MIN = 1e-5
DATA = diagonal(SHAPE[1:])
SNR = 0.1

# A new predictor or corrector is tested by joining its list.
PREDICTORS = [euler_maruyama, euler, reverse_diffusion, probability_flow, ancestral]
CORRECTORS = [identity, langevin, annealed_langevin]


def predictors(sde, n=STEPS):
    """Those that the SDE has, each cut into n steps."""
    moves = PREDICTORS if isinstance(sde, VESDE | VPSDE) else PREDICTORS[:-1]
    return [partial(move, n=n) for move in moves]


def correctors(sde, n=STEPS):
    """All of them, with the step multiplier of the SDE's chain."""
    options = {"snr": SNR, "alpha": lambda t: sde.chain_alpha(t, n)}
    return [identity] + [partial(move, **options) for move in CORRECTORS[1:]]


def chosen(moves, index):
    """One of the moves, chosen when the program runs: the battery compiles once per SDE."""

    def move(key, sde, score_fn, x, t):
        def bound(move):
            return lambda key, x, t: move(key, sde, score_fn, x, t)

        return jax.lax.switch(index, [bound(move) for move in moves], key, x, t)

    return move


@partial(jax.jit, compiler_options=commands.LOOPS)
def sample(key, sde, predictor, corrector):
    return pc_sample(
        key,
        sde,
        DATA.score_fn(sde),
        SHAPE,
        predictor=chosen(predictors(sde), predictor),
        corrector=chosen(correctors(sde), corrector),
        steps=STEPS,
        t_min=T_MIN,
    )


BATTERY = {
    f"{name}-{predictor.__name__}-{corrector.__name__}": (sde, i, j)
    for name, sde in SDES.items()
    for i, predictor in enumerate(PREDICTORS)
    for j, corrector in enumerate(CORRECTORS)
    if i < len(predictors(sde))
}


@pytest.mark.parametrize("sde, predictor, corrector", BATTERY.values(), ids=BATTERY)
def test_samples_have_the_mean_and_std_of_the_data(sde, predictor, corrector):
    samples = sample(jax.random.key(0), sde, predictor, corrector)
    x = np.asarray(samples.x).reshape(SHAPE[0], -1)
    # Per pixel: 5 standard errors of 4096 samples (8 % of a std for the mean, 5.5 % for the std)
    # and the bias of first-order methods at 300 steps, largest where beta / n is, 0.07.
    mean, std = DATA.mean.reshape(-1), DATA.std
    assert np.all(np.abs(x.mean(axis=0) - mean) < 0.10 * std)
    assert np.all(np.abs(x.std(axis=0) / std - 1) < 0.10)
    # And no pixel knows of another: 5 standard errors of a correlation.
    assert np.all(np.abs(np.corrcoef(x.T) - np.eye(x.shape[1])) < 5 / np.sqrt(len(x)))
    np.testing.assert_array_equal(samples.nfe, STEPS * (1 + (corrector > 0)))
    assert samples.nfe.shape == samples.converged.shape == SHAPE[:1]
    assert np.all(samples.converged)


@pytest.mark.parametrize("sde", [VPSDE(), VESDE()], ids=["vp", "ve"])
@pytest.mark.parametrize(
    "corrector, moves",
    [(identity, 1), (partial(langevin, snr=0.1), 2), (partial(langevin, snr=0.1, steps=3), 4)],
    ids=["none", "one", "three"],
)
def test_nfe_is_the_number_of_calls_and_each_move_is_traced_once(sde, corrector, moves):
    calls, traces = [], []
    data = diagonal((1, 1, 1))

    def score_fn(x, t):
        traces.append(1)
        jax.debug.callback(lambda: calls.append(1))
        return data.score(sde, x, t)

    predictor = partial(euler, n=5)
    run = jax.jit(
        lambda key: pc_sample(
            key,
            sde,
            score_fn,
            (2, 1, 1, 1),
            predictor=predictor,
            corrector=corrector,
            steps=5,
            t_min=1e-3,
        )
    )
    samples = run(jax.random.key(0))
    jax.effects_barrier()
    assert len(calls) == samples.nfe[0] == samples.nfe[1] == 5 * moves
    assert len(traces) == (1 if corrector is identity else 2)


def test_constrain_is_applied_after_every_move_to_state_and_mean():
    times = []

    def add_one(key, sde, update, t):
        jax.debug.callback(lambda t: times.append(float(t[0])), t, ordered=True)
        return update._replace(x=update.x + 1, x_mean=update.x_mean + 3)

    def run(**options):
        return pc_sample(
            jax.random.key(0),
            VPSDE(),
            lambda x, t: -x,
            (3, 2),
            predictor=identity,
            steps=4,
            t_min=0.1,
            **options,
        ).x

    prior = run()
    moved = run(constrain=add_one, denoise=False)
    jax.effects_barrier()
    np.testing.assert_allclose(times, np.repeat([1.0, 0.7, 0.4, 0.1], 2), rtol=1e-5)
    # Eight moves add 1 each to the state; the mean is the state before the last, plus 3.
    np.testing.assert_allclose(moved, prior + 8, rtol=1e-6)
    np.testing.assert_allclose(run(constrain=add_one), prior + 7 + 3, rtol=1e-6)


def test_the_grid_runs_from_one_to_t_min_and_the_corrector_goes_first():
    seen = []

    def mover(name):
        def move(key, sde, score_fn, x, t):
            jax.debug.callback(
                lambda t: seen.append((name, round(float(t[0]), 4))), t, ordered=True
            )
            return identity(key, sde, score_fn, x, t)

        return move

    pc_sample(
        jax.random.key(0),
        VPSDE(),
        lambda x, t: -x,
        (2, 1),
        predictor=mover("predictor"),
        corrector=mover("corrector"),
        steps=3,
        t_min=0.2,
    )
    jax.effects_barrier()
    assert seen == [(m, t) for t in (1.0, 0.6, 0.2) for m in ("corrector", "predictor")]


@every_sde
def test_identity_moves_nothing(sde):
    x = jnp.ones((2, 3))
    update = identity(jax.random.key(0), sde, None, x, jnp.ones(2))
    assert update.x is x and update.x_mean is x and update.nfe == 0
