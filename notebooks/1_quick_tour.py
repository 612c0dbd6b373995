# %% [markdown]
# # A quick tour
#
# [![Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/scoresde-jax/scoresde_jax/blob/main/notebooks/1_quick_tour.ipynb)
#
# Add a little noise to a picture, and a little more, until nothing but noise is left. Learn to
# take one such step back, and noise becomes pictures. That is all of score-based generative
# modelling; this notebook trains a model, draws from it, asks it how likely an image is, and walks
# from one image to another.

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
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

import scoresde_jax
from scoresde_jax import (
    bits_per_dim,
    build,
    data,
    decode,
    evaluation,
    log_likelihood,
    sampling,
    training,
)

SMALL = os.environ.get("SCORESDE_NOTEBOOK_BUDGET") == "small"  # every cell, on less: for tests
STEPS, IMAGES, COLUMNS, TOLERANCE = (4, 4, 3, 0.3) if SMALL else (100, 32, 11, 3e-3)


def picture(pixels, columns):
    """Images (N, H, W, C) side by side, a row at a time."""
    return Image.fromarray(evaluation.image_grid(np.asarray(pixels), columns=columns))


# %% [markdown]
# ## The data
#
# Handwritten digits of 8 x 8 pixels with 17 levels of grey. They come with scikit-learn, so nothing
# is downloaded, and they are small enough for a CPU.

# %%
train, test = data.load("digits", "train"), data.load("digits", "test")
picture(train.images[:64] * 15, columns=16)

# %% [markdown]
# ## A model
#
# `pretrained/digits.safetensors` is a network of 750,145 parameters, 1.5 MB. The file says what it
# was trained with, so one line is enough. `experiment` is everything but the parameters: the SDE,
# the network, how images are scaled.

# %%
ROOT = Path(scoresde_jax.__file__).parents[1]
config, experiment, params = build.pretrained(ROOT / "pretrained" / "digits.safetensors")
sde, image_shape = experiment.sde, experiment.image_shape
scale, pixels = jax.jit(experiment.scale_eval), jax.jit(experiment.to_pixels)
print(sde)

# %% [markdown]
# ## Forwards: from a digit to noise
#
# An SDE adds noise as time goes from 0 to 1. We need not simulate it: given the digit, what it has
# become at time $t$ is Gaussian, and `marginal` knows its mean and standard deviation.


# %%
@jax.jit
def noisy(key, x0, t):
    """Draws x_t of each x_0 (B, H, W, C) at its own t (B,)."""
    mean, std = sde.marginal(x0, t)
    return mean + std[:, None, None, None] * jax.random.normal(key, x0.shape)


keys = jax.random.split(jax.random.key(0), 48)
digits = np.repeat(train.images[:4], 12, axis=0)
times = np.tile(np.linspace(0, 1, 12, dtype=np.float32), 4)
picture(pixels(noisy(jax.random.key(1), scale(keys, digits), times)), columns=12)

# %% [markdown]
# ## Training
#
# Going back needs the *score*, the gradient of $\log p_t(x)$. A network learns it by guessing the
# noise in noisy digits. Here is a training run in full, cut short: the model above had 3,800 steps.

# %%
short = build.resolve(config)  # a copy
short.training.steps, short.optimizer.warmup_steps = STEPS, STEPS // 10
if SMALL:
    short.model.update({"features": 8, "channel_multipliers": (1,), "attention_resolutions": ()})
beginner = build.experiment(short)
_, optimizer = build.optimizer(short, "optimizer", "training")
state = jax.jit(lambda key: training.create(beginner.init_params(key), optimizer))(
    jax.random.key(0)
)


@jax.jit
def step(state, images):
    return training.train_step(
        state,
        jax.random.key(1),
        images,
        loss_fn=beginner.train_loss,
        tx=optimizer,
        ema_decay=0.98,
    )


losses, rng = [], np.random.default_rng(0)
for _ in range(STEPS):
    state, metrics = step(state, train.images[rng.integers(len(train.images), size=64)])
    losses.append(float(metrics["loss"]))

figure, axes = plt.subplots(figsize=(6, 2.5), layout="constrained")
axes.plot(losses, color="#4477aa", lw=1)
_ = axes.set(xlabel="step", ylabel="loss", yscale="log")


# %% [markdown]
# ## Backwards: from noise to digits
#
# `dpm_solver_2m` follows the probability flow from noise to data in a few evaluations of the
# network. We stop on the way to take pictures. First the beginner:

# %%
TIMES = np.asarray(sampling.edm_grid(sde, 2 * COLUMNS, t_min=1e-2))


def flow(model):
    """(params, x, times) -> x at the last of the times."""

    def carry(params, x, times):
        score_fn = model.score_fn(params)
        return sampling.dpm_solver_2m(jax.random.key(0), sde, score_fn, x, times).x

    return jax.jit(carry)


def film(carry, params, x):
    """x at every second of TIMES, (IMAGES, COLUMNS + 1, H, W, C)."""
    frames = [x]
    for i in range(COLUMNS):
        frames.append(carry(params, frames[-1], TIMES[2 * i : 2 * i + 3]))
    return np.stack(frames, axis=1)


noise = sde.prior_sample(jax.random.key(2), (IMAGES, *image_shape))
scene = film(flow(beginner), state.ema_params, noise)
picture(pixels(scene[:4].reshape(-1, *image_shape)), COLUMNS + 1)

# %% [markdown]
# And the model that was trained to the end, from the same noise:

# %%
scene = film(flow(experiment), params, noise)
picture(pixels(scene[:4].reshape(-1, *image_shape)), COLUMNS + 1)

# %% [markdown]
# All that it drew. None of these was in the data.

# %%
picture(pixels(scene[:, -1]), columns=16)

# %% [markdown]
# ## How likely is a digit?
#
# The flow is a differential equation, so it also gives a density: follow an image to its noise and
# keep account of how space is stretched on the way. In bits per pixel, less is likelier. A code
# that knows nothing about digits needs $\log_2 17 = 4.09$ bits.

# %%
keys = jax.random.split(jax.random.key(3), IMAGES)
x = scale(keys, test.images[:IMAGES])
options = {"t_min": 1e-2, "rtol": TOLERANCE, "atol": TOLERANCE}
found = jax.jit(
    lambda params, keys, x: log_likelihood(keys, sde, experiment.score_fn(params), x, **options)
)(params, keys, x)
bits = bits_per_dim(np.asarray(found.logp), 64, experiment.data_scale)
error = bits.std() / len(bits) ** 0.5
print(f"{bits.mean():.2f} +- {error:.2f} bits per pixel, {found.nfe.mean():.0f} evaluations each")

figure, axes = plt.subplots(figsize=(6, 2.5), layout="constrained")
axes.hist(bits, bins=20, color="#4477aa")
axes.axvline(bits.mean(), color="#cc3311", label="mean")
axes.set(xlabel="bits per pixel", ylabel="test images")
_ = axes.legend(frameon=False)


# %% [markdown]
# The likeliest above, the unlikeliest below. Thin upright strokes are easy; what is large, bold or
# crooked is a surprise.

# %%
order, n = np.argsort(bits), min(8, IMAGES)
picture(test.images[np.concatenate([order[:n], order[-n:]])] * 15, columns=n)

# %% [markdown]
# ## From one digit to another
#
# The same account has the noise that each image came from: `found.z`. Between the noises of two
# digits lies an arc of noises, and each is decoded to a digit.


# %%
@jax.jit
def between(params, z0, z1):
    """Images from the one to the other, (pairs x COLUMNS, H, W, C)."""
    path = sampling.spherical_interpolation(z0, z1, COLUMNS)
    path = jnp.moveaxis(path, 0, 1).reshape(-1, *image_shape)
    return decode(sde, experiment.score_fn(params), path, **options).x


z = np.asarray(found.z)
picture(pixels(between(params, z[:8:2], z[1:8:2])), columns=COLUMNS)

# %% [markdown]
# Next: [the SDE zoo and its samplers](2_sde_zoo_and_samplers.ipynb),
# [inverse problems and guidance](3_inverse_problems_and_guidance.ipynb), and
# [the demo of 2021 in new clothes](4_demo_of_2021.ipynb). The same from the command line is in the
# README.
