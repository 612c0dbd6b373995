"""Breaks one formula at a time and checks that a test notices: `python -m tests.mutate [--write]`.

A mutant is a factor of two or a sign in one coefficient. Each is made in a copy of the package, and
the file of tests that should see it is run there. One that no test sees is a gap in the tests.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "mutants.md"


class Mutant(NamedTuple):
    """One change of the source and the tests that should fail because of it."""

    file: str  # within scoresde_jax/
    old: str  # occurs exactly once in the file, or in the class
    new: str
    what: str
    tests: str  # space-separated, within tests/
    within: str = ""  # a class of the file


def mutants(file, tests, *rows, within=""):
    """Rows of (what, old, new, new, ...): one mutant for each new text."""
    return [
        Mutant(file, old, new, what, tests, within) for what, old, *news in rows for new in news
    ]


def place(mutant, text):
    """Where the old text begins in that of the file; None if it is not there once."""
    start, end = 0, len(text)
    if mutant.within:
        start = text.index(f"\nclass {mutant.within}")
        end = text.find("\nclass ", start + 1) % (len(text) + 1)  # -1, of none: the end
    found = text.count(mutant.old, start, end) == 1
    return text.index(mutant.old, start) if found else None


# What the two VE SDEs have in common, each in a class of its own.
VE_ROWS = (
    # The drift has no factor: it is zero.
    ("drift", "return jnp.zeros_like(x)\n", "return x\n"),
    ("prior sample", "shape) * self.sigma_max", "shape) * self.sigma_max * 2"),
    (
        "prior log-density",
        "return gaussian_logp(z, self.sigma_max)",
        "return gaussian_logp(z, 2 * self.sigma_max)",
        "return -gaussian_logp(z, self.sigma_max)",
    ),
)

MUTANTS = [
    *(
        mutant
        for name, within in (("VE", "VESDE"), ("linear VE", "LinearVESDE"))
        for mutant in mutants(
            "sde.py",
            "test_sde.py",
            *((f"{name} {what}", *texts) for what, *texts in VE_ROWS),
            within=within,
        )
    ),
    *mutants(
        "sde.py",
        "test_sde.py",
        (
            "linear VE marginal std",
            "return x0, self.sigma_max * t",
            "return x0, 2 * self.sigma_max * t",
            "return x0, -self.sigma_max * t",
        ),
        within="LinearVESDE",
    ),
    *mutants(
        "sde.py",
        "test_sde.py",
        # what, as it is, twice as large, of the other sign
        (
            "VP drift",
            "return -0.5 * bcast(self.beta(t), x) * x",
            "return -1.0 * bcast(self.beta(t), x) * x",
            "return 0.5 * bcast(self.beta(t), x) * x",
        ),
        (
            "VP diffusion",
            "return jnp.sqrt(self.beta(t))",
            "return 2 * jnp.sqrt(self.beta(t))",
            "return -jnp.sqrt(self.beta(t))",
        ),
        (
            "VP beta(t)",
            "return self.beta_min + t * (",
            "return self.beta_min + 2 * t * (",
            "return self.beta_min - t * (",
        ),
        (
            "VP mean exponent, t^2 term",
            "return -0.25 * t**2 * (",
            "return -0.5 * t**2 * (",
            "return 0.25 * t**2 * (",
        ),
        (
            "VP mean exponent, t term",
            "- 0.5 * t * self.beta_min",
            "- 1.0 * t * self.beta_min",
            "+ 0.5 * t * self.beta_min",
        ),
        (
            "VP marginal mean",
            "return bcast(jnp.exp(c), x0) * x0, jnp.sqrt(",
            "return bcast(jnp.exp(2 * c), x0) * x0, jnp.sqrt(",
            "return bcast(jnp.exp(-c), x0) * x0, jnp.sqrt(",
            "return bcast(-jnp.exp(c), x0) * x0, jnp.sqrt(",
        ),
        (
            "VP marginal std",
            "jnp.sqrt(-jnp.expm1(2 * c))",
            "2 * jnp.sqrt(-jnp.expm1(2 * c))",
            "-jnp.sqrt(-jnp.expm1(2 * c))",
            "jnp.sqrt(-jnp.expm1(4 * c))",
        ),
        (
            "VP discretize f",
            "return bcast(jnp.sqrt(1 - beta) - 1, x) * x, jnp.sqrt(beta)",
            "return 2 * bcast(jnp.sqrt(1 - beta) - 1, x) * x, jnp.sqrt(beta)",
            "return -bcast(jnp.sqrt(1 - beta) - 1, x) * x, jnp.sqrt(beta)",
        ),
        (
            "VP discretize G",
            "return bcast(jnp.sqrt(1 - beta) - 1, x) * x, jnp.sqrt(beta)",
            "return bcast(jnp.sqrt(1 - beta) - 1, x) * x, 2 * jnp.sqrt(beta)",
            "return bcast(jnp.sqrt(1 - beta) - 1, x) * x, -jnp.sqrt(beta)",
        ),
        (
            "VP chain beta",
            "return self.beta(fraction) / n",
            "return 2 * self.beta(fraction) / n",
            "return -self.beta(fraction) / n",
        ),
        (
            "VP chain alphabar",
            "jnp.exp(jnp.cumsum(jnp.log1p(-beta)))",
            "jnp.exp(jnp.cumsum(2 * jnp.log1p(-beta)))",
            "jnp.exp(jnp.cumsum(jnp.log1p(beta)))",
        ),
        (
            "VP chain alpha",
            "return 1 - self.chain_beta(t, n)",
            "return 1 - 2 * self.chain_beta(t, n)",
            "return 1 + self.chain_beta(t, n)",
        ),
        (
            "VP ancestral score",
            "return (x + bcast(beta, x) * score)",
            "return (x + 2 * bcast(beta, x) * score)",
            "return (x - bcast(beta, x) * score)",
        ),
        (
            "VP ancestral shrinkage",
            "/ bcast(jnp.sqrt(1 - beta), x)",
            "/ bcast(jnp.sqrt(1 - 2 * beta), x)",
            "/ bcast(jnp.sqrt(1 + beta), x)",
        ),
        (
            "VP ancestral std",
            "bcast(jnp.sqrt(1 - beta), x), jnp.sqrt(beta)",
            "bcast(jnp.sqrt(1 - beta), x), 2 * jnp.sqrt(beta)",
            "bcast(jnp.sqrt(1 - beta), x), -jnp.sqrt(beta)",
        ),
        (
            "VP likelihood time",
            "jax.nn.softplus(low + u * (high - low))",
            "jax.nn.softplus(low + 2 * u * (high - low))",
            "jax.nn.softplus(low - u * (high - low))",
        ),
        (
            "sub-VP drift",
            "return self._vp.drift(x, t)",
            "return 2 * self._vp.drift(x, t)",
            "return -self._vp.drift(x, t)",
        ),
        (
            "sub-VP diffusion",
            "return jnp.sqrt(self._vp.beta(t) * -jnp.expm1(4 * c))",
            "return 2 * jnp.sqrt(self._vp.beta(t) * -jnp.expm1(4 * c))",
            "return -jnp.sqrt(self._vp.beta(t) * -jnp.expm1(4 * c))",
            "return jnp.sqrt(self._vp.beta(t) * -jnp.expm1(2 * c))",
        ),
        (
            "sub-VP marginal mean",
            "return bcast(jnp.exp(c), x0) * x0, -jnp",
            "return bcast(jnp.exp(2 * c), x0) * x0, -jnp",
            "return bcast(jnp.exp(-c), x0) * x0, -jnp",
        ),
        (
            "sub-VP marginal std",
            "* x0, -jnp.expm1(2 * c)",
            "* x0, -2 * jnp.expm1(2 * c)",
            "* x0, jnp.expm1(2 * c)",
            "* x0, -jnp.expm1(4 * c)",
        ),
        (
            "sub-VP discretize f",
            "return self.drift(x, t) / n,",
            "return 2 * self.drift(x, t) / n,",
            "return -self.drift(x, t) / n,",
        ),
        (
            "sub-VP discretize G",
            "/ n, self.diffusion(t) / jnp.sqrt(n)",
            "/ n, 2 * self.diffusion(t) / jnp.sqrt(n)",
            "/ n, -self.diffusion(t) / jnp.sqrt(n)",
        ),
        (
            "sub-VP likelihood time",
            "jnp.exp(low + u * (high - low))",
            "jnp.exp(low + 2 * u * (high - low))",
            "jnp.exp(low - u * (high - low))",
        ),
        (
            "VE sigma(t)",
            "return self.sigma_min * (self.sigma_max / self.sigma_min) ** t",
            "return 2 * self.sigma_min * (self.sigma_max / self.sigma_min) ** t",
            "return self.sigma_min * (self.sigma_max / self.sigma_min) ** (2 * t)",
            "return self.sigma_min * (self.sigma_max / self.sigma_min) ** -t",
        ),
        (
            "VE diffusion",
            "return self.sigma(t) * jnp.sqrt(2 *",
            "return 2 * self.sigma(t) * jnp.sqrt(2 *",
            "return self.sigma(t) * jnp.sqrt(4 *",
            "return -self.sigma(t) * jnp.sqrt(2 *",
        ),
        (
            "VE marginal mean",
            "return x0, self.sigma(t)",
            "return 2 * x0, self.sigma(t)",
            "return -x0, self.sigma(t)",
        ),
        (
            "VE marginal std",
            "return x0, self.sigma(t)",
            "return x0, 2 * self.sigma(t)",
            "return x0, -self.sigma(t)",
        ),
        (
            "VP and sub-VP prior sample",
            "return jax.random.normal(key, shape)\n",
            "return 2 * jax.random.normal(key, shape)\n",
        ),
        (
            "VP and sub-VP prior log-density",
            "return gaussian_logp(z, 1.0)",
            "return gaussian_logp(z, 2.0)",
            "return -gaussian_logp(z, 1.0)",
        ),
        (
            "VE discretize f",
            "return jnp.zeros_like(x), jnp",
            "return x, jnp",
        ),
        (
            "VE discretize G",
            "jnp.zeros_like(x), jnp.sqrt((sigma - below) * (sigma + below))",
            "jnp.zeros_like(x), 2 * jnp.sqrt((sigma - below) * (sigma + below))",
            "jnp.zeros_like(x), -jnp.sqrt((sigma - below) * (sigma + below))",
            "jnp.zeros_like(x), jnp.sqrt((sigma + below) * (sigma + below))",
        ),
        (
            "VE ancestral score",
            "return x + bcast(step, x) * score",
            "return x + 2 * bcast(step, x) * score",
            "return x - bcast(step, x) * score",
        ),
        (
            "VE ancestral std",
            ", jnp.sqrt(step) * below / sigma",
            ", 2 * jnp.sqrt(step) * below / sigma",
            ", -jnp.sqrt(step) * below / sigma",
        ),
        (
            "VE likelihood time",
            "return t_min + u * (1 - t_min)",
            "return t_min + 2 * u * (1 - t_min)",
            "return t_min - u * (1 - t_min)",
        ),
        (
            "reverse drift",
            "x, t) - bcast(sde",
            "x, t) - 2 * bcast(sde",
            "x, t) + bcast(sde",
        ),
        (
            "flow drift",
            "x, t) - 0.5 * bcast(sde",
            "x, t) - bcast(sde",
            "x, t) + 0.5 * bcast(sde",
        ),
        (
            "normal log-density, square",
            "return -0.5 * square / std**2",
            "return -1.0 * square / std**2",
            "return 0.5 * square / std**2",
        ),
        (
            "normal log-density, constant",
            "- 0.5 * dims * jnp.log(",
            "- 1.0 * dims * jnp.log(",
            "+ 0.5 * dims * jnp.log(",
        ),
    ),
    *mutants(
        "score.py",
        "test_score.py",
        (
            "VP continuous scale",
            "lambda t: -1 / _std(sde, t)",
            "lambda t: -2 / _std(sde, t)",
            "lambda t: 1 / _std(sde, t)",
        ),
        (
            "VE continuous scale",
            "jnp.zeros_like, lambda t: 1 / _std(sde, t)",
            "jnp.zeros_like, lambda t: 2 / _std(sde, t)",
            "jnp.zeros_like, lambda t: -1 / _std(sde, t)",
        ),
        (
            "VP discrete scale",
            "lambda t: -1 / std[chain_index(t, n)]",
            "lambda t: -2 / std[chain_index(t, n)]",
            "lambda t: 1 / std[chain_index(t, n)]",
        ),
        (
            "VE discrete scale",
            "lambda t: 1 / sde.sigma(1 - label(t)",
            "lambda t: 2 / sde.sigma(1 - label(t)",
            "lambda t: -1 / sde.sigma(1 - label(t)",
            "lambda t: 1 / sde.sigma(1 + label(t)",
        ),
        (
            "VP continuous label",
            "lambda t: MAX_LABEL * t",
            "lambda t: 2 * MAX_LABEL * t",
            "lambda t: -MAX_LABEL * t",
        ),
        (
            "VE continuous label",
            "lambda t: _std(sde, t), jnp",
            "lambda t: 2 * _std(sde, t), jnp",
            "lambda t: -_std(sde, t), jnp",
        ),
        (
            "VP discrete label",
            "lambda t: t * (n - 1), jnp",
            "lambda t: 2 * t * (n - 1), jnp",
            "lambda t: -t * (n - 1), jnp",
        ),
        (
            "VE discrete label",
            "return jnp.round((1 - t) * (n - 1))",
            "return jnp.round(2 * (1 - t) * (n - 1))",
            "return jnp.round((1 + t) * (n - 1))",
        ),
        (
            "skip and scale in the score",
            "return bcast(row.skip(t), x) * x + bcast(row.scale(t), x) * output",
            "return 2 * bcast(row.skip(t), x) * x + bcast(row.scale(t), x) * output",
            "return bcast(row.skip(t), x) * x - bcast(row.scale(t), x) * output",
        ),
        (
            "guidance",
            "return score_fn(x, t) + jax.grad",
            "return score_fn(x, t) + 2 * jax.grad",
            "return score_fn(x, t) - jax.grad",
        ),
    ),
    *mutants(
        "sampling/correctors.py",
        "sampling/test_correctors.py",
        (
            "Langevin step",
            "return 2 * alpha(t) * (snr * _mean_norm",
            "return 4 * alpha(t) * (snr * _mean_norm",
            "return -2 * alpha(t) * (snr * _mean_norm",
            "return 2 * alpha(t) * (2 * snr * _mean_norm",
        ),
        (
            "annealed Langevin step",
            "return 2 * alpha(t) * (snr * std)",
            "return 4 * alpha(t) * (snr * std)",
            "return -2 * alpha(t) * (snr * std)",
            "return 2 * alpha(t) * (2 * snr * std)",
        ),
        (
            "Langevin drift",
            "x_mean = x + bcast(e, x) * score",
            "x_mean = x + 2 * bcast(e, x) * score",
            "x_mean = x - bcast(e, x) * score",
        ),
        (
            "Langevin noise",
            "return x_mean + bcast(jnp.sqrt(2 * e), x)",
            "return x_mean + bcast(jnp.sqrt(4 * e), x)",
            "return x_mean + bcast(jnp.sqrt(e), x)",
        ),
    ),
    *mutants(
        "sampling/predictors.py",
        "sampling/test_predictors.py",
        (
            "Euler-Maruyama",
            "x_mean = x - reverse_drift(sde, score_fn, x, t) / n",
            "x_mean = x - 2 * reverse_drift(sde, score_fn, x, t) / n",
            "x_mean = x + reverse_drift(sde, score_fn, x, t) / n",
        ),
        (
            "Euler-Maruyama noise",
            "sde.diffusion(t) / jnp.sqrt(n)",
            "2 * sde.diffusion(t) / jnp.sqrt(n)",
        ),
        (
            "Euler",
            "x = x - ode_drift(sde, score_fn, x, t) / n",
            "x = x - 2 * ode_drift(sde, score_fn, x, t) / n",
            "x = x + ode_drift(sde, score_fn, x, t) / n",
        ),
        (
            "reverse diffusion",
            "x_mean = x - f + bcast(G**2, x)",
            "x_mean = x + f + bcast(G**2, x)",
            "x_mean = x - f - bcast(G**2, x)",
            "x_mean = x - f + 2 * bcast(G**2, x)",
        ),
        (
            "probability flow",
            "x = x - f + 0.5 * bcast(G**2, x)",
            "x = x + f + 0.5 * bcast(G**2, x)",
            "x = x - f - 0.5 * bcast(G**2, x)",
            "x = x - f + bcast(G**2, x)",
        ),
    ),
    *mutants(
        "losses.py",
        "test_losses.py",
        (
            "DSM residual",
            "residual = bcast(std, x0) * score_fn(",
            "residual = 2 * bcast(std, x0) * score_fn(",
            "residual = -bcast(std, x0) * score_fn(",
        ),
        (
            "variance weighting",
            "return sde.marginal(jnp.zeros(t.shape), t)[1] ** 2",
            "return 2 * sde.marginal(jnp.zeros(t.shape), t)[1] ** 2",
        ),
        (
            "likelihood weighting",
            "return sde.diffusion(t) ** 2",
            "return 2 * sde.diffusion(t) ** 2",
        ),
        (
            "SMLD residual",
            "return reduction((sigma * score_fn(",
            "return reduction((2 * sigma * score_fn(",
            "return reduction((-sigma * score_fn(",
        ),
        (
            "DDPM residual",
            "return reduction((std * score_fn(",
            "return reduction((2 * std * score_fn(",
            "return reduction((-std * score_fn(",
        ),
    ),
    *mutants(
        "posterior/smc.py",
        "posterior/test_smc.py",
        (
            "SMC ratio of the step's densities",
            "ratio = -0.5 * (shift / noise)",
            "ratio = 0.5 * (shift / noise)",
        ),
        (
            "SMC weight without the old twist",
            "cloud.log_weight + twist - cloud.twist",
            "cloud.log_weight + twist",
        ),
        (
            "SMC last weight without the old twist",
            "jnp.sum(residual**2, axis=-1) - cloud.twist",
            "jnp.sum(residual**2, axis=-1)",
        ),
    ),
    *mutants(
        "posterior/pigdm.py",
        "posterior/test_pigdm.py",
        (
            "PiGDM gradient",
            "+ found.gradient",
            "+ 2 * found.gradient",
            "- found.gradient",
        ),
    ),
    *mutants(
        "posterior/dps.py",
        "posterior/test_solvers.py",
        (
            "DPS in other variables of the process",
            "zeta * row.scale * gradient",
            "zeta * gradient",
        ),
    ),
    *mutants(
        "posterior/ddrm.py",
        "posterior/test_ddrm.py",
        (
            "DDRM noise that is left",
            "(eta_b * tau) ** 2",
            "tau ** 2",
        ),
        (
            "DDRM step to y",
            "above = (1 - eta_b) * x0 + eta_b * c",
            "above = c",
        ),
    ),
    *mutants(
        "posterior/repaint.py",
        "posterior/test_repaint.py",
        (
            "RePaint noise on the way back",
            "return back * x + std_back * z[2], None",
            "return back * x, None",
        ),
    ),
    *mutants(
        "likelihood/flow.py",
        "likelihood/test_flow.py",
        (
            "log-density integral",
            "+ z[0].size * integral",
            "+ 2 * z[0].size * integral",
            "- z[0].size * integral",
        ),
        (
            "standard error over probes",
            "/ jnp.sqrt(self.probes)",
            "/ jnp.sqrt(4 * self.probes)",
        ),
    ),
    *mutants(
        "likelihood/bits.py",
        "likelihood/test_bits.py",
        (
            "bits per dimension",
            "return -(logp / dims + math.log(data_scale))",
            "return (logp / dims + math.log(data_scale))",
            "return -(logp / dims - math.log(data_scale))",
            "return -(logp / dims + 2 * math.log(data_scale))",
        ),
    ),
]


def survives(mutant, folder, cache):
    """Whether the tests pass with the mutant in `folder`; None if its text is not there once."""
    source = folder / "scoresde_jax" / mutant.file
    original = source.read_text()
    start = place(mutant, original)
    if start is None:
        return None
    source.write_text(original[:start] + mutant.new + original[start + len(mutant.old) :])
    try:
        return run_tests(mutant.tests.split(), folder, cache) == 0
    finally:
        source.write_text(original)


def run_tests(tests, folder, cache):
    """The exit status of pytest on files under `folder`/tests, stopped at the first failure."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(folder),
        "PYTHONDONTWRITEBYTECODE": "1",  # a stale .pyc would hide a change of the same length
        "SCORESDE_TEST_CACHE": str(cache),
    }
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:xdist"]
    status = subprocess.run(
        command + [f"tests/{test}" for test in tests],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ).returncode
    if status not in (0, 1):  # 1 is a failed test; others are no verdict
        raise RuntimeError(f"pytest exits with {status} on {tests}; run it by hand to see why.")
    return status


def table(results):
    """Markdown rows of (mutant, outcome, seconds)."""

    def code(text):
        return f"`{' '.join(text.split())}`".replace("|", "\\|")

    lines = [
        "| formula | file | as it is | mutant | tests | outcome |",
        "|---|---|---|---|---|---|",
    ]
    for mutant, outcome, _ in results:
        cells = (
            mutant.what,
            mutant.file,
            code(mutant.old),
            code(mutant.new),
            mutant.tests,
            outcome,
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def document(results):
    """The text of docs/mutants.md."""
    killed = sum(outcome == "killed" for _, outcome, _ in results)
    seconds = sum(spent for *_, spent in results)
    return f"""# Mutants

Written by `make mutate` (`python -m tests.mutate --write`). A mutant is a factor of two or a
sign in one coefficient, made in a copy of the package; the closed-form tests named beside it are
then run and must fail.

{killed} of {len(results)} mutants killed, in {seconds / 60:.0f} minutes on one core.

{table(results)}
"""


def main():
    """Runs all mutants, or those whose description contains --only."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write docs/mutants.md")
    parser.add_argument("--only", default="", help="a part of the descriptions to run")
    arguments = parser.parse_args()
    if arguments.write and arguments.only:
        parser.error("--write records a complete run; leave out --only.")
    chosen = [mutant for mutant in MUTANTS if arguments.only in mutant.what]
    results = []
    with tempfile.TemporaryDirectory() as name:
        folder, cache = Path(name) / "copy", Path(name) / "cache"
        ignore = shutil.ignore_patterns("__pycache__", "golden")
        for part in ("scoresde_jax", "tests"):
            shutil.copytree(ROOT / part, folder / part, ignore=ignore)
        shutil.copy(ROOT / "pyproject.toml", folder)
        for tests in sorted({mutant.tests for mutant in chosen}):
            print(f"unchanged: {tests}", flush=True)
            if run_tests(tests.split(), folder, cache):
                sys.exit(f"tests/{tests} fails without any mutant; mend it first.")
        for i, mutant in enumerate(chosen, 1):
            start = time.monotonic()
            alive = survives(mutant, folder, cache)
            outcome = {None: "not found", True: "SURVIVED", False: "killed"}[alive]
            spent = time.monotonic() - start
            results.append((mutant, outcome, spent))
            change = " ".join(mutant.new.split())
            print(
                f"[{i}/{len(chosen)}] {outcome:9} {spent:4.0f} s  {mutant.what}: {change}",
                flush=True,
            )
    print("\n" + table(results))
    if arguments.write:
        DOCUMENT.write_text(document(results))
    sys.exit(any(outcome != "killed" for _, outcome, _ in results))


if __name__ == "__main__":
    main()
