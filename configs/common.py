"""What configs share: the sections with their defaults, the three SDEs, the packaged data sets.

A config is a ConfigDict of sections; each section is the keyword arguments of one function or
class, named by its `name` (tables in scoresde_jax/build.py). Any value can be set on the command
line: `--config.optimizer.learning_rate=1e-3`. A value of None is decided when the run starts.
"""

from collections.abc import Callable, Mapping

from ml_collections import ConfigDict, config_dict


def pick(variants: Mapping[str, Callable[[], ConfigDict]], name: str | None) -> ConfigDict:
    """Makes the named variant of a config file, "default" if none is named."""
    name = name or "default"
    if name not in variants:
        raise ValueError(f"this config has no variant {name!r}; known: {', '.join(variants)}.")
    return variants[name]()


def base(sde: str) -> ConfigDict:
    """All sections, with the training and evaluation settings of the 2021 code for CIFAR-10."""
    config = ConfigDict()
    config.sde = SDES[sde]()
    config.parameterization = ConfigDict({"name": f"{'ve' if sde == 've' else 'vp'}_continuous"})
    config.loss = ConfigDict(
        {
            "name": "dsm",
            "t_min": 1e-5,
            "times": "uniform",
            "weighting": "variance",
            "reduction": "half_sum" if sde == "ve" else "mean",
        }
    )
    config.optimizer = ConfigDict(
        {
            "learning_rate": 2e-4,
            "schedule": "constant",
            "warmup_steps": 5000,
            "b1": 0.9,
            "b2": 0.999,
            "adam_eps": 1e-8,
            "weight_decay": 0.0,
            "clip_norm": 1.0,
        }
    )
    config.training = ConfigDict(
        {
            "batch_size": 128,
            "steps": 1_300_000,
            "ema_decay": 0.999 if sde == "ve" else 0.9999,
            "n_jitted_steps": config_dict.placeholder(int),  # None: 1 on CPUs, 5 elsewhere
            "seed": 42,
            "log_every": 50,
            "eval_every": 100,
            "checkpoint_every": 10_000,
            "snapshot_every": 50_000,
            "snapshot_images": 64,
            "keep_checkpoints": 3,
        }
    )
    config.sampling = ConfigDict(
        {
            "method": "pc",
            "batch_size": 64,
            "seed": 0,
            "pc": {
                "predictor": "reverse_diffusion" if sde == "ve" else "euler_maruyama",
                "corrector": "langevin" if sde == "ve" else "identity",
                "snr": 0.16,
                "corrector_steps": 1,
                "steps": 1000,
                "n": config_dict.placeholder(int),  # None: as many as steps
                "t_min": 1e-5 if sde == "ve" else 1e-3,
                "denoise": True,
            },
            "ode": {
                "t_min": 1e-5 if sde == "ve" else 1e-3,
                "rtol": 1e-5,
                "atol": 1e-5,
                "max_steps": 1000,
            },
        }
    )
    config.likelihood = ConfigDict(
        {
            "t_min": 1e-5,
            "rtol": 1e-5,
            "atol": 1e-5,
            "max_steps": 1000,
            "probes": 1,
            "probe": "rademacher",
            "batch_size": 64,
            "seed": 43,
        }
    )
    return config


SDES = {
    "vp": lambda: ConfigDict({"name": "vp", "beta_min": 0.1, "beta_max": 20.0}),
    "subvp": lambda: ConfigDict({"name": "subvp", "beta_min": 0.1, "beta_max": 20.0}),
    "ve": lambda: ConfigDict({"name": "ve", "sigma_min": 0.01, "sigma_max": 50.0}),
}


def data(name: str, *, size: int, channels: int, levels: int, **options: bool) -> ConfigDict:
    """The data section; `options` are flip, dequantize and centered."""
    section = {
        "name": name,
        "image_size": size,
        "channels": channels,
        "levels": levels,
        "data_dir": config_dict.placeholder(str),  # None: $TFDS_DATA_DIR or ~/tensorflow_datasets
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
        "dtype": "float32",
    }
    return ConfigDict(section | fields)


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
        "dtype": "float32",
    }
    return ConfigDict(section | fields)


NCSNPP = {"fir": True, "progressive_input": "residual"}  # what NCSN++ adds to DDPM++ on CIFAR-10


def cifar10(sde: str, model: ConfigDict, **training) -> ConfigDict:
    """CIFAR-10 as in 2021: uncentred under VE, centred elsewhere."""
    config = base(sde)
    config.data = data(
        "cifar10",
        size=32,
        channels=3,
        levels=256,
        flip=True,
        dequantize=False,
        centered=sde != "ve",
    )
    config.model = model
    config.training.update(training)
    return config


def discrete(config: ConfigDict, predictor: str) -> ConfigDict:
    """The same, trained on the 1000 steps of a chain instead of continuous times."""
    loss, row = {"ve": ("smld", "ve_discrete"), "vp": ("ddpm", "vp_discrete")}[config.sde.name]
    config.loss = ConfigDict({"name": loss, "n": 1000, "reduction": config.loss.reduction})
    config.parameterization = ConfigDict({"name": row, "n": 1000})
    config.sampling.pc.predictor = predictor
    return config


def digits(sde: str) -> ConfigDict:
    """8x8 grey digits: minutes on two CPU cores."""
    config = base(sde)
    config.data = data(
        "digits", size=8, channels=1, levels=17, flip=False, dequantize=True, centered=True
    )
    config.model = ncsnpp(
        features=32,
        channel_multipliers=(1, 2),
        blocks_per_level=1,
        attention_resolutions=(4,),
        dropout=0.0,
    )
    if sde == "ve":
        # The largest distance between two digits, as NCSNv2 asks (Song & Ermon 2020, technique 1).
        config.sde.sigma_max = 10.0
        config.loss.reduction = "mean"
        # Scale 16, as in 2021, lets the score jump about in t: a short training leaves it so rough
        # that an ODE solve takes thousands of evaluations.
        config.model.update({"embedding": "fourier", "fourier_scale": 1.0})
        config.sampling.pc.snr = 0.1
    # Noise of std 0.01 or less, against 2/17 between levels; going below only costs.
    t_min = 1e-3 if sde == "vp" else 1e-2
    config.loss.update({"times": "likelihood", "t_min": t_min})
    config.optimizer.update(
        {"learning_rate": 2e-3, "schedule": "cosine", "warmup_steps": 100, "b2": 0.99}
    )
    config.training.update(
        {
            "batch_size": 64,
            "steps": 1900,
            "ema_decay": 0.995,
            "log_every": 50,
            "eval_every": 200,
            "checkpoint_every": 600,
            "snapshot_every": 1900,
        }
    )
    config.sampling.pc.update({"steps": 200, "t_min": t_min})
    config.sampling.ode.update({"rtol": 1e-4, "atol": 1e-4, "t_min": t_min})
    config.likelihood.update({"t_min": t_min, "rtol": 1e-3, "atol": 1e-3, "batch_size": 100})
    return config


def longer(config: ConfigDict) -> ConfigDict:
    """The digits config with twice the blocks, dropout, and 470 epochs, for the best likelihood."""
    config.model.update({"blocks_per_level": 2, "dropout": 0.1})
    config.training.update(
        {"steps": 11_000, "ema_decay": 0.999, "eval_every": 500, "snapshot_every": 5500}
    )
    return config


def emoji(sde: str) -> ConfigDict:
    """32x32 colour emoji, about 1 M parameters: an hour or two on a CPU, minutes on a GPU."""
    config = base(sde)
    config.data = data(
        "emoji", size=32, channels=3, levels=256, flip=False, dequantize=False, centered=True
    )
    config.model = ncsnpp(
        features=32,
        channel_multipliers=(1, 2, 2),
        blocks_per_level=1,
        attention_resolutions=(8,),
        dropout=0.0,
    )
    if sde == "ve":
        config.loss.reduction = "mean"
        config.model.update({"embedding": "fourier", "fourier_scale": 1.0})
    config.optimizer.update({"learning_rate": 1e-3, "schedule": "cosine", "warmup_steps": 200})
    config.training.update(
        {
            "batch_size": 64,
            "steps": 20_000,
            "ema_decay": 0.999,
            "checkpoint_every": 1000,
            "snapshot_every": 5000,
        }
    )
    config.sampling.pc.steps = 500
    config.likelihood.update({"rtol": 1e-4, "atol": 1e-4})
    return config


def tiny(config: ConfigDict) -> ConfigDict:
    """Shrinks a config so that every verb takes seconds: for tests, and to try a change."""
    config.model.update({"features": 8, "channel_multipliers": (1, 1), "blocks_per_level": 1})
    config.training.update(
        {
            "batch_size": 16,
            "steps": 20,
            "log_every": 5,
            "eval_every": 10,
            "checkpoint_every": 10,
            "snapshot_every": 20,
            "snapshot_images": 4,
        }
    )
    config.optimizer.warmup_steps = 5
    config.sampling.batch_size = 4
    config.sampling.pc.steps = 10
    config.sampling.ode.update({"rtol": 1e-2, "atol": 1e-2})
    config.likelihood.update({"rtol": 1e-2, "atol": 1e-2, "batch_size": 100})
    return config
