"""How far each solver is from the exact posterior: `python -m benchmarks.posterior`.

Two priors on images of 4 x 4 x 3 whose score and posterior are known (`posterior/exact.py`), one
measurement by each operator, with noise and without, VP. The error of a solver's mean is in units
of the posterior's spread, |m - m'| / sqrt(tr C); that of its covariance is |C - C'| / |C|, both
norms Frobenius'. About five minutes on two cores; writes the tables of docs/inverse_problems.md.
What is done when it is interrupted is kept in runs/posterior.json until the end.
"""

import pathlib
import sys
import time
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.pages import write_between
from scoresde_jax import files, posterior, sampling
from scoresde_jax.posterior import operators
from scoresde_jax.posterior.exact import Mixture, mixture
from scoresde_jax.sde import VPSDE
from scoresde_jax.types import Array

PAGE = pathlib.Path("docs/inverse_problems.md")
DONE = pathlib.Path("runs/posterior.json")
BEGIN, END = "<!-- made by benchmarks.posterior -->", "<!-- end -->"

IMAGE = (4, 4, 3)
SIZE = 48
DRAWS = 1000
NOISE = 0.1
VP = VPSDE()
T_MIN = 1e-3
STEPS = 100

OPERATORS = {
    "left half": operators.half_mask(IMAGE),
    "gray": operators.Gray(),
    "average": operators.average(IMAGE, 2),
    "bicubic": operators.bicubic(IMAGE, 2),
    "Gaussian blur": operators.gaussian_blur(IMAGE, 0.7),
    "Hadamard, 40 %": operators.hadamard(IMAGE, 0.4),
    "radon, 2 angles": operators.radon(IMAGE, 2),
    "k-space, 1 of 2": operators.kspace_lines(IMAGE, 2, 1),
}
_MOVES = {
    "predictor": partial(sampling.reverse_diffusion, n=STEPS),
    "corrector": partial(
        sampling.langevin, snr=0.2, steps=2, alpha=partial(VP.chain_alpha, n=STEPS)
    ),
}
EXACT = "exact draws"
# Solver -> how it is called; `prior_std` is bound where it is run.
WITHOUT_NOISE: dict[str, Callable] = {
    "replacement": partial(posterior.replacement_sample, **_MOVES),
    "projection": partial(posterior.projection_sample, **_MOVES),
    "repaint": partial(posterior.repaint_sample, jump_length=5, resamplings=4),
    "ddrm": posterior.ddrm_sample,
    "pigdm": posterior.pigdm_sample,
    "dps": posterior.dps_sample,
}
WITH_NOISE: dict[str, Callable] = {
    "projection": partial(posterior.projection_sample, **_MOVES, strength=0.9),
    "ddrm": posterior.ddrm_sample,
    "pigdm": posterior.pigdm_sample,
    "dps": posterior.dps_sample,
    "smc": posterior.smc_particles,
}
TAKES_PRIOR_STD = ("pigdm", "smc")
PARTICLES = 500
# Of the table of particles: that many, in so many filters, for this operator.
COUNTS, FILTERS, OPERATOR = (125, 500, 2000), 4, "left half"
# Each program runs twice, so that compiling is most of the time.
fast = partial(
    jax.jit,
    compiler_options={
        "xla_backend_optimization_level": 1,
        "xla_llvm_disable_expensive_passes": True,
    },
)


def priors() -> dict[str, Mixture]:
    """A Gaussian, smooth as images are; and two that differ in mean and in smoothness.

    Both have two components, so that they share compilations.
    """
    means = 0.4 * np.random.default_rng(5).normal(size=(2, SIZE))
    smooth, rough = _smooth(2.0, 0.5), _smooth(1.0, 0.4)
    return {
        "Gaussian": mixture(np.full(2, 0.5), means[[0, 0]], np.stack([smooth, smooth])),
        "mixture": mixture(np.array([0.6, 0.4]), means, np.stack([0.36 * smooth, rough])),
    }


def measurement(prior: Mixture, operator: operators.LinearOperator, noise: float) -> Array:
    """y of one image, (1, ...)."""
    x = jnp.asarray(prior.draw(1, 1).reshape(1, *IMAGE), jnp.float32)
    return operators.degrade(jax.random.key(4), operator, x, noise)


def compiled(name: str, solver: Callable, noise: float) -> Callable:
    """(key, prior, operator, y) -> draws (n, SIZE) and their weights (n,)."""
    filters = DRAWS // PARTICLES
    batch = filters if name == "smc" else DRAWS

    @fast
    def run(
        key: Array, prior: Mixture, operator: operators.LinearOperator, y: Array
    ) -> tuple[Array, Array]:
        options = {"particles": PARTICLES} if name == "smc" else {}
        options |= {"prior_std": spread(prior)} if name in TAKES_PRIOR_STD else {}
        found = solver(
            key,
            VP,
            partial(prior.score, VP),
            operator,
            jnp.broadcast_to(y, (batch, *y.shape[1:])),
            (batch, *IMAGE),
            noise_std=noise,
            steps=STEPS,
            t_min=T_MIN,
            **options,
        )
        if isinstance(found, posterior.Particles):
            return found.x.reshape(-1, SIZE), jnp.exp(found.log_weight).ravel() / batch
        return found.x.reshape(-1, SIZE), jnp.full(batch, 1 / batch)

    return run


def spread(prior: Mixture) -> Array:
    """The standard deviation of a pixel about the prior's mean, over all, ()."""
    weight, mean = jnp.asarray(prior.weight)[:, None], jnp.asarray(prior.mean)
    apart = mean - jnp.sum(weight * mean, axis=0)
    return jnp.sqrt(jnp.sum(weight * (prior.std**2 + apart**2)) / SIZE)


def errors(x: np.ndarray, weight: np.ndarray, exact: Mixture) -> tuple[float, float]:
    """Of mean and covariance."""
    mean, covariance = exact.moments()
    x, weight = np.asarray(x, np.float64), np.asarray(weight, np.float64)
    ours = weight @ x
    off = (weight[:, None] * (x - ours)).T @ (x - ours) - covariance
    return (
        float(np.linalg.norm(ours - mean) / np.trace(covariance) ** 0.5),
        float(np.linalg.norm(off) / np.linalg.norm(covariance)),
    )


def row(
    operator: operators.LinearOperator, noise: float, run: Callable | None
) -> dict[str, tuple[float, float]]:
    """The errors of one solver and operator, by prior; without a solver, those of exact draws."""
    found = {}
    for prior_name, prior in priors().items():
        y = measurement(prior, operator, noise)
        matrix = operators.matrix_of(operator, IMAGE)
        exact = prior.posterior(matrix, np.asarray(y).ravel(), noise)
        if run is None:
            draws, weight = exact.draw(0, DRAWS), np.full(DRAWS, 1 / DRAWS)
        else:
            draws, weight = run(jax.random.key(0), prior, operator, y)
        found[prior_name] = errors(draws, weight, exact)
    return found


def measured(solvers: dict[str, Callable], noise: float) -> dict[str, dict[str, list[float]]]:
    """ "operator; solver" -> the errors by prior; what is in the file is not done again."""
    done: dict[str, dict] = files.read_json(DONE) if DONE.exists() else {}
    cells = {}
    for operator_name, operator in OPERATORS.items():
        for name in (*solvers, EXACT):
            if name == "repaint" and not isinstance(operator, operators.Mask):
                continue
            if not noise and operator_name == "Gaussian blur":
                continue  # which has an inverse: no posterior to speak of
            cell, key = f"{operator_name}; {name}", f"{operator_name}; {name}; {noise}"
            if key not in done:
                run = None if name == EXACT else compiled(name, solvers[name], noise)
                done[key] = row(operator, noise, run)
                files.write_json(DONE, done)
            cells[cell] = done[key]
            print(key, done[key], flush=True)
    return cells


def convergence() -> dict[int, dict[str, tuple[float, float]]]:
    """Of one filter of SMC, by its particles and prior: root mean square over filters."""
    operator = OPERATORS[OPERATOR]

    @partial(fast, static_argnames="count")
    def run(key: Array, prior: Mixture, y: Array, count: int) -> posterior.Particles:
        return posterior.smc_particles(
            key,
            VP,
            partial(prior.score, VP),
            operator,
            jnp.broadcast_to(y, (FILTERS, *y.shape[1:])),
            (FILTERS, *IMAGE),
            noise_std=NOISE,
            steps=STEPS,
            t_min=T_MIN,
            particles=count,
            prior_std=spread(prior),
        )

    found = {}
    for count in COUNTS:
        found[count] = {}
        for name, prior in priors().items():
            y = measurement(prior, operator, NOISE)
            matrix = operators.matrix_of(operator, IMAGE)
            exact = prior.posterior(matrix, np.asarray(y).ravel(), NOISE)
            drawn = run(jax.random.key(3), prior, y, count)
            x = np.asarray(drawn.x).reshape(FILTERS, count, SIZE)
            weight = np.asarray(jnp.exp(drawn.log_weight))
            each = [errors(*p, exact) for p in zip(x, weight, strict=True)]
            mean, covariance = np.sqrt(np.mean(np.square(each), axis=0))
            found[count][name] = float(mean), float(covariance)
            print(f"{count} particles", name, found[count][name], flush=True)
    return found


def convergence_table(found: dict[int, dict[str, tuple[float, float]]]) -> str:
    """One line per number of particles."""
    lines = ["| particles | " + " | ".join(priors()) + " |", "|---|" + "---|" * len(priors())]
    for count, cells in found.items():
        texts = ["{:.2f} / {:.2f}".format(*cells[prior]) for prior in priors()]
        lines.append(f"| {count} | " + " | ".join(texts) + " |")
    return "\n".join(lines)


def table(solvers: dict[str, Callable], cells: dict[str, dict[str, list[float]]]) -> str:
    """One line per operator and prior, one column per solver: mean / covariance."""
    names = [*solvers, EXACT]
    lines = [
        "| operator | prior | " + " | ".join(names) + " |",
        "|---|---|" + "---|" * len(names),
    ]
    for operator in OPERATORS:
        for prior in priors():
            found = [cells.get(f"{operator}; {name}") for name in names]
            if not any(found):
                continue
            texts = ["{:.2f} / {:.2f}".format(*c[prior]) if c else "" for c in found]
            lines.append(f"| {operator} | {prior} | " + " | ".join(texts) + " |")
    return "\n".join(lines)


def main() -> int:
    """Runs all and writes the tables."""
    start = time.monotonic()
    without = table(WITHOUT_NOISE, measured(WITHOUT_NOISE, 0.0))
    with_noise = table(WITH_NOISE, measured(WITH_NOISE, NOISE))
    particles = convergence_table(convergence())
    text = (
        f"Without noise:\n\n{without}\n\n"
        f"With noise of standard deviation {NOISE}:\n\n{with_noise}\n\n"
        f"SMC and its particles, on the {OPERATOR} with noise, one filter:\n\n{particles}"
    )
    write_between(PAGE, BEGIN, END, text)
    DONE.unlink()
    print(f"written to {PAGE} after {time.monotonic() - start:.0f} s")
    return 0


def _smooth(length: float, std: float) -> np.ndarray:
    """Covariance of images whose near pixels are alike, and whose channels are."""
    grid = np.meshgrid(*(np.arange(n) for n in IMAGE[:2]), indexing="ij")
    place = np.stack(grid, -1).reshape(-1, 2)
    near = np.exp(-np.linalg.norm(place[:, None] - place, axis=-1) / length)
    return std**2 * np.kron(near, 0.4 * np.eye(3) + 0.6)


if __name__ == "__main__":
    sys.exit(main())
