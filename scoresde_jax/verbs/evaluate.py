"""`--mode eval`: likelihoods and loss of test images, and how good samples are."""

import pathlib
from typing import Any

import numpy as np

from scoresde_jax import build, data, evaluation, files, quality, scoring, shards, tasks, workdirs
from scoresde_jax.data import preprocess
from scoresde_jax.progress import Progress
from scoresde_jax.verbs.common import mesh_of, open_run, say, user_errors

SHOWN = 10  # of the likeliest and of the unlikeliest images


def evaluate(config: build.Config, workdir: pathlib.Path) -> int:
    """Measures the averaged parameters: what of config.eval.enable_* is asked for.

    Likelihoods and loss of the test set: eval/results.json, eval/bpd.npz and eval/bpd.png; an
    interrupted evaluation goes on from the last piece in eval/pieces. Distances of samples from
    real images: eval/quality.json, and the samples in eval/samples, which are gone on with as well.
    Checkpoints of a range have these files in folders of their own, eval/<step>.
    Returns 1 if an ODE did not converge.
    """
    section = config.eval
    with user_errors():
        if not (section.enable_bpd or section.enable_loss or section.enable_fid):
            raise ValueError(
                "nothing to evaluate: set config.eval.enable_bpd, .enable_loss or .enable_fid."
            )
        steps = workdirs.chosen_steps(workdir, section.checkpoint, section.wait)
        step = next(steps)
    code = 0
    while True:
        folder = workdir / "eval"
        if ".." in section.checkpoint:
            say(f"checkpoint of step {step}")
            folder /= str(step)
        code = max(code, _evaluate(config, workdir, step, folder))
        try:
            step = next(steps)
        except StopIteration:
            return code


def _evaluate(
    config: build.Config, workdir: pathlib.Path, step: int | None, folder: pathlib.Path
) -> int:
    """What is asked for, of one checkpoint, into a folder."""
    section = config.eval
    scores, distances = section.enable_bpd or section.enable_loss, section.enable_fid
    with user_errors():
        experiment = build.experiment(config)
        test_set = build.dataset(config, "test")
        train_set = build.dataset(config, "train") if distances else test_set
        mesh = mesh_of(config, "likelihood" if scores else "sampling")
        task = tasks.score_task(experiment, config)
        run = open_run(task, config, workdir, mesh, must_exist=True, step=step)
        scorer, flow_step = _scorer(experiment, config, run, workdir) if scores else (None, None)
        extractor = build.extractor(config, workdir, lambda: train_set) if distances else None
        real = quality.reference(config, extractor, train_set) if extractor else None
    code = 0
    if scorer is not None:
        code = _score(scorer, flow_step, config, run, folder, test_set)
    if extractor is not None and real is not None:
        samples = workdir / "eval" / "samples"
        with user_errors():
            drawn = quality.draw(
                experiment, run.state.ema_params, config, run.start, samples, run.mesh
            )
        found = quality.results(config, run.start, drawn, extractor, real)
        if section.yardsticks:
            found["yardsticks"] = quality.yardsticks(
                config, extractor, real.moments, drawn, train_set, test_set
            )
        files.write_json(folder / "quality.json", files.plain(found))
        print("\n".join(quality.lines(found)))
        if found["not_converged"]:
            say(f"no finite image at {found['not_converged']}; they count as black ones")
            code = 1
    return code


def _scorer(
    experiment: build.Experiment,
    config: build.Config,
    run: workdirs.Trained,
    workdir: pathlib.Path,
) -> tuple[scoring.Scorer, int | None]:
    """What scores images, and the step of the flow that dequantizes, if one is asked for."""
    flow: list[workdirs.Trained] = []  # opened only if it is asked for

    def learned_params() -> Any:
        task = tasks.dequantizer_task(experiment, config, run.state.ema_params)
        flow.append(open_run(task, config, workdir / "dequantizer", run.mesh, must_exist=True))
        return flow[0].state.ema_params

    dequantizers = {}
    if config.eval.enable_bpd:
        scale = experiment.data_scale
        dequantizers = build.dequantizers(config, experiment.sde, scale, learned_params)
    scorer = scoring.Scorer(experiment, run.state.ema_params, config, run.mesh, dequantizers)
    return scorer, flow[0].start if flow else None


def _score(
    scorer: scoring.Scorer,
    flow_step: int | None,
    config: build.Config,
    run: workdirs.Trained,
    folder: pathlib.Path,
    test_set: data.Dataset,
) -> int:
    images, kinds = test_set.images, scorer.kinds
    progress = Progress("eval", len(images) * max(len(kinds), 1), unit="image")
    pieces = folder / "pieces"
    columns = shards.collect(
        pieces,
        len(images),
        lambda index: scorer.columns(images[index], index, progress),
        size=config.likelihood.images_per_piece,
        work={
            "checkpoint_step": run.start,
            "dequantizer_step": flow_step,
            "devices": run.mesh.size,
            "config": config.to_dict(),
        },
    )
    progress.close()
    results = {"checkpoint_step": run.start, **scoring.results(columns, config, kinds)}
    files.write_npz(folder / "bpd.npz", columns)
    files.write_json(folder / "results.json", results)
    shards.discard(pieces)
    figure, failed = folder / "bpd.png", results["not_converged"]
    if failed:
        figure.unlink(missing_ok=True)
        say(f"the ODE did not converge at indices {failed}; the mean is null")
        say("raise config.likelihood.max_steps, or loosen config.likelihood.rtol and .atol")
        return 1
    if kinds:
        title = f"{config.data.name} test set, step {run.start}"
        unit = scoring.unit_of(config)
        values = columns[f"{kinds[0]}/{unit.column}"]
        order = np.argsort(values)
        ends = {
            name: preprocess.pixels(images[rows], levels=test_set.levels)
            for name, rows in (("likeliest", order[:SHOWN]), ("unlikeliest", order[-SHOWN:]))
        }
        evaluation.bpd_figure(figure, values, ends, title=title, unit=unit.label)
    print("\n".join(scoring.lines(results)))
    return 0
