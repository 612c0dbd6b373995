"""`--mode import` and `--mode export`."""

import pathlib

import jax

from scoresde_jax import build, interop, sharding, tasks, training, workdirs
from scoresde_jax.tables import lookup
from scoresde_jax.verbs.common import open_run, parameter_count, say, user_errors

CONTENTS = {"everything": interop.TREES, "averages": interop.AVERAGES}
DTYPES = {"float32": "float32", "float16": "float16"}


def import_weights(
    config: build.Config, workdir: pathlib.Path, *, source: str | pathlib.Path
) -> int:
    """Makes a workdir of a file of weights, for the other verbs to go on from.

    Writes config.json and a checkpoint, as training does. docs/weights.md has the formats.
    """
    with user_errors():
        experiment = build.experiment(config)
        workdirs.check_new(workdir)
        task = tasks.score_task(experiment, config)
        workdirs.check_same_model(
            config,
            interop.stored_config(source),
            task.meaning,
            f"{source} holds weights",
            "Choose the config, variant and options it was exported with.",
        )
        shapes = interop.parameter_shapes(experiment.init_params)
        weights = interop.read_weights(source, shapes)
    state = training.resumed(
        task.optimizer,
        step=weights.step,
        params=weights.params,
        ema_params=weights.ema_params,
        count=weights.count,
        mu=weights.mu,
        nu=weights.nu,
    )
    # As if the steps had been made here: a step takes one batch.
    workdirs.begin(workdir, state, config=config.to_dict(), data={"next_index": weights.step})
    for what in weights.lacks:
        say(f"{source} has no {what}")
    print(
        f"imported {weights.origin}, step {weights.step}, "
        f"{parameter_count(weights.params):,} parameters, into {workdir}; "
        f"it has {', '.join(weights.found)}"
    )
    return 0


def export_weights(config: build.Config, workdir: pathlib.Path) -> int:
    """Writes the newest state as export/params_<step>.safetensors, which import takes back.

    config.export says how much of it: everything, or the averaged parameters; in how many bits.
    """
    with user_errors():
        trees, dtype = _kind(config)
        experiment = build.experiment(config)
        task = tasks.score_task(experiment, config)
        run = open_run(task, config, workdir, sharding.device_mesh(), must_exist=True)
    state = jax.device_get(run.state)
    count, mu, nu = training.adam_moments(state)
    weights = interop.Weights(run.start, state.params, state.ema_params, count, mu, nu)
    target = workdir / "export" / f"params_{run.start}.safetensors"
    with user_errors():
        interop.write_weights(target, weights, config=config.to_dict(), trees=trees, dtype=dtype)
    size = target.stat().st_size / 1e6
    print(f"exported {config.export.contents} of step {run.start}, {size:.1f} MB: {target}")
    return 0


def _kind(config: build.Config) -> tuple[tuple[str, ...], str]:
    """Which trees, and their dtype."""
    section = config.export
    trees = lookup(CONTENTS, section.contents, "config.export.contents")
    dtype = lookup(DTYPES, section.dtype, "config.export.dtype")
    if dtype != "float32" and trees != interop.AVERAGES:
        raise ValueError(
            f"config.export.dtype is {dtype!r}, and training cannot go on from rounded moments; "
            "set config.export.contents to 'averages', or export float32."
        )
    return trees, dtype
