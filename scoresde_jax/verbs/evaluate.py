"""`--mode eval`: likelihoods and loss of test images, and how good samples are."""

import functools
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from scoresde_jax import (
    build,
    data,
    evaluation,
    files,
    quality,
    scoring,
    shards,
    tasks,
    workdirs,
    yardsticks,
)
from scoresde_jax.data import preprocess
from scoresde_jax.evaluation import extractors, provenance, statistics_files
from scoresde_jax.progress import Progress
from scoresde_jax.verbs.common import mesh_of, open_run, say, user_errors
from scoresde_jax.verbs.guide import open_guidance

SHOWN = 10  # of the likeliest and of the unlikeliest images
# Sections that scores depend on; what else they do is in `_scored`.
SCORED = ("sde", "parameterization", "loss", "model", "data", "likelihood", "dequantizer")


class _Measures(NamedTuple):
    """What samples are measured by, and what guides them."""

    extractor: extractors.Extractor
    real: statistics_files.Statistics
    guided: tuple[build.Guided, Any]


class _Shared(NamedTuple):
    """What all checkpoints are evaluated with."""

    experiment: build.Experiment
    train_set: data.Dataset
    test_set: data.Dataset
    mesh: jax.sharding.Mesh
    measures: Callable[[], _Measures]  # made when first asked for, as that may take long


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
        shared = _shared(config, workdir)
    code = 0
    while True:
        folder = workdir / "eval"
        if ".." in section.checkpoint:
            say(f"checkpoint of step {step}")
            folder /= str(step)
        code = max(code, _evaluate(config, workdir, step, folder, shared))
        try:
            step = next(steps)
        except StopIteration:
            return code


def _shared(config: build.Config, workdir: pathlib.Path) -> _Shared:
    section = config.eval
    scores = section.enable_bpd or section.enable_loss
    experiment = build.experiment(config)
    mesh = mesh_of(config, "likelihood" if scores else "sampling")
    train_set = test_set = build.dataset(config, "test")
    if section.enable_fid:
        mesh = mesh_of(config, "sampling")
        train_set = build.dataset(config, "train")
        yardsticks.check(config, train_set, test_set)

    @functools.cache
    def measures() -> _Measures:
        extractor = build.extractor(config, workdir, lambda: train_set)
        guided = open_guidance(config, experiment, workdir, mesh)
        return _Measures(extractor, quality.reference(config, extractor, train_set), guided)

    return _Shared(experiment, train_set, test_set, mesh, measures)


def _evaluate(
    config: build.Config,
    workdir: pathlib.Path,
    step: int | None,
    folder: pathlib.Path,
    shared: _Shared,
) -> int:
    """What is asked for, of one checkpoint, into a folder."""
    section, experiment, test_set = config.eval, shared.experiment, shared.test_set
    scores = section.enable_bpd or section.enable_loss
    with user_errors():
        task = tasks.score_task(experiment, config)
        run = open_run(task, config, workdir, shared.mesh, must_exist=True, step=step)
        scorer, flow = _scorer(experiment, config, run, workdir) if scores else (None, None)
        measures = shared.measures() if section.enable_fid else None
    code = 0
    if scorer is not None:
        code = _score(scorer, flow, config, run, folder, test_set)
    if measures is not None:
        extractor, real, guided = measures
        progress = Progress("draw", section.num_samples, unit="image")
        at = run.start, workdir / "eval" / "samples", run.mesh, progress
        with user_errors():
            pieces = quality.draw(experiment, run.state.ema_params, guided, config, *at)
        drawn = shards.joined(pieces)
        progress.close()
        guidance = quality.guidance_of(config, guided[1])
        found = quality.results(config, run.start, guidance, drawn, extractor, real)
        if section.yardsticks:
            found["yardsticks"] = yardsticks.distances(
                config, extractor, real.moments, drawn, shared.train_set, test_set
            )
        files.write_json(folder / "quality.json", files.plain(found))
        print("\n".join(quality.lines(found)))
        if found["not_converged"]:
            say(f"no finite image at {found['not_converged']}; they count as black ones")
            code = 1
    if scorer is not None:
        shards.discard(folder / "pieces")  # last: who is stopped while drawing keeps the scores
    return code


def _scorer(
    experiment: build.Experiment,
    config: build.Config,
    run: workdirs.Trained,
    workdir: pathlib.Path,
) -> tuple[scoring.Scorer, workdirs.Trained | None]:
    """What scores images, and the flow that dequantizes, if one is asked for."""
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
    return scorer, flow[0] if flow else None


def _scored(
    config: build.Config, run: workdirs.Trained, flow: workdirs.Trained | None
) -> dict[str, Any]:
    """All that the scores of the test set depend on, JSON."""
    sections = {name: config[name].to_dict() for name in SCORED}
    sections["data"].pop("workers", None)
    if flow is None:
        del sections["dequantizer"]
    return sections | {
        "checkpoint_step": run.start,
        "parameters": provenance.parameter_hash(run.state.ema_params),
        "dequantizer_parameters": flow and provenance.parameter_hash(flow.state.ema_params),
        "devices": run.mesh.size,
        "enable_bpd": config.eval.enable_bpd,
    }


def _score(
    scorer: scoring.Scorer,
    flow: workdirs.Trained | None,
    config: build.Config,
    run: workdirs.Trained,
    folder: pathlib.Path,
    test_set: data.Dataset,
) -> int:
    images, kinds = test_set.images, scorer.kinds
    work = files.plain(_scored(config, run, flow))
    pieces = folder / "pieces"
    if shards.kept(pieces) and shards.label(pieces) != work:
        say(f"{pieces} holds scores of other settings; they are discarded, and computed anew")
    progress = Progress("eval", len(images) * max(len(kinds), 1), unit="image")
    columns = shards.collect(
        pieces,
        len(images),
        lambda index: scorer.columns(images[index], index, progress),
        size=config.likelihood.images_per_piece,
        work=work,
    )
    progress.close()
    results = {"checkpoint_step": run.start, **scoring.results(columns, config, kinds)}
    files.write_npz(folder / "bpd.npz", columns)
    files.write_json(folder / "results.json", results)
    figure, failed = folder / "bpd.png", results["not_converged"]
    if failed or not kinds:
        figure.unlink(missing_ok=True)  # of an earlier evaluation
    if failed:
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
