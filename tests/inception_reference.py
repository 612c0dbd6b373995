"""Makes tests/models/inception.npz: activations of FID's network by torch-fidelity.

    python3 -m venv V && V/bin/pip install torch==2.13.0
    V/bin/pip install --no-deps torch-fidelity==0.4.0
    V/bin/python tests/inception_reference.py    (not -m: torch-fidelity brings tests of its own)

Run by hand; needs neither jax nor this project's install. Weights and images are drawn by numpy as
below, here and in the tests, so neither is kept. torch-fidelity loads the weights under the names
of the file that everyone uses, and resizes and scales by itself.
"""

import importlib.machinery
import importlib.util
import pathlib
import sys
import types
import zlib
from unittest import mock

import numpy as np

PATH = pathlib.Path(__file__).parent / "models" / "inception.npz"

# (height, width): CIFAR's, of another ratio, and one that is made smaller.
IMAGES = ((32, 32), (64, 100), (420, 350))
STRIDE = 23  # every 23rd pixel of the resized images is kept

# Ranges of what is uniform. Variances are small, as some real ones are, so that 1e-3 matters.
# Biases are negative, for otherwise all images become alike on their way through 94 layers.
RANGES = {
    "bn.weight": (0.5, 1.5),
    "bn.bias": (-0.7, 0.0),
    "bn.running_mean": (-0.05, 0.05),
    "bn.running_var": (0.02, 0.1),
    "fc.bias": (-0.5, 0.5),
}


def random_tensor(name, shape):
    """The tensor of that name; kernels are such that activations stay of order 1."""
    # Its stream is the same in every version of numpy, which a Generator's need not be.
    random = np.random.RandomState(zlib.crc32(name.encode()))
    for ending, (low, high) in RANGES.items():
        if name.endswith(ending):
            return random.uniform(low, high, shape).astype(np.float32)
    variance = 0.12 if name.endswith("conv.weight") else 2.0  # found by trying
    bound = np.sqrt(3 * variance / np.prod(shape[1:]))
    return random.uniform(-bound, bound, shape).astype(np.float32)


def random_image(height, width):
    """(height, width, 3) uint8: a mosaic with noise on it, in whole numbers."""
    random = np.random.RandomState(height * width)
    coarse = random.randint(0, 256, (7, 5, 3))
    rows, columns = np.arange(height) * 7 // height, np.arange(width) * 5 // width
    noise = random.randint(-40, 41, (height, width, 3))
    return np.clip(coarse[rows][:, columns] + noise, 0, 255).astype(np.uint8)


def main():
    torch, module = imported()
    net = built(module)
    net.load_state_dict(
        {
            name: torch.from_numpy(random_tensor(name, tuple(tensor.shape)))
            if tensor.is_floating_point()
            else tensor  # num_batches_tracked
            for name, tensor in net.state_dict().items()
        }
    )
    found = activations(torch, module, net)
    np.savez_compressed(PATH, **found)
    print(f"{PATH}: {PATH.stat().st_size} bytes, torch {torch.__version__}")
    net.to(torch.float64)
    net.feature_extractor_internal_dtype = torch.float64  # to its constructor, that is float32
    for name, double in activations(torch, module, net).items():
        values, spread = found[name], (double - double.mean(0)).std()
        print(
            f"{name} {values.shape}: mean {values.mean():.3g}, std {values.std():.3g}, between "
            f"images {spread:.3g}; rounding {np.abs(values - double).max():.2g}"
        )


def imported():
    """torch, and one module of torch-fidelity; the whole package would want torchvision."""
    import torch  # not in the project's install

    spec = importlib.machinery.PathFinder.find_spec("torch_fidelity")
    package = types.ModuleType("torch_fidelity")
    package.__path__ = list(spec.submodule_search_locations)
    sys.modules["torch_fidelity"] = package
    return torch, importlib.import_module("torch_fidelity.feature_extractor_inceptionv3")


def built(module):
    """The network without weights; its constructor would fetch them."""
    net_class = module.FeatureExtractorInceptionV3
    with (
        mock.patch.object(module, "load_state_dict_from_url", lambda *_, **__: None),
        mock.patch.object(net_class, "load_state_dict", lambda *_: None),
    ):
        return net_class("fid", ["2048", "logits"])


def activations(torch, module, net):
    """What becomes of each image, stacked."""
    found = [activation(torch, module, net, random_image(*size)) for size in IMAGES]
    return {name: np.stack([each[name] for each in found]) for name in found[0]}


def activation(torch, module, net, image):
    x = torch.from_numpy(image.transpose(2, 0, 1)[None].copy())
    pool, logits = net(x)
    resize = module.interpolate_bilinear_2d_like_tensorflow1x
    resized = resize(x.to(torch.float32), size=(299, 299), align_corners=False)
    return {
        "resized": resized[0, :, ::STRIDE, ::STRIDE].permute(1, 2, 0).numpy(),
        "pool": pool[0].numpy(),
        "logits": logits[0].numpy(),
    }


if __name__ == "__main__":
    main()
