# %% [markdown]
# # Inverse problems and guidance
#
# [![Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/scoresde-jax/scoresde_jax/blob/main/notebooks/3_inverse_problems_and_guidance.ipynb)
#
# The middle of a picture is missing, or it is small, or blurred: what was there? A score model
# answers with draws from the posterior, and needs no training for the question. Everything here is
# a plug on one function, `score_fn(x, t)`.

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
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image
from sklearn.svm import SVC

import scoresde_jax
from scoresde_jax import build, data, evaluation, guidance, posterior, sampling
from scoresde_jax.posterior import baselines, ladder, operators

SMALL = os.environ.get("SCORESDE_NOTEBOOK_BUDGET") == "small"  # every cell, on less: for tests
IMAGES, DRAWS, STEPS, EACH = (1, 10, 2, 1) if SMALL else (6, 4, 30, 8)

ROOT = Path(scoresde_jax.__file__).parents[1]
config, experiment, params = build.pretrained(ROOT / "pretrained" / "digits.safetensors")
sde, image_shape = experiment.sde, experiment.image_shape
train, test = data.load("digits", "train"), data.load("digits", "test")

# %% [markdown]
# ## One network, told of the class or not
#
# This network was trained with the class of each digit, left out one time in ten, so it has eleven
# scores: one for each class, and number 10 for all digits together. `bounded_score` keeps the digit
# that it expects within black and white; solvers of inverse problems want that.

# %%
ANY = experiment.classes  # no class in particular


def score_of(params, labels):
    """The score of digits of these classes, (B,)."""
    score_fn = experiment.score_fn(params, labels=labels)
    return partial(posterior.bounded_score, sde, score_fn, low=-1.0, high=1.0)


to_pixels = jax.jit(experiment.to_pixels)


def pixels(x):
    """The network's scale to 0 .. 255."""
    return np.asarray(to_pixels(x))


def gallery(columns, title):
    """Images in columns (N, H, W, 1), each with its name above."""
    rows, across = np.stack([*columns.values()], axis=1).astype(np.uint8), len(columns)
    grid = evaluation.image_grid(rows.reshape(-1, *image_shape), columns=across)
    size = (0.8 * across, 0.8 * len(rows) + 0.7)
    figure, axis = plt.subplots(figsize=size, layout="constrained")
    axis.imshow(grid)
    axis.set_xticks((np.arange(across) + 0.5) * grid.shape[1] / across, [*columns], fontsize=8)
    axis.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False, length=0)
    axis.set(yticks=[], title=title, frame_on=False)


# %% [markdown]
# ## A measurement
#
# $y = A x + \text{noise}$. An operator is a small object with `forward` and `adjoint`; whatever
# you can write so is a problem to solve. A few test digits, as a box hides their middle, as a
# quarter of their pixels, and out of focus:

# %%
truth = build.from_unit(experiment, config, jnp.asarray(test.images[:IMAGES] / 16))
PROBLEMS = {
    "no middle": operators.box_mask(image_shape, top=2, left=2, height=4, width=4),
    "4 x 4": operators.average(image_shape, 2),
    "blur": operators.gaussian_blur(image_shape, 1.0),
}
NOISE = {"blur": 0.05}
measured = {
    name: posterior.degrade(jax.random.key(0), operator, truth, NOISE.get(name, 0.0))
    for name, operator in PROBLEMS.items()
}
shown = {"truth": pixels(truth)}
for name, y in measured.items():
    shown[name] = pixels(baselines.picture_of(PROBLEMS[name], y, image_shape))
gallery(shown, "what is measured")

# %% [markdown]
# ## Super-resolution without a gradient: DDRM
#
# DDRM works in the coordinates in which $A$ is diagonal, pulls those that were measured to what
# they are, and lets the network choose the rest. Four draws for each digit.


# %%
def several(rows):
    """Each row DRAWS times, one after the other."""
    return jnp.repeat(rows, DRAWS, axis=0)


def restored(name, draws):
    """Shows draws (IMAGES x DRAWS, H, W, C) beside truth and measurement, and says how near."""
    draws = np.asarray(draws).reshape(IMAGES, DRAWS, *image_shape)
    picture = baselines.picture_of(PROBLEMS[name], measured[name], image_shape)
    columns = {"measured": pixels(picture)}
    columns |= {f"draw {i + 1}": pixels(draws[:, i]) for i in range(4)}
    spread = draws.std(axis=1)
    columns["mean"] = pixels(draws.mean(axis=1))
    columns["spread"] = 255 * spread / max(spread.max(), 1e-6)
    columns["truth"] = pixels(truth)
    gallery(columns, name)
    unit = {"one draw": draws[:, 0], "mean of draws": draws.mean(axis=1), "measured": picture}
    real = np.asarray(build.to_unit(config, truth))
    for label, x in unit.items():
        found = np.clip(np.asarray(build.to_unit(config, x)), 0, 1)
        print(f"{label:14} PSNR {evaluation.psnr(found, real).mean():.1f} dB")


@partial(jax.jit, static_argnames="count")
def ddrm(params, key, y, count):
    labels = np.full(count, ANY)
    solve = partial(posterior.ddrm_sample, noise_std=0.0, steps=STEPS, t_min=1e-2)
    score_fn = score_of(params, labels)
    return solve(key, sde, score_fn, PROBLEMS["4 x 4"], y, (count, *image_shape)).x


y = several(measured["4 x 4"])
restored("4 x 4", ddrm(params, jax.random.key(1), y, len(y)))

# %% [markdown]
# ## Any linear operator: PiGDM
#
# PiGDM adds to the score a gradient, that of the likelihood of $y$ given the digit that the
# network expects. It is the default of `--mode restore`, and in the tables of
# `docs/inverse_problems.md` the most accurate for its price. The loop is written out, for on a CPU
# a gradient is quick outside of a compiled loop only; elsewhere `posterior.pigdm_sample` is one
# call.

# %%
ROWS = jax.device_get(jax.jit(lambda: ladder.rows(sde, sampling.log_snr_grid, STEPS, 1e-2))())


def pigdm(operator, noise_std):
    """(params, key, y, labels) -> a draw for each row of y."""

    @jax.jit
    def step(params, key, y, labels, x, row):
        move = partial(posterior.pigdm_step, noise_std=noise_std, prior_std=0.5)
        return move(key, sde, score_of(params, labels), operator, y, x, row)

    def solve(params, key, y, labels):
        x = sde.prior_sample(jax.random.fold_in(key, 0), (len(y), *image_shape))
        for i in range(STEPS + 1):
            row = jax.tree.map(lambda leaf, i=i: leaf[i], ROWS)
            x = step(params, jax.random.fold_in(key, 1), y, labels, x, row)
        return x

    return solve


sharpen = pigdm(PROBLEMS["blur"], NOISE["blur"])
y = several(measured["blur"])
restored("blur", sharpen(params, jax.random.key(2), y, np.full(len(y), ANY)))

# %% [markdown]
# The mean of draws is nearer to the truth than any draw, and looks like none: it is blurred where
# the draws differ. A draw is what a digit looks like.
#
# ## A hole in the middle

# %%
fill = pigdm(PROBLEMS["no middle"], 0.0)
y = several(measured["no middle"])
restored("no middle", fill(params, jax.random.key(3), y, np.full(len(y), ANY)))

# %% [markdown]
# ## What may it have been?
#
# The answer to an inverse problem is not a picture but a law. Here is one digit without its
# middle, and as many draws as there were in the gallery above. A classifier that has seen real
# digits only says what it takes them for.

# %%
judge = SVC(gamma=0.001).fit(train.images.reshape(len(train.images), -1), train.labels)


def read(x):
    """What the judge takes digits for, (B,)."""
    return judge.predict(np.round(pixels(x) / 255 * 16).reshape(len(x), -1))


known = judge.predict(test.images.reshape(len(test.images), -1)) == test.labels
print(f"right on {known.mean():.1%} of test digits")
ONE = IMAGES // 2  # which digit
one = jnp.repeat(measured["no middle"][ONE : ONE + 1], IMAGES * DRAWS, axis=0)
guesses = fill(params, jax.random.key(4), one, np.full(len(one), ANY))

figure, (left, right) = plt.subplots(
    1, 2, figsize=(9, 2.8), width_ratios=(2, 1), layout="constrained"
)
left.imshow(evaluation.image_grid(pixels(guesses), columns=10 if SMALL else 8))
left.set(title="draws", xticks=[], yticks=[])
right.bar(range(10), np.bincount(read(guesses), minlength=10), color="#4477aa")
_ = right.set(title=f"taken for (it was a {test.labels[ONE]})", xticks=range(10))

# %% [markdown]
# ## And if it was a three?
#
# Knowing the class as well is another plug on the same score: hand the solver the score of that
# class. The same measurement, ten answers; each tries to explain it as the digit it was told of.

# %%
told = np.arange(len(one)) % 10
answers = np.asarray(fill(params, jax.random.key(5), one, told))
known = pixels(baselines.picture_of(PROBLEMS["no middle"], one[:1], image_shape))
shown = {"measured": known} | {str(c): pixels(answers[c : c + 1]) for c in range(10)}
gallery(shown, "explained as")

# %% [markdown]
# ## Guidance
#
# Without a measurement, the score of a class draws digits of that class. Classifier-free guidance
# goes further: $s_u + w (s_c - s_u)$, from the score of all digits past that of the class. $w = 1$
# is the class itself. More of it makes digits plainer, and more alike; much of that is done while
# the noise still hides everything, so here it guides in an interval of times only. Each column is
# a class, each pair of rows a $w$.

# %%
SCALES, INTERVAL = (1.0, 2.0, 4.0), (0.1, 0.6)


@jax.jit
def guided(params, key, labels, scale):
    """Draws digits of these classes."""
    conditional = experiment.score_fn(params, labels=labels)
    unconditional = experiment.score_fn(params)
    score_fn = guidance.classifier_free(unconditional, conditional, scale=scale)
    return sampling.grid_sample(
        key,
        sde,
        guidance.within(INTERVAL, score_fn, conditional),
        (len(labels), *image_shape),
        method=sampling.sde_dpm_solver_2m,
        grid=sampling.edm_grid,
        steps=min(STEPS, 30),
        t_min=1e-2,
    ).x


labels = np.arange(10 * EACH) % 10
drawn = [np.asarray(guided(params, jax.random.key(6), labels, w)) for w in SCALES]
for w, x in zip(SCALES, drawn, strict=True):
    spread = x.reshape(EACH, 10, -1).std(axis=0).mean()
    right = np.mean(read(x) == labels)
    print(f"w = {w:g}: {right:.0%} read as they were meant, spread within a class {spread:.2f}")
Image.fromarray(evaluation.image_grid(pixels(np.concatenate([x[:20] for x in drawn])), columns=10))

# %% [markdown]
# From the command line the same is `--mode restore --config.posterior.operator=...` and
# `--mode sample --config.sampling.guidance.method=classifier_free`: `docs/inverse_problems.md` and
# `docs/guidance.md`. Next: [the demo of 2021](4_demo_of_2021.ipynb).
