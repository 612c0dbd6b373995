"""`--mode sweep`: samplers and budgets compared."""

import pathlib

from scoresde_jax import build, evaluation, files, sweeps, tasks
from scoresde_jax.verbs.common import mesh_of, open_run, user_errors


def sweep(config: build.Config, workdir: pathlib.Path) -> int:
    """Compares samplers and budgets: quality against evaluations of the network.

    Writes sweep/results.json, sweep/table.md and sweep/sweep.png.
    """
    with user_errors():
        experiment = build.experiment(config)
        train_set, test_set = (build.dataset(config, split) for split in ("train", "test"))
        todo = sweeps.trials(experiment, config)
        mesh = mesh_of(config, "sampling")
        task = tasks.score_task(experiment, config)
        run = open_run(task, config, workdir, mesh, must_exist=True)
    images = run.state.ema_params, mesh, train_set, test_set
    results = sweeps.run(todo, experiment, config, *images)
    results |= {"checkpoint_step": run.start, "config": config.to_dict()}
    folder = workdir / "sweep"
    files.write_json(folder / "results.json", results)
    table = sweeps.table(results)
    files.write(folder / "table.md", lambda stream: stream.write(table.encode()))
    evaluation.sweep_figure(
        folder / "sweep.png",
        results["rows"],
        real=results["real_images"]["frechet_distance"],
        title=f"{config.data.name}, {config.sde.name} SDE, {config.sweep.images} images",
    )
    print(f"{table}{folder / 'sweep.png'}")
    return 0
