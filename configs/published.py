"""The settings of score_sde and score_flow (Song et al. 2021, 2021b), by data set and by model.

A config is a data set with a model (`cifar10`, `celeba_64`, `lsun_like`, `imagenet_32`), changed by
what its training or sampling does differently (`discrete`, `annealed`, `flow`).
docs/configs.md maps the old names to these.
"""

from ml_collections import ConfigDict

from configs.common import FLOWS, base, data, ddpm, ncsnpp

NCSNPP = {"fir": True, "progressive_input": "residual"}  # what NCSN++ adds to DDPM++ on CIFAR-10
DEEP = {"steps": 950_001}

# NCSN++ at 256 pixels and more: a pyramid of images in and out.
SKIPS = {
    "fir": True,
    "progressive": "output_skip",
    "progressive_input": "input_skip",
    "embedding": "fourier",
    "dropout": 0.0,
}


def cifar10(sde: str, model: ConfigDict, **training) -> ConfigDict:
    """CIFAR-10: uncentred under VE, centred elsewhere."""
    config = base(sde)
    config.data = _photographs("cifar10", 32, sde)
    config.model = model
    config.training.update(training)
    return config


def celeba_64(model: ConfigDict, **training) -> ConfigDict:
    """CelebA at 64 pixels, with the VE SDE."""
    config = cifar10("ve", model, **training)
    config.data = _photographs("celeba_64", 64, "ve")
    config.sde.sigma_max = 90.0
    config.sampling.pc.snr = 0.17
    return config


def lsun_like(name: str, sde: str, model: ConfigDict, **training) -> ConfigDict:
    """LSUN, FFHQ or CelebA-HQ; `name` ends with the size in pixels."""
    config = base(sde)
    config.data = _photographs(name, int(name.rpartition("_")[2]), sde)
    config.model = model
    config.training.update(
        {"batch_size": 64, "steps": 2_400_001, "checkpoint_every": 5000, "snapshot_images": 16}
    )
    config.training.update(training)
    config.sampling.batch_size = 16
    config.sampling.pc.update({"snr": 0.075, "steps": 2000 if sde == "ve" else 1000})
    config.likelihood.batch_size = 16
    return config


def pixels_256(name: str, sigma_max: float) -> ConfigDict:
    """NCSN++ at 256 pixels, with the VE SDE."""
    model = ncsnpp(channel_multipliers=(1, 1, 2, 2, 2, 2, 2), blocks_per_level=2, **SKIPS)
    config = lsun_like(name, "ve", model)
    config.sde.sigma_max = sigma_max
    return config


def pixels_1024(name: str, reduction: str) -> ConfigDict:
    """NCSN++ at 1024 pixels, with the VE SDE."""
    multipliers = (1, 2, 4, 8, 16, 32, 32, 32)
    model = ncsnpp(features=16, channel_multipliers=multipliers, blocks_per_level=1, **SKIPS)
    config = lsun_like(name, "ve", model, batch_size=8, ema_decay=0.9999, snapshot_images=4)
    config.sde.sigma_max = 1348.0
    config.loss.reduction = reduction
    config.sampling.pc.snr = 0.15
    config.sampling.batch_size = config.likelihood.batch_size = 4
    return config


def ddpm_256(name: str) -> ConfigDict:
    """DDPM at 256 pixels, with the VP chain."""
    model = ddpm(channel_multipliers=(1, 1, 2, 2, 4, 4), dropout=0.0)
    config = discrete(lsun_like(name, "vp", model), "ancestral")
    config.optimizer.learning_rate = 2e-5
    return config


def imagenet_32(sde: str, *, blocks_per_level: int, **training) -> ConfigDict:
    """DDPM++ on down-sampled ImageNet."""
    config = flow(cifar10(sde, ncsnpp(blocks_per_level=blocks_per_level, dropout=0.0), **training))
    config.data = _photographs("imagenet_32", 32, sde)
    config.data.flip = False
    config.dequantizer = ConfigDict(FLOWS["imagenet_32"])
    return config


def flow(config: ConfigDict) -> ConfigDict:
    """The settings of score_flow: sampling by the ODE; sub-VP stays above t = 0.01 everywhere.

    Its published likelihoods trained with `loss.weighting` or `loss.times` = "likelihood".
    """
    t_min = {"vp": 1e-3, "subvp": 1e-2}[config.sde.name]
    config.sampling.method = "ode"
    config.sampling.ode.t_min = config.sampling.pc.t_min = t_min
    if config.sde.name == "subvp":
        config.loss.t_min = config.likelihood.t_min = t_min
    return config


def discrete(config: ConfigDict, predictor: str) -> ConfigDict:
    """The same, trained on the 1000 steps of a chain instead of continuous times."""
    loss, row = {"ve": ("smld", "ve_discrete"), "vp": ("ddpm", "vp_discrete")}[config.sde.name]
    config.loss = ConfigDict({"name": loss, "n": 1000, "reduction": config.loss.reduction})
    config.parameterization = ConfigDict({"name": row, "n": 1000})
    config.sampling.pc.predictor = predictor
    return config


def annealed(
    config: ConfigDict, *, levels: int, steps_each: int, snr: float, learning_rate: float
) -> ConfigDict:
    """The same, trained on `levels` noise levels and sampled by annealed Langevin dynamics."""
    row = "ncsn" if config.model.name == "ncsn" else "ve_discrete"
    config.loss = ConfigDict({"name": "smld", "n": levels, "reduction": config.loss.reduction})
    config.parameterization = ConfigDict({"name": row, "n": levels})
    config.sampling.pc.update(
        {
            "predictor": "identity",
            "corrector": "annealed_langevin",
            "corrector_steps": steps_each,
            "steps": levels,
            "snr": snr,
        }
    )
    config.optimizer.update({"learning_rate": learning_rate, "warmup_steps": 0, "clip_norm": -1.0})
    return config


def ncsn_1(config: ConfigDict, *, ema_decay: float) -> ConfigDict:
    """NCSN as first published: 10 noise levels up to 1, 100 steps at each."""
    config.sde.sigma_max = 1.0
    config.model.classes = 10
    config.training.ema_decay = ema_decay
    return annealed(config, levels=10, steps_each=100, snr=0.316, learning_rate=1e-3)


def ncsn_124(config: ConfigDict, *, levels: int, snr: float, ema_decay: float) -> ConfigDict:
    """NCSN with techniques 1, 2 and 4 of Song & Ermon 2020; 5 is an average of the parameters."""
    config.model.classes = levels
    config.training.ema_decay = ema_decay
    return annealed(config, levels=levels, steps_each=5, snr=snr, learning_rate=1e-3)


def ncsn_2(config: ConfigDict, *, levels: int, snr: float, steps_each: int = 5) -> ConfigDict:
    """NCSNv2: techniques 1 to 5 (Song & Ermon 2020)."""
    return annealed(config, levels=levels, steps_each=steps_each, snr=snr, learning_rate=1e-4)


def _photographs(name: str, size: int, sde: str) -> ConfigDict:
    return data(
        name,
        size=size,
        channels=3,
        levels=256,
        flip=True,
        dequantize=False,
        centered=sde != "ve",
    )
