"""`--mode eval`: bits/dim of flow and bound, and the loss."""

import pathlib
from typing import Any

from scoresde_jax import build, evaluation, files, scoring, shards, tasks, workdirs
from scoresde_jax.data import preprocess
from scoresde_jax.progress import Progress
from scoresde_jax.verbs.common import mesh_of, open_run, say, user_errors


def evaluate(config: build.Config, workdir: pathlib.Path) -> int:
    """Scores the test set with the averaged parameters: bits/dim of flow and bound, and the loss.

    Writes eval/results.json, eval/bpd.npz and eval/bpd.png; an interrupted evaluation goes on from
    the last piece in eval/pieces. Returns 1 if an ODE did not converge.
    """
    with user_errors():
        experiment = build.experiment(config)
        test_set = build.dataset(config, "test")
        mesh = mesh_of(config, "likelihood")
        run = open_run(tasks.score_task(experiment, config), config, workdir, mesh, must_exist=True)
        flow: list[workdirs.Trained] = []  # opened only if it is asked for

        def learned_params() -> Any:
            task = tasks.dequantizer_task(experiment, config, run.state.ema_params)
            flow.append(open_run(task, config, workdir / "dequantizer", mesh, must_exist=True))
            return flow[0].state.ema_params

        dequantizers = build.dequantizers(
            config, experiment.sde, experiment.data_scale, learned_params
        )
    images = test_set.images
    scorer = scoring.Scorer(experiment, run.state.ema_params, config, mesh, dequantizers)
    progress = Progress("eval", len(images) * len(dequantizers), unit="image")
    pieces = workdir / "eval" / "pieces"
    columns = shards.collect(
        pieces,
        len(images),
        lambda index: scorer.columns(images[index], index, progress),
        size=config.likelihood.images_per_piece,
        work={
            "checkpoint_step": run.start,
            "dequantizer_step": flow[0].start if flow else None,
            "devices": mesh.size,
            "config": config.to_dict(),
        },
    )
    progress.close()
    results = {"checkpoint_step": run.start, **scoring.results(columns, config)}
    files.write_npz(workdir / "eval" / "bpd.npz", columns)
    files.write_json(workdir / "eval" / "results.json", results)
    shards.discard(pieces)
    figure, failed = workdir / "eval" / "bpd.png", results["not_converged"]
    if failed:
        figure.unlink(missing_ok=True)
        say(f"the ODE did not converge at indices {failed}; the mean is null")
        say("raise config.likelihood.max_steps, or loosen config.likelihood.rtol and .atol")
        return 1
    pixels = preprocess.pixels(images, levels=test_set.levels)
    title = f"{config.data.name} test set, step {run.start}"
    unit = scoring.unit_of(config)
    values = columns[f"{next(iter(dequantizers))}/{unit.column}"]
    evaluation.bpd_figure(figure, values, pixels, title=title, unit=unit.label)
    print("\n".join(scoring.lines(results)))
    return 0
