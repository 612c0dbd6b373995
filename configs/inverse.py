"""The section of `--mode restore`: what is measured of an image, and how it is restored.

`operator` and `solver` name two of the sections in it; docs/inverse_problems.md says what they are.
"""

from ml_collections import ConfigDict, config_dict


def posterior() -> ConfigDict:
    """PiGDM on pictures without their middle."""
    moves = {
        "predictor": "reverse_diffusion",
        "corrector": "langevin",
        "snr": 0.25,
        "corrector_steps": 1,
    }
    section = {
        "operator": "box",
        "solver": "pigdm",
        "noise_std": 0.0,  # of y, in the scale of the network: [-1, 1] where data are centred
        "input": "original",  # or "degraded": what --input shows is not to be degraded any more
        "images": 8,  # from all over the test set, or the first of a file
        "draws": 4,  # of each
        "batch_size": 32,  # draws at a time
        "seed": 45,
        "t_min": config_dict.placeholder(float),  # None: config.sampling.grid.t_min
        # Operators.
        "box": {
            "top": config_dict.placeholder(int),  # None: the middle, half as high and wide
            "left": config_dict.placeholder(int),
            "height": config_dict.placeholder(int),
            "width": config_dict.placeholder(int),
        },
        "half": {"side": "left"},  # which is known
        "random_pixels": {"share": 0.3, "seed": 0},
        "gray": {},
        "average": {"factor": 2},
        "bicubic": {"factor": 2},
        "gaussian_blur": {"std": 1.0},  # pixels
        "motion_blur": {"length": 5.0, "angle": 45.0},  # pixels, degrees
        "hadamard": {"share": 0.4, "seed": 0},
        "radon": {"angles": 6},
        "kspace": {"acceleration": 2, "centre": 2, "seed": 0},
        "high_dynamic_range": {"gain": 2.0},  # not linear, nor is the next: dps and smc only
        "phase_retrieval": {"oversampling": 2.0},
        # Solvers.
        "replacement": {"steps": 200, **moves},
        "projection": {"steps": 200, **moves, "strength": 1.0},
        "repaint": {"steps": 100, "jump_length": 10, "resamplings": 10},
        "ddrm": {"steps": 50, "eta": 0.85, "eta_b": 1.0},
        # prior_std is that of the data, in the network's scale; None: a quarter of black to white.
        "pigdm": {"steps": 100, "prior_std": config_dict.placeholder(float)},
        "dps": {"steps": 300, "zeta": 1.0},
        "smc": {"steps": 50, "particles": 16, "prior_std": config_dict.placeholder(float)},
    }
    return ConfigDict(section)
