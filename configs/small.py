"""The configs of the packaged data sets, for CPUs and first tries: digits and emoji."""

from ml_collections import ConfigDict

from configs.common import base, data, ncsnpp


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
    # Five times as many samples as there are test images, which they are held beside.
    config.eval.update({"num_samples": 1485, "extractor": "classifier", "yardsticks": True})
    if sde == "linear_ve":
        config.sde.sigma_max = 10.0
        config.sampling.method = "ode"  # an even grid of t is too coarse near the data
    if sde == "ve":
        # The largest distance between two digits, as NCSNv2 asks (Song & Ermon 2020, technique 1).
        config.sde.sigma_max = 10.0
        config.loss.reduction = "mean"
        # Scale 16, as in 2021, lets the score jump about in t: a short training leaves it so rough
        # that an ODE solve takes thousands of evaluations.
        config.model.update({"embedding": "fourier", "fourier_scale": 1.0})
        config.sampling.pc.snr = 0.1
    # Noise of std 0.01 or less, against 2/17 between levels; going below only costs.
    t_min = 1e-3 if sde in ("vp", "linear_ve") else 1e-2
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
    config.sampling.grid.t_min = config.sampling.adaptive.t_min = t_min
    config.sampling.adaptive.atol = 2 / 17
    config.likelihood.update({"t_min": t_min, "rtol": 1e-3, "atol": 1e-3, "batch_size": 100})
    config.likelihood.bound.t_min = t_min
    _digits_flow_and_guide(config)
    return config


def _digits_flow_and_guide(config: ConfigDict) -> None:
    """The flow that dequantizes digits and the classifier that guides them, in place."""
    config.dequantizer.update(
        {
            "filters": 16,
            "components": 4,
            "blocks": 1,
            "heads": 0,
            "context_filters": 16,
            "context_blocks": 1,
            "pointwise": False,
            "splits": ("columns", "rows"),
        }
    )
    config.dequantizer_optimizer.update(
        {"learning_rate": 2e-3, "schedule": "cosine", "warmup_steps": 50}
    )
    config.guide = ConfigDict({"name": "small", "classes": 10, "channels": 32, "features": 64})
    config.guide_optimizer.update(
        {"learning_rate": 2e-3, "schedule": "cosine", "warmup_steps": 50, "weight_decay": 1e-4}
    )
    config.guide_training.update(
        {"batch_size": 64, "steps": 3000, "eval_every": 200, "checkpoint_every": 1000}
    )
    config.dequantizer_training.update(
        {"batch_size": 64, "steps": 1000, "eval_every": 100, "checkpoint_every": 500}
    )


def longer(config: ConfigDict) -> ConfigDict:
    """The digits config with twice the blocks, dropout, and 470 epochs, for the best likelihood."""
    config.model.update({"blocks_per_level": 2, "dropout": 0.1})
    config.training.update(
        {"steps": 11_000, "ema_decay": 0.999, "eval_every": 500, "snapshot_every": 5500}
    )
    return config


def conditional(config: ConfigDict) -> ConfigDict:
    """The digits config with a network that knows the ten classes, and twice the epochs."""
    config.model.update({"image_classes": 10, "dropout": 0.1})
    config.training.update({"steps": 3800, "snapshot_every": 3800})
    config.sampling.guidance.update({"method": "classifier_free", "scale": 1.5})
    return config


def emoji(sde: str) -> ConfigDict:
    """32x32 colour emoji: 0.7 M parameters, 28 epochs; 24 minutes on two CPU cores."""
    config = colour(sde, "emoji", size=32)
    config.model.features = 24
    config.optimizer.update({"learning_rate": 2e-3, "b2": 0.99})
    config.training.update(
        {
            "batch_size": 32,
            "steps": 3000,
            "ema_decay": 0.998,
            "eval_every": 500,
            "checkpoint_every": 250,
            "snapshot_every": 3000,
        }
    )
    config.sampling.pc.steps = 200
    return config


def folder(sde: str) -> ConfigDict:
    """Your own pictures, as 32x32 colour: 1.3 M parameters."""
    return colour(sde, "folder", size=32)


def colour(sde: str, name: str, *, size: int) -> ConfigDict:
    """Small colour images."""
    config = base(sde)
    config.data = data(
        name, size=size, channels=3, levels=256, flip=False, dequantize=False, centered=True
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
    config.eval.update({"num_samples": 1000, "extractor": "components"})
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
    config.sampling.grid.steps = 4
    config.sweep.update(
        {
            "images": 8,
            "evaluations": (4,),
            "pc_steps": (4,),
            "ode_tolerances": (0.1,),
            "adaptive_tolerances": (0.3,),
        }
    )
    config.likelihood.update({"rtol": 1e-2, "atol": 1e-2, "batch_size": 100})
    config.likelihood.bound.draws = 2
    config.eval.update({"num_samples": 40, "extractor": "components", "components": 8})
    config.classifier.update({"channels": 4, "features": 8, "epochs": 1})
    config.guide.update({"channels": 4, "features": 8})
    config.guide_training.update(
        {"batch_size": 16, "steps": 10, "log_every": 5, "eval_every": 5, "checkpoint_every": 5}
    )
    config.dequantizer.update({"filters": 8, "components": 2, "context_filters": 8})
    config.dequantizer_training.update(
        {"batch_size": 16, "steps": 10, "log_every": 5, "eval_every": 5, "checkpoint_every": 5}
    )
    return config
