# %% [markdown]
# # The demo of 2021 in new clothes
#
# [![Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/scoresde-jax/scoresde_jax/blob/main/notebooks/4_demo_of_2021.ipynb)
#
# The code of *Score-Based Generative Modeling through Stochastic Differential Equations* came with
# a notebook that showed all that one network can do: sampling with predictors and correctors, the
# probability flow, likelihoods, codes, inpainting, colour, classes. Here it is again.

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
import math
import tempfile
from functools import partial
from pathlib import Path

import jax
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image, ImageDraw, ImageFont

import scoresde_jax
from scoresde_jax import (
    bits_per_dim,
    build,
    data,
    decode,
    evaluation,
    langevin,
    log_likelihood,
    pc_sample,
    reverse_diffusion,
)
from scoresde_jax.posterior import colorize, exact, inpaint
from scoresde_jax.sde import VPSDE

SMALL = os.environ.get("SCORESDE_NOTEBOOK_BUDGET") == "small"  # every cell, on less: for tests
COUNT, STEPS, TOLERANCE = (10, 2, 0.3) if SMALL else (20, 100, 3e-3)


def picture(pixels, columns):
    """Images (N, H, W, C) side by side, a row at a time."""
    return Image.fromarray(evaluation.image_grid(np.asarray(pixels), columns=columns))


# %% [markdown]
# ## A checkpoint, ours or yours
#
# The model of digits says what it was trained with. A checkpoint of the JAX code of 2021, or a
# `.pth` of its PyTorch port, does not; name its config too, and the rest of this notebook goes on
# with it, and with the test images of its data set (`python -m scoresde_jax.data.prepare cifar10`
# makes CIFAR-10 ready). A large network wants an accelerator, and more `STEPS`:
#
# ```python
# sys.path.insert(0, str(ROOT))
# from configs.ve.cifar10 import get_config
#
# config, experiment, params = build.pretrained("checkpoint_24", get_config("ncsnpp_continuous"))
# ```

# %%
ROOT = Path(scoresde_jax.__file__).parents[1]
config, experiment, params = build.pretrained(ROOT / "pretrained" / "digits.safetensors")
sde, image_shape = experiment.sde, experiment.image_shape
shape, levels = (COUNT, *image_shape), config.data.levels
scale, pixels = jax.jit(experiment.scale_eval), jax.jit(experiment.to_pixels)
print(f"{sde}, {sum(leaf.size for leaf in jax.tree.leaves(params)):,} parameters")

# %% [markdown]
# ## PC sampling
#
# A *predictor* takes a step of the reverse SDE; a *corrector*, here Langevin dynamics, pulls the
# result back to where the density of that moment has its mass. Both are plain functions. `labels`
# are classes; the number after the last class stands for all of them. `known` and `mask` are for
# later, so that one program does for all three: here nothing is known.

# %%
SNR, T_MIN = config.sampling.pc.snr, config.sampling.pc.t_min
moves = {
    "predictor": partial(reverse_diffusion, n=STEPS),
    "corrector": partial(langevin, snr=SNR, alpha=partial(sde.chain_alpha, n=STEPS)),
    "steps": STEPS,
    "t_min": T_MIN,
}
classes = experiment.classes  # 0 of a network that was told of none
ANY = np.full(COUNT, classes) if classes else None


NOTHING = np.zeros(shape, np.float32), np.zeros(image_shape, bool)  # known pixels, which they are


@jax.jit
def sample(params, key, labels, known, mask):
    return pc_sample(
        key,
        sde,
        experiment.score_fn(params, labels=labels),
        shape,
        constrain=partial(inpaint, known=known, mask=mask),
        **moves,
    )


drawn = sample(params, jax.random.key(0), ANY, *NOTHING)
print(f"{drawn.nfe[0]} evaluations of the network for each image")
picture(pixels(drawn.x), columns=20)

# %% [markdown]
# ## Classes
#
# In 2021 a class was the business of a second network, a classifier of noisy images. That is still
# there (`docs/guidance.md`); this network was simply told of classes while it learnt.

# %%
each = np.arange(COUNT) % classes if classes else None
drawn = sample(params, jax.random.key(1), each, *NOTHING)
picture(pixels(drawn.x), columns=10)

# %% [markdown]
# ## ODE sampling
#
# The probability flow, solved with steps as long as a tolerance allows, each image with its own.

# %%
options = {"t_min": T_MIN, "rtol": TOLERANCE, "atol": TOLERANCE}


@jax.jit
def decoded(params, z):
    return decode(sde, experiment.score_fn(params), z, **options)


noise = sde.prior_sample(jax.random.key(2), shape)
drawn = decoded(params, noise)
print(f"{drawn.nfe.min()} to {drawn.nfe.max()} evaluations")
picture(pixels(drawn.x), columns=20)

# %% [markdown]
# Less noise to start from, likelier digits: the same draws at temperature 0.7.

# %%
picture(pixels(decoded(params, 0.7 * noise).x), columns=20)

# %% [markdown]
# ## Likelihood
#
# From data to noise the flow gives an image its code, and with an account of how it stretches space
# its density. The account costs a random probe, which makes it an estimate without bias; and each
# image has steps of its own length.


# %%
@jax.jit
def scored(params, keys, x):
    return log_likelihood(keys, sde, experiment.score_fn(params), x, **options)


test = build.dataset(config, "test")
keys = jax.random.split(jax.random.key(3), COUNT)
x = np.asarray(scale(keys, test.images[:COUNT]))
found = jax.device_get(scored(params, keys, x))
dims, most = math.prod(image_shape), math.log2(levels)
bits = bits_per_dim(found.logp, dims, experiment.data_scale)
print(f"{bits.mean():.2f} +- {bits.std() / COUNT**0.5:.2f} bits/dim; {most:.2f} knows nothing")

# %% [markdown]
# ## Encode and decode
#
# `found.z` are the codes (`encode` computes them alone). Test images above, then their codes, and
# below what becomes of the codes: the images again.

# %%
z, back = found.z, np.asarray(decoded(params, found.z).x)
print(f"root mean square of the difference: {np.sqrt(np.mean((back - x) ** 2)):.4f}")
n = min(20, COUNT)
picture(pixels(np.concatenate([x[:n], z[:n] / np.std(z) / 2, back[:n]])), columns=n)

# %% [markdown]
# ## Inpainting
#
# The idea of 2021: after every move of the sampler, replace what is known of the image by data
# with noise of the right size. The last step is denoised now, which it was not. Left the image,
# then what is known, then draws.

# %%
mask = np.zeros(image_shape, bool)
mask[: 5 * len(mask) // 8] = True  # known: the upper rows
rows, draws = COUNT // 5, 5
known = np.repeat(x[:rows], draws, axis=0)
filled = np.asarray(sample(params, jax.random.key(4), ANY, known, mask).x)
filled = filled.reshape(rows, draws, *image_shape)
parts = [x[:rows, None], np.where(mask, x[:rows], 0.0)[:, None], filled]
shown = np.concatenate(parts, axis=1)
picture(pixels(shown.reshape(-1, *image_shape)), columns=draws + 2)

# %% [markdown]
# Replacement is simple and only nearly right; [the notebook on inverse
# problems](3_inverse_problems_and_guidance.ipynb) has solvers that are better.

# %% [markdown]
# ## Colour
#
# A grey picture is one coordinate of three for every pixel: turn the axes so that one is grey,
# hold that, and let the sampler choose the other two. That is `colorize`, and it takes any score.
# A model of colour images is too large for this repository, but not for your machine:
#
# ```sh
# python main.py --config configs/subvp/emoji.py --mode train
# ```
#
# and `experiment.score_fn(params)` goes where `score_fn` stands below. Until then, here is the
# smallest colour model there is: a Gaussian with the mean and the covariance of 3,410 emoji. It has
# never seen a shape, only which colours go together, and its score is exact.

# %%
emoji = data.load("emoji", "train").images
side = 8 if SMALL else 16
emoji = emoji.reshape(len(emoji), side, 32 // side, side, 32 // side, 3).mean(axis=(2, 4))
flat = emoji.reshape(len(emoji), -1) / 127.5 - 1
variance, axes = np.linalg.eigh(np.cov(flat.T))
gaussian = exact.Mixture(
    weight=np.ones(1),
    mean=flat.mean(axis=0)[None],
    std=np.sqrt(np.maximum(variance, 1e-4))[None],
    basis=axes[None],
)
vp = VPSDE()
score_fn = partial(gaussian.score, vp)

held_out = data.load("emoji", "test").images[:: 342 // 12][:12]
held_out = held_out.reshape(12, side, 32 // side, side, 32 // side, 3).mean(axis=(2, 4))
colour = (held_out / 127.5 - 1).astype(np.float32)
gray = np.broadcast_to(colour.mean(axis=-1, keepdims=True), colour.shape)
n = 40 if SMALL else 200


@jax.jit
def coloured(key, gray):
    return pc_sample(
        key,
        vp,
        score_fn,
        gray.shape,
        predictor=partial(reverse_diffusion, n=n),
        corrector=partial(langevin, snr=SNR, alpha=partial(vp.chain_alpha, n=n)),
        constrain=partial(colorize, gray=gray),
        steps=n,
        t_min=1e-3,
    ).x


rows = [gray, *(coloured(jax.random.key(i), gray) for i in range(3)), colour]
shown = np.clip(np.concatenate(rows) * 127.5 + 127.5, 0, 255).astype(np.uint8)
picture(shown, columns=12)

# %% [markdown]
# From above: grey, three draws, the truth. Grey values are kept to the letter; colours are
# guesses, and for a Gaussian good guesses are warm.

# %% [markdown]
# ## Your own images
#
# Name a folder of pictures: they are cut to squares and made as small as the model wants them. So
# that there is something to see without one, the folder below is made on the spot, of digits in
# print.

# %%
FOLDER = ""  # your own

with tempfile.TemporaryDirectory() as scratch:
    if not FOLDER:
        for digit in range(10):
            image = Image.new("L", (80, 80))
            font = ImageFont.load_default(size=84)
            ImageDraw.Draw(image).text((40, 40), str(digit), 255, font, anchor="mm")
            image.save(Path(scratch) / f"{digit}.png")
    size, _, channels = image_shape
    mine = data.load(
        "folder",
        "train",
        path=FOLDER or scratch,
        image_size=size,
        channels=channels,
        test_fraction=0,
    ).images[:COUNT]
    mine = np.asarray(mine)
picture(mine, columns=10)

# %% [markdown]
# How likely does a model of handwriting find them, beside the test images from above? And what
# does it make of them with the lower part hidden?

# %%
of_levels = np.round(mine / 255 * (levels - 1)).astype(np.uint8)
many = np.resize(of_levels, (COUNT, *image_shape))  # as many as the programs take
own = np.asarray(scale(keys, many))
own_bits = bits_per_dim(
    np.asarray(scored(params, keys, own).logp)[: len(mine)], dims, experiment.data_scale
)
figure, axis = plt.subplots(figsize=(6, 2.5), layout="constrained")
axis.hist(bits, bins=12, color="#4477aa", label="test images")
axis.hist(own_bits, bins=8, color="#cc3311", alpha=0.7, label="your own")
axis.set(xlabel="bits/dim", ylabel="images")
_ = axis.legend(frameon=False)

# %%
n = min(10, len(mine))
hidden = np.where(mask, own, 0.0)
filled = sample(params, jax.random.key(5), ANY, own, mask).x
picture(pixels(np.concatenate([own[:n], hidden[:n], filled[:n]])), columns=n)

# %% [markdown]
# To train on them instead: `python main.py --config configs/subvp/folder.py
# --config.data.path=FOLDER`.
