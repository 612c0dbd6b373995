# %% [markdown]
# # The SDE zoo and its samplers
#
# [![Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/scoresde-jax/scoresde_jax/blob/main/notebooks/2_sde_zoo_and_samplers.ipynb)
#
# Four ways of turning data into noise, two ways back, and a dozen ways of computing the way back.
# All on data in one and two dimensions, where everything can be seen and nothing has to be learnt.

# %%
# On Colab this installs the package; elsewhere it does nothing.
import os
import subprocess
import sys

REPOSITORY = "https://github.com/scoresde-jax/scoresde_jax"
if "google.colab" in sys.modules:
    subprocess.run(["git", "clone", "-q", REPOSITORY, "scoresde_jax"], check=True)
    os.chdir("scoresde_jax")
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "-e", "."], check=True)
    sys.path.insert(0, os.getcwd())

# %%
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

from scoresde_jax import VESDE, VPSDE, LinearVESDE, SubVPSDE, log_likelihood, sampling
from scoresde_jax.types import bcast

SMALL = os.environ.get("SCORESDE_NOTEBOOK_BUDGET") == "small"  # every cell, on less: for tests
GRID, STEPS, POINTS, BUDGETS = (
    (20, 10, 50, (6,)) if SMALL else (150, 300, 2000, (6, 10, 20, 50, 100))
)

# %% [markdown]
# ## Four processes
#
# All have the form $dx = f(x, t)\,dt + g(t)\,dw$ with a drift that shrinks $x$ or leaves it alone,
# so that given $x_0$ the state at time $t$ is Gaussian: mean $\alpha_t x_0$, standard deviation
# $\sigma_t$. Two curves say it all. VE leaves the data where they are and drowns them (the largest
# $\sigma$ is 50 by default; 3 fits on paper), VP shrinks them while the noise grows, and sub-VP
# does so with less noise on the way.

# %%
ZOO = {
    "VE": VESDE(sigma_max=3.0),
    "linear VE": LinearVESDE(sigma_max=3.0),
    "VP": VPSDE(),
    "sub-VP": SubVPSDE(),
}
t = jnp.linspace(1e-3, 1, 200)
figure, (left, middle, right) = plt.subplots(1, 3, figsize=(9, 2.6), layout="constrained")
for name, sde in ZOO.items():
    alpha, std = sde.marginal(jnp.ones_like(t), t)
    left.plot(t, alpha, label=name)
    middle.plot(t, std)
    right.plot(t, 2 * jnp.log(alpha / std))
left.set(title=r"mean $\alpha_t$", xlabel="t")
middle.set(title=r"standard deviation $\sigma_t$", xlabel="t", yscale="log")
right.set(title="log signal-to-noise ratio", xlabel="t")
_ = left.legend(frameon=False, fontsize=8)

# %% [markdown]
# ## Data that we know everything about
#
# For a mixture of Gaussians each $p_t$ is a mixture again, so its density is known in closed form,
# and the score is a gradient away. No network, nothing learnt: what goes wrong below is the fault
# of a sampler.


# %%
class Mixture(NamedTuple):
    """K round Gaussians in D dimensions."""

    weight: jax.Array  # (K,)
    mean: jax.Array  # (K, D)
    std: jax.Array  # (K,)


@jax.jit
def log_density(data, sde, x, t):
    """log p_t(x) of each x (B, D) at its own t (B,)."""
    alpha, std = sde.marginal(jnp.ones_like(t), t)
    mean = alpha[:, None, None] * data.mean
    variance = (alpha[:, None] * data.std) ** 2 + std[:, None] ** 2
    square = jnp.sum((x[:, None] - mean) ** 2, axis=-1)
    log_norm = 0.5 * x.shape[1] * jnp.log(2 * jnp.pi * variance)
    return jax.nn.logsumexp(jnp.log(data.weight) - 0.5 * square / variance - log_norm, axis=-1)


def score_of(data, sde):
    """The exact score, as samplers take it."""

    def score_fn(x, t):
        t = jnp.broadcast_to(t, x.shape[:1])
        return jax.grad(lambda x: jnp.sum(log_density(data, sde, x, t)))(x)

    return score_fn


@partial(jax.jit, static_argnums=2)
def draw(data, key, count):
    """Exact draws, (count, D)."""
    which, noise = jax.random.split(key)
    k = jax.random.choice(which, len(data.weight), (count,), p=data.weight)
    z = jax.random.normal(noise, (count, data.mean.shape[1]))
    return data.mean[k] + data.std[k, None] * z


LINE = Mixture(
    jnp.array([0.35, 0.4, 0.25]), jnp.array([[-1.0], [0.2], [1.1]]), jnp.array([0.12, 0.2, 0.08])
)

# %% [markdown]
# ## Forwards
#
# The density of $x_t$ over time, brightest where a moment's density peaks, and a dozen paths that
# start at data. The paths are simulated, step by step; the density is the formula. They agree.


# %%
@jax.jit
def forwards(key, sde, x, times):
    """Simulates the SDE by Euler and Maruyama's method; (len(times), B, D)."""

    def step(x, now):
        key, t, dt = now
        t = jnp.full(x.shape[:1], t)
        noise = jnp.sqrt(dt) * jax.random.normal(key, x.shape)
        x = x + sde.drift(x, t) * dt + bcast(sde.diffusion(t), x) * noise
        return x, x

    rows = jax.random.split(key, len(times) - 1), times[:-1], jnp.diff(times)
    return jnp.concatenate([x[None], jax.lax.scan(step, x, rows)[1]])


def heat_map(axes, sde):
    """The density of x_t as an image, each moment as bright as the next."""
    reach = 2.6 * getattr(sde, "sigma_max", 1.2)
    t, x = np.linspace(1e-3, 1, GRID), np.linspace(-reach, reach, GRID)
    tt, xx = np.meshgrid(t, x)
    found = np.asarray(log_density(LINE, sde, xx.reshape(-1, 1), tt.reshape(-1))).reshape(tt.shape)
    style = {"origin": "lower", "aspect": "auto", "cmap": "magma", "interpolation": "bilinear"}
    axes.imshow(np.exp(found - found.max(axis=0)), extent=(0, 1, -reach, reach), **style)


times = jnp.linspace(1e-3, 1, STEPS)
x0 = draw(LINE, jax.random.key(0), 12)
figure, axes = plt.subplots(1, 4, figsize=(12, 3), layout="constrained")
for axis, (name, sde) in zip(axes, ZOO.items(), strict=True):
    heat_map(axis, sde)
    axis.plot(times, forwards(jax.random.key(1), sde, x0, times)[..., 0], color="w", lw=0.6)
    axis.set(title=name, xlabel="t")
_ = axes[0].set_ylabel("x")

# %% [markdown]
# ## Backwards, in two ways
#
# The *reverse SDE* undoes the noise with noise; the *probability flow* is a differential equation
# without any. Both have the density in the background at every time. Above, from the left, a dozen
# noises on their way to data by the one; below the same noises by the other. Paths of the flow
# never cross.


# %%
def backwards(key, sde, x, predictor, n):
    """All states of n steps from t = 1 to the data, (n + 1, B, D)."""

    def step(x, now):
        key, t = now
        t = jnp.full(x.shape[:1], t)
        x = predictor(key, sde, score_of(LINE, sde), x, t, n=n).x
        return x, x

    rows = jax.random.split(key, n), jnp.linspace(1, 1e-3, n)
    return jnp.concatenate([x[None], jax.lax.scan(step, x, rows)[1]])


figure, axes = plt.subplots(2, 4, figsize=(12, 5.4), layout="constrained", sharex=True)
for (name, sde), (upper, lower) in zip(ZOO.items(), axes.T, strict=True):
    noise = sde.prior_sample(jax.random.key(4), (12, 1))
    for axis, predictor in ((upper, sampling.euler_maruyama), (lower, sampling.euler)):
        go = jax.jit(partial(backwards, predictor=predictor, n=STEPS))
        path = go(jax.random.key(5), sde, noise)
        heat_map(axis, sde)
        axis.plot(jnp.linspace(1, 1e-3, STEPS + 1), path[..., 0], color="w", lw=0.6)
        axis.set(xlim=(1, 0))
    upper.set(title=name)
    lower.set(xlabel="t")
axes[0, 0].set_ylabel("reverse SDE")
_ = axes[1, 0].set_ylabel("probability flow")

# %% [markdown]
# ## In the plane
#
# A spiral of forty small Gaussians. As noise is added, the score, drawn as arrows, points first to
# the nearest turn, then to the spiral as a whole, and in the end just to the middle.

# %%
angle = np.linspace(1.5, 13.5, 40)
SPIRAL = Mixture(
    jnp.full(40, 1 / 40),
    jnp.asarray(0.13 * angle[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)),
    jnp.full(40, 0.07),
)
vp = VPSDE()


def lattice(reach, count):
    """Points on a square, (count^2, 2)."""
    side = np.linspace(-reach, reach, count, dtype=np.float32)
    return np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)


plane, places = lattice(2.6, GRID), lattice(2.4, 16)
arrows = jax.jit(score_of(SPIRAL, vp))

figure, axes = plt.subplots(1, 5, figsize=(13, 2.9), layout="constrained")
for axis, t in zip(axes, (0.02, 0.1, 0.2, 0.4, 1.0), strict=True):
    density = np.exp(log_density(SPIRAL, vp, plane, np.full(len(plane), t, np.float32)))
    axis.imshow(
        density.reshape(GRID, GRID), extent=(-2.6, 2.6, -2.6, 2.6), origin="lower", cmap="magma"
    )
    score = np.asarray(arrows(places, np.float32(t)))
    arrow = score / (1 + np.linalg.norm(score, axis=1, keepdims=True))
    axis.quiver(*places.T, *arrow.T, color="w", alpha=0.6, scale=22, width=0.005)
    axis.set(title=f"t = {t}", xticks=[], yticks=[])

# %% [markdown]
# Noise becomes the spiral again. Each point keeps the colour of the direction in which it started.
# The flow, below, is a map: neighbours stay neighbours, and colours stay sorted. The reverse SDE,
# above, forgets where it came from.

# %%
CUTS = (1.0, 0.45, 0.25, 0.1, 1e-3)
noise = np.asarray(vp.prior_sample(jax.random.key(6), (POINTS // 2, 2)))
colour = np.arctan2(noise[:, 1], noise[:, 0])
figure, axes = plt.subplots(2, 5, figsize=(13, 5.4), layout="constrained", sharex=True, sharey=True)
for row, method in zip(axes, (sampling.sde_dpm_solver_1, sampling.ddim), strict=True):
    carry = jax.jit(lambda key, x, times, m=method: m(key, vp, score_of(SPIRAL, vp), x, times).x)
    x = noise
    for i, axis in enumerate(row):
        axis.scatter(*x.T, c=colour, cmap="hsv", s=2, lw=0)
        axis.set(xlim=(-2.6, 2.6), ylim=(-2.6, 2.6), xticks=[], yticks=[], aspect="equal")
        axis.set_title(f"t = {CUTS[i]:g}")
        if i < 4:
            steps = np.geomspace(CUTS[i], CUTS[i + 1], STEPS // 5)
            x = np.asarray(carry(jax.random.key(i), x, steps))
axes[0, 0].set_ylabel("reverse SDE")
_ = axes[1, 0].set_ylabel("probability flow")

# %% [markdown]
# ## Samplers, by what they cost
#
# The unit of cost is an evaluation of the score: with a network nothing else counts. Two errors:
#
# - how far samples end from where the exact flow leads from the same noise; samplers that draw
#   noise on the way have no such place to be;
# - how far their law is from the data's: the distance between sorted values, averaged over
#   directions (sliced Wasserstein), against fresh draws. It has a floor, the dashed line, which is
#   the distance between two sets of exact draws.

# %%
T_MIN = 1e-2
KEY, SHAPE = jax.random.key(7), (POINTS, 2)
score_fn = score_of(SPIRAL, vp)
grid = partial(sampling.grid_sample, grid=sampling.edm_grid, t_min=T_MIN)
FLOW = {
    "ddim": sampling.ddim,
    "heun": sampling.heun,
    "dpm_solver_2m": sampling.dpm_solver_2m,
    "dpm_solver_3m": sampling.dpm_solver_3m,
    "unipc": partial(sampling.unipc, order=2),
}
NOISY = {"sde_dpm_solver_2m": sampling.sde_dpm_solver_2m}
solve = partial(sampling.ode_sample, KEY, vp, score_fn, SHAPE, t_min=T_MIN)
exact = np.asarray(jax.jit(partial(solve, rtol=1e-5, atol=1e-5))().x)


def by_method(method, n):
    """A method on a grid, with about n evaluations."""
    steps = n // 2 if method is sampling.heun else n
    return partial(grid, method=method, steps=steps, denoise=False)


def by_predictor(n):
    """Predictor and corrector as in 2021, here without a corrector."""
    predictor = partial(sampling.euler_maruyama, n=n)
    return partial(sampling.pc_sample, predictor=predictor, steps=n, t_min=T_MIN, denoise=False)


CHOICES = {name: partial(by_method, method) for name, method in (FLOW | NOISY).items()}
CHOICES["euler_maruyama"] = by_predictor
rows = []
for name, choose in CHOICES.items():
    for n in BUDGETS:
        found = jax.jit(partial(choose(n), KEY, vp, score_fn, SHAPE))()
        rows.append((name, int(found.nfe.mean()), np.asarray(found.x)))
for tolerance in (1e-2,) if SMALL else (1e-1, 1e-2, 1e-3, 1e-4):
    found = jax.jit(partial(solve, rtol=tolerance, atol=tolerance))()
    rows.append(("ode (rk45)", int(found.nfe.mean()), np.asarray(found.x)))


# %%
@jax.jit
def distance(a, b):
    """Sliced Wasserstein distance of two sets of points of one size."""
    angle = jnp.linspace(0, jnp.pi, 32, endpoint=False)
    across = jnp.stack([jnp.cos(angle), jnp.sin(angle)])
    return jnp.mean(jnp.abs(jnp.sort(a @ across, axis=0) - jnp.sort(b @ across, axis=0)))


@jax.jit
def noised(key):
    """Draws from p at T_MIN, where samplers end."""
    data_key, noise_key = jax.random.split(key)
    mean, std = vp.marginal(draw(SPIRAL, data_key, POINTS), jnp.full(POINTS, T_MIN))
    return mean + std[:, None] * jax.random.normal(noise_key, mean.shape)


real, other = noised(jax.random.key(8)), noised(jax.random.key(9))
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
for i, name in enumerate(dict.fromkeys(row[0] for row in rows)):
    mine = [(nfe, x) for label, nfe, x in rows if label == name]
    nfe = [n for n, _ in mine]
    style = {"marker": "osD^v<>P"[i], "color": f"C{i}", "ms": 4, "lw": 1, "label": name}
    if name not in (*NOISY, "euler_maruyama"):
        left.plot(nfe, [np.sqrt(np.mean((x - exact) ** 2)) for _, x in mine], **style)
    right.plot(nfe, [float(distance(x, real)) for _, x in mine], **style)
right.axhline(float(distance(other, real)), color="gray", ls="--", lw=1)
left.set(title="rms distance to the exact flow", xlabel="evaluations", xscale="log", yscale="log")
right.set(title="distance to the data", xlabel="evaluations", xscale="log", yscale="log")
_ = right.legend(fontsize=8, frameon=False)

# %% [markdown]
# What to take away, and `docs/samplers.md` finds the same with a network:
#
# - solvers of higher order follow the flow far more closely once they have a few dozen evaluations;
# - for the law of the samples that stops mattering early: all end on the floor;
# - plain Euler-Maruyama, the sampler of 2021, needs several times as many evaluations to get there.

# %% [markdown]
# ## The flow knows densities
#
# Along the flow the log-density changes by the divergence of the drift. Integrated from data to
# noise that gives $\log p(x)$, here with the exact trace. The line is the formula.

# %%
x = jnp.linspace(-1.6, 1.6, 12 if SMALL else 60)[:, None]
keys = jax.random.split(jax.random.key(0), len(x))
options = {"t_min": 1e-3, "rtol": 1e-4, "atol": 1e-4, "probes": 0}
found = jax.jit(lambda: log_likelihood(keys, vp, score_of(LINE, vp), x, **options))()
truth = log_density(LINE, vp, x, jnp.full(len(x), 1e-3))
figure, axes = plt.subplots(figsize=(6, 2.8), layout="constrained")
axes.plot(x[:, 0], np.exp(truth), color="#bbbbbb", lw=4, label="closed form")
axes.plot(x[:, 0], np.exp(found.logp), ".", color="#cc3311", ms=4, label="by the flow")
axes.set(xlabel="x", ylabel="density")
axes.legend(frameon=False)
print(f"largest error of log p: {np.abs(found.logp - truth).max():.1e}")

# %% [markdown]
# Back to [the tour](1_quick_tour.ipynb), on to
# [inverse problems and guidance](3_inverse_problems_and_guidance.ipynb).
