"""What configs share: the sections, each with its defaults.

A config is a ConfigDict of sections; each section is the keyword arguments of one function or
class, named by its `name` (tables in scoresde_jax/build/). Any value can be set on the command
line: `--config.optimizer.learning_rate=1e-3`. A value of None is decided when the run starts.

`published.py` makes the configs of the papers of these sections, `small.py` those of the data sets
that come with the package; the files by SDE and data set list the variants.
"""

from collections.abc import Callable, Mapping

from ml_collections import ConfigDict, config_dict

from configs.inverse import posterior

# Smallest time of sampling, as in 2021; training and likelihood start at 1e-5 everywhere.
SAMPLING_T_MIN = {"ve": 1e-5, "vp": 1e-3, "subvp": 1e-3, "linear_ve": 1e-3}


def pick(variants: Mapping[str, Callable[[], ConfigDict]], name: str | None) -> ConfigDict:
    """Makes the named variant of a config file, "default" if none is named."""
    name = name or "default"
    if name not in variants:
        raise ValueError(f"this config has no variant {name!r}; known: {', '.join(variants)}.")
    return variants[name]()


def base(sde: str) -> ConfigDict:
    """All sections but data and model, with the settings of the 2021 code for CIFAR-10."""
    config = ConfigDict()
    config.sde = SDES[sde]()
    row = "ve_continuous" if sde == "ve" else "vp_continuous"
    config.parameterization = ConfigDict({"name": row})
    config.loss = ConfigDict(
        {
            "name": "dsm",
            "t_min": 1e-5,
            "times": "uniform",
            "weighting": "variance",
            "reduction": "half_sum" if sde == "ve" else "mean",
        }
    )
    config.optimizer = optimizer()
    config.training = training(ema_decay=0.999 if sde == "ve" else 0.9999)
    config.sampling = sampling(sde)
    config.likelihood = likelihood()
    config.sweep = sweep()
    config.eval = evaluation()
    config.classifier = classifier()
    config.posterior = posterior()
    config.export = export()
    for name, section in (dequantizer() | guide()).items():
        config[name] = section
    return config


SDES = {
    "vp": lambda: ConfigDict({"name": "vp", "beta_min": 0.1, "beta_max": 20.0}),
    "subvp": lambda: ConfigDict({"name": "subvp", "beta_min": 0.1, "beta_max": 20.0}),
    "ve": lambda: ConfigDict({"name": "ve", "sigma_min": 0.01, "sigma_max": 50.0}),
    "linear_ve": lambda: ConfigDict({"name": "linear_ve", "sigma_max": 50.0}),
}


def optimizer() -> ConfigDict:
    """Adam as in 2021."""
    section = {
        "learning_rate": 2e-4,
        "schedule": "constant",
        "warmup_steps": 5000,
        "b1": 0.9,
        "b2": 0.999,
        "adam_eps": 1e-8,
        "weight_decay": 0.0,
        "clip_norm": 1.0,
    }
    return ConfigDict(section)


def training(*, ema_decay: float) -> ConfigDict:
    """Lengths and intervals of a training run, in steps."""
    section = {
        "batch_size": 128,
        "microbatches": 1,  # parts that a batch is computed in, one after the other
        "steps": 1_300_001,
        "ema_decay": ema_decay,
        "n_jitted_steps": config_dict.placeholder(int),  # None: 1 on CPUs, 5 elsewhere
        "seed": 42,
        "log_every": 50,
        "eval_every": 100,
        "checkpoint_every": 10_000,
        "snapshot_every": 50_000,
        "snapshot_images": 64,
        "keep_checkpoints": 3,
    }
    return ConfigDict(section)


def sampling(sde: str) -> ConfigDict:
    """The sampler: "pc" or "ode" as in 2021, "grid" with few evaluations, or "adaptive"."""
    section = {
        "method": "pc",
        "latents": "prior",  # or of test images, by the ODE: "interpolation", "reconstruction"
        "batch_size": 64,
        "seed": 0,
        "guidance": {
            "method": "none",  # or "classifier", "classifier_free", "auto"
            "scale": 1.0,
            "interval": (0.0, 1.0),  # of times; beyond them the method changes nothing
            "image_class": config_dict.placeholder(int),  # None: every class in turn
            "weaker": config_dict.placeholder(str),  # of "auto": the workdir of the weaker model
        },
        "pc": {
            "predictor": "reverse_diffusion" if sde == "ve" else "euler_maruyama",
            "corrector": "langevin" if sde == "ve" else "identity",
            "snr": 0.16,
            "corrector_steps": 1,
            "steps": 1000,
            "n": config_dict.placeholder(int),  # None: as many as steps
            "t_min": SAMPLING_T_MIN[sde],
            "denoise": True,
        },
        "ode": {
            "t_min": SAMPLING_T_MIN[sde],
            "rtol": 1e-5,
            "atol": 1e-5,
            "max_steps": 1000,
            "pair": "rk45",
            "temperature": 1.0,  # of the noise that samples start from
        },
        "grid": {
            "solver": "dpm_solver_2m",
            "times": "edm",
            "steps": 20,
            "t_min": SAMPLING_T_MIN[sde],
            "s_churn": 0.0,  # of solver "heun"
            "denoise": True,
        },
        "adaptive": {
            "t_min": SAMPLING_T_MIN[sde],
            "rtol": 0.02,
            "atol": 0.0078,  # a grey level of 256, in [-1, 1]
            "h_init": 0.01,
            "max_steps": 10_000,
            "denoise": True,
        },
    }
    return ConfigDict(section)


def sweep() -> ConfigDict:
    """Which samplers `--mode sweep` compares, and with which budgets."""
    section = {
        "images": 1024,
        "samplers": (
            "pc",
            "ode",
            "adaptive",
            "ddim",
            "heun",
            "dpm_solver_2s",
            "dpm_solver_2m",
            "dpm_solver_3m",
            "sde_dpm_solver_2m",
            "unipc",
        ),
        "evaluations": (6, 10, 20, 50, 100),  # of samplers on a grid
        "pc_steps": (50, 200, 1000),
        "ode_tolerances": (1e-1, 1e-2, 1e-3, 1e-5),
        "adaptive_tolerances": (0.1, 0.03, 0.01),
    }
    return ConfigDict(section)


def evaluation() -> ConfigDict:
    """What `--mode eval` computes, and what it measures samples by."""
    section = {
        "enable_loss": True,
        "enable_bpd": True,
        "enable_fid": False,
        "checkpoint": "latest",  # or "best", by evaluation loss; or a range of steps, "100..900"
        "wait": 0.0,  # seconds to wait for the next checkpoint of a range
        "num_samples": 50_000,
        "seed": 44,
        "extractor": "inception",  # or "classifier" of --mode features, or "components"
        "inception": config_dict.placeholder(str),  # where its weights are
        "classifier": config_dict.placeholder(str),  # None: in the workdir
        "components": 64,
        "statistics": config_dict.placeholder(str),  # None: those of the training split
        "yardsticks": False,  # the same distance for test images and for a Gaussian mixture
    }
    return ConfigDict(section)


def classifier() -> ConfigDict:
    """The classifier of small images that `--mode features` trains."""
    section = {
        "channels": 32,
        "features": 32,
        "learning_rate": 3e-3,
        "weight_decay": 1e-4,
        "epochs": 40,
        "batch_size": 100,
        "seed": 0,
    }
    return ConfigDict(section)


def export() -> ConfigDict:
    """What `--mode export` writes."""
    section = {
        "contents": "everything",  # or "averages": the averaged parameters, to sample and score
        "dtype": "float32",  # or, of averages, "float16"
    }
    return ConfigDict(section)


def likelihood() -> ConfigDict:
    """The probability-flow ODE's log-density, as in 2021."""
    section = {
        "t_min": 1e-5,
        "rtol": 1e-5,
        "atol": 1e-5,
        "max_steps": 1000,
        "pair": "rk45",
        "probes": 1,  # 0 for the exact trace
        "probe": "rademacher",
        "batch_size": 64,
        "seed": 43,
        "images_per_piece": 1024,  # an interrupted evaluation goes on from the last whole piece
        "dequantizations": ("uniform",),  # also "truncated_normal", "learned"
        "importance_samples": 1,  # draws of the noise per image, for a tighter bound
        "truncated_std": config_dict.placeholder(float),  # levels; None: the SDE's noise at t_min
        "bound": {"t_min": 1e-5, "draws": 32, "times": "stratified", "form": "denoising"},
    }
    return ConfigDict(section)


def guide() -> dict[str, ConfigDict]:
    """The classifier of noisy images of 2021, which guides, and its training; by section.

    How long and how fast it was trained was never said; these steps are ours and untried.
    """
    steps = training(ema_decay=0.999)
    steps.update({"steps": 100_000, "snapshot_every": 100_000})
    network = {"name": "wideresnet", "classes": 10, "blocks_per_group": 4, "width": 10}
    return {
        "guide": ConfigDict(network),
        "guide_optimizer": optimizer(),
        "guide_training": steps,
    }


# The flows that score_flow trained, by data set.
_CIFAR10_FLOW = {
    "filters": 96,
    "components": 32,
    "blocks": 2,
    "heads": 4,
    "couplings": 4,
    "context_filters": 32,
    "context_blocks": 3,
    "context_heads": 0,
    "pointwise": True,
    "splits": ("columns",),
}
_IMAGENET_FLOW = _CIFAR10_FLOW | {"pointwise": False}
FLOWS = {
    "cifar10": _CIFAR10_FLOW,
    "imagenet_32": _IMAGENET_FLOW
    | {"filters": 128, "blocks": 8, "couplings": 8, "context_blocks": 8, "context_heads": 4},
    "imagenet_64": _IMAGENET_FLOW | {"components": 4, "blocks": 5, "heads": 0, "context_blocks": 5},
}


def dequantizer(flow: str = "cifar10") -> dict[str, ConfigDict]:
    """A flow that score_flow trained, by its name in FLOWS, and its training; by section."""
    steps = training(ema_decay=0.99)
    steps.update({"steps": 300_001, "snapshot_every": 300_001})
    return {
        "dequantizer": ConfigDict(FLOWS[flow]),
        "dequantizer_optimizer": optimizer(),
        "dequantizer_training": steps,
    }


def data(name: str, *, size: int, channels: int, levels: int | None, **options: bool) -> ConfigDict:
    """The data section; `options` are flip, dequantize and centered."""
    section = {
        "name": name,
        "image_size": size,
        "channels": channels,
        # None for continuous data
        "levels": config_dict.placeholder(int) if levels is None else levels,
        "data_dir": config_dict.placeholder(str),  # None: $TFDS_DATA_DIR or ~/tensorflow_datasets
        "path": config_dict.placeholder(str),  # of your own data: docs/data.md
        "on_corrupt": "error",  # or "skip"
        "test_fraction": 0.1,  # held out, where a source has no split of its own
        "workers": 0,  # processes that decode images which RAM does not hold
    }
    return ConfigDict(section | options)


def ncsnpp(**fields) -> ConfigDict:
    """The NCSN++ / DDPM++ section: the DDPM++ of the 2021 CIFAR-10 configs, changed by `fields`."""
    section = {
        "name": "ncsnpp",
        "features": 128,
        "channel_multipliers": (1, 2, 2, 2),
        "blocks_per_level": 4,
        "attention_resolutions": (16,),
        "dropout": 0.1,
        "resample_with_conv": True,
        "conditional": True,
        "fir": False,
        "fir_kernel": (1, 3, 3, 1),
        "skip_rescale": True,
        "block": "biggan",
        "progressive": "none",
        "progressive_input": "none",
        "progressive_combine": "sum",
        "embedding": "positional",
        "fourier_scale": 16.0,
        "init_scale": 0.0,
        "activation": "swish",
    }
    return ConfigDict(section | CLASSES | COMPUTE | fields)


def ddpm(**fields) -> ConfigDict:
    """The DDPM section of the 2021 CIFAR-10 configs, changed by `fields`."""
    section = {
        "name": "ddpm",
        "features": 128,
        "channel_multipliers": (1, 2, 2, 2),
        "blocks_per_level": 2,
        "attention_resolutions": (16,),
        "dropout": 0.1,
        "resample_with_conv": True,
        "conditional": True,
        "normalization": "group",
        "activation": "swish",
    }
    return ConfigDict(section | CLASSES | COMPUTE | fields)


def ncsn(**fields) -> ConfigDict:
    """The NCSN section, changed by `fields`; `classes` is the number of noise levels."""
    section = {
        "name": "ncsn",
        "features": 128,
        "classes": 10,
        "activation": "elu",
        "interpolation": "bilinear",
    }
    return ConfigDict(section | COMPUTE | fields)


def ncsnv2(**fields) -> ConfigDict:
    """The NCSNv2 section, changed by `fields`; `size` chooses the depth: 64, 128 or 256."""
    section = {
        "name": "ncsnv2",
        "features": 128,
        "size": 64,
        "normalization": "instance++",
        "activation": "elu",
        "interpolation": "bilinear",
    }
    return ConfigDict(section | COMPUTE | fields)


# What a network is told of the image: how many classes there are, 0 for nothing, and how often the
# class is left out in training, so that the network knows the score of all classes as well.
CLASSES = {"image_classes": 0, "class_dropout": 0.1}
# How a network is computed, whatever it computes: precision, and the heights at which activations
# are computed a second time for the gradient instead of being kept.
COMPUTE = {"dtype": "float32", "remat_resolutions": ()}
