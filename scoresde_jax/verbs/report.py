"""`--mode report`: one HTML page of all that a workdir holds."""

import importlib.metadata
import pathlib
import platform
import re
from collections.abc import Iterator
from typing import Any

import jax

from scoresde_jax import build, encodings, evaluation, files, page, tasks, training
from scoresde_jax.verbs.common import mesh_of, open_run, parameter_count, user_errors

STRIP_SAMPLES = 6
RESTORED = {"psnr": "PSNR, dB", "ssim": "SSIM", "consistency": "rms of A x - y"}
GUIDED = {
    "classifier": "guided by the classifier",
    "classifier_free": "with classifier-free guidance",
    "auto": "guided by a weaker model",
}
PACKAGES = ("scoresde_jax", "jax", "jaxlib", "flax", "optax", "numpy")


def report(config: build.Config, workdir: pathlib.Path) -> int:
    """Writes report.html, one file that needs no other, of what is in the workdir so far.

    Also draws samples/denoising_<step>.png. Says which verb makes what is not there yet.
    """
    with user_errors():
        experiment = build.experiment(config)
        task = tasks.score_task(experiment, config)
        run = open_run(task, config, workdir, mesh_of(config, "sampling"), must_exist=True)
    params = run.state.ema_params
    strip = workdir / "samples" / f"denoising_{run.start}.png"
    found = encodings.denoising(experiment, params, STRIP_SAMPLES, config.sampling.seed, run.mesh)
    grid = found.pixels.reshape(-1, *found.pixels.shape[2:])
    evaluation.save_png(strip, evaluation.image_grid(grid, columns=encodings.COLUMNS))
    records = training.read_records(workdir)
    scored = _evaluated(workdir, "results.json")
    scores = _json(scored)
    sections = [
        ("Results", _results(scores)),
        ("Training", _training(workdir, records)),
        ("Samples", _samples(workdir, strip)),
        ("Samples against real images", _quality(_json(_evaluated(workdir, "quality.json")))),
        ("Likelihood", _likelihood(scored.with_name("bpd.png"), scores)),
        *_classifier(workdir),
        *_restored(workdir / "restore"),
        ("Samplers", _picture(workdir / "sweep" / "sweep.png", "sweep", "samplers compared")),
        ("Settings", page.settings(config.to_dict())),
        ("Environment", page.table(("what", "which"), _environment())),
    ]
    size = parameter_count(params)
    title = f"{config.data.name}, {config.sde.name} SDE"
    lead = f"{task.title}, {size:,} parameters, {run.start:,} training steps; {workdir}"
    html = page.document(title, lead, sections)
    target = workdir / "report.html"
    files.write(target, lambda stream: stream.write(html.encode()))
    print(f"report: {target}")
    return 0


def _json(path: pathlib.Path) -> dict[str, Any]:
    return files.read_json(path) if path.exists() else {}


def _evaluated(workdir: pathlib.Path, name: str) -> pathlib.Path:
    """A file of --mode eval; where there is none of one checkpoint, that of a range's last."""
    folder = workdir / "eval"
    steps = [path.parent.name for path in folder.glob(f"*/{name}") if path.parent.name.isdecimal()]
    if (folder / name).exists() or not steps:
        return folder / name
    return folder / max(steps, key=int) / name


def _missing(mode: str) -> str:
    return page.paragraph(f"Not there yet: --mode {mode} makes it.")


def _picture(path: pathlib.Path, mode: str, caption: str) -> str:
    return page.picture(path.read_bytes(), caption) if path.exists() else _missing(mode)


def _likelihood(path: pathlib.Path, scores: dict[str, Any]) -> str:
    if not path.exists() and scores.get("not_converged"):
        return _failures(scores, "test images")
    return _picture(path, "eval", "of every test image")


def _failures(found: dict[str, Any], what: str) -> str:
    """How many did not converge; nothing where all did."""
    failed = found.get("not_converged")
    if not failed:
        return ""
    return page.paragraph(f"{len(failed):,} {what} did not converge, first number {failed[0]}.")


def _classifier(workdir: pathlib.Path) -> list[tuple[str, str]]:
    """How well the classifier that guides does, in a section of its own where there is one."""
    found = _json(workdir / "classifier" / "accuracy.json")
    path = workdir / "classifier" / "accuracy.png"
    if not (found and path.exists()):
        return []
    shown = page.picture(path.read_bytes(), "how often it is right, by time")
    columns = (found[key] for key in ("times", "accuracy", "standard_error", "cross_entropy"))
    rows = [
        (f"{t:g}", f"{share:.1%} ± {error:.1%}", f"{nats:.3g}")
        for t, share, error, nats in zip(*columns, strict=True)
    ]
    told = f"{found['images']:,} test images; always the commonest class: {found['chance']:.1%}"
    table = page.table(("t", "right", "cross-entropy, nats"), rows)
    return [("Classifier", page.paragraph(told) + shown + table)]


def _restored(folder: pathlib.Path) -> list[tuple[str, str]]:
    """What --mode restore made of images, each operator and solver, in a section where any is."""
    parts = []
    for path in sorted(folder.glob("*.json")):
        found, drawn = files.read_json(path), path.with_suffix(".png")
        if not drawn.exists():
            continue
        noise = f", noise {found['noise_std']:g}" if found["noise_std"] else ""
        parts.append(
            page.picture(
                drawn.read_bytes(),
                f"{found['operator']['name']}{noise}, by {found['solver']['name']}, "
                f"step {found['checkpoint_step']:,}; images: {found['images']:,}, draws of each: "
                f"{found['draws']}, evaluations of a draw: {found['evaluations']:,}",
            )
        )
        rows = [
            (name.replace("_", " "), *(_rounded(scores.get(key)) for key in RESTORED))
            for name, scores in found.items()
            if isinstance(scores, dict) and "consistency" in scores
        ]
        parts.append(page.table(("of", *RESTORED.values()), rows))
    return [("Restored images", "".join(parts))] if parts else []


def _rounded(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _results(scores: dict[str, Any]) -> str:
    """The numbers of eval/results.json as cards, and where each comes from."""
    if not scores:
        return _missing("eval")
    parts, rows = [], []
    for part in (scores, *scores.get("other_dequantizations", {}).values()):
        for name, values in part.items():
            if isinstance(values, dict) and values.get("mean") is not None:
                shown = _with_error(values)
                kind = values.get("dequantization")
                parts.append((shown, name.replace("_", " ") + (f", {kind}" if kind else "")))
                rows.append((name, shown, _provenance(values)))
    step = scores.get("checkpoint_step")
    table = page.table(("number", "value", "how"), rows)
    failures = _failures(scores, "test images")
    return page.paragraph(f"Of step {step}.") + failures + page.cards(parts) + table


def _quality(found: dict[str, Any]) -> str:
    """Distances of eval/quality.json beside their yardsticks, and all that they depend on."""
    if not found:
        return page.paragraph("Not there yet: --mode eval --config.eval.enable_fid makes it.")
    rows = []
    everything = {"images": found["provenance"]["images"], **found["frechet_distance"]}
    distances = [("samples", everything), *found.get("yardsticks", {}).items()]
    for name, distance in distances:
        low, high = distance.get("interval", (None, None))
        shown = _error(distance) if low is None else f"{low:.3g} to {high:.3g}"
        sets = f"{distance['sets']} x " if distance.get("sets", 1) > 1 else ""
        of = f"{sets}{distance['images']:,} {name}"
        rows.append(("Frechet distance", of, f"{distance['mean']:.4g}", shown))
        if line := distance.get("extrapolated"):
            many = ("the same, of infinitely many", name)
            rows.append((*many, f"{line['mean']:.4g}", _error(line)))
    for name in ("kernel_distance", "precision", "recall", "inception_score"):
        if name in found:
            value = found[name]
            label = name.replace("_", " ")
            rows.append((label, "samples", f"{value['mean']:.4g}", _error(value)))
    told = [(name, value) for name, value in found["provenance"].items() if value is not None]
    step = page.paragraph(f"Of step {found['provenance']['step']}.")
    table = page.table(("number", "of", "value", "95 % or s.e."), rows)
    return f"{step}{_failures(found, 'samples')}{table}" + (
        f"<details><summary>provenance</summary>{page.table(('what', 'which'), told)}</details>"
    )


def _error(values: dict[str, Any]) -> str:
    error = values.get("standard_error")
    return "" if error is None else f"± {error:.2g}"


def _with_error(values: dict[str, Any]) -> str:
    error = values.get("standard_error")
    return f"{values['mean']:.4g}" + (f" ± {error:.2g}" if error else "")


def _provenance(values: dict[str, Any]) -> str:
    told = {
        k: v for k, v in values.items() if k not in ("mean", "standard_error") and v is not None
    }
    if isinstance(told.get("nfe"), dict):
        told["nfe"] = f"{told['nfe']['mean']:.0f} (at most {told['nfe']['max']})"
    return ", ".join(
        f"{name.replace('_', ' ')} {f'{value:.3g}' if isinstance(value, float) else value}"
        for name, value in told.items()
        if value is not None and not isinstance(value, dict)
    )


def _training(workdir: pathlib.Path, records: list[dict[str, float]]) -> str:
    if not records:
        return page.paragraph("No metrics: these weights were not trained here.")
    speeds = [row["images_per_second"] for row in records if "images_per_second" in row]
    last = [row for row in records if "loss" in row][-1:]
    cards = [(f"{row['loss']:.4g}", f"loss at step {row['step']:,}") for row in last]
    if speeds:
        cards.append((f"{sorted(speeds)[len(speeds) // 2]:.0f}", "images/s, median"))
    evaluation.training_figure(workdir / "training.png", records)
    curves = (workdir / "training.png").read_bytes()
    return page.cards(cards) + page.picture(curves, "loss and gradient by step")


def _samples(workdir: pathlib.Path, strip: pathlib.Path) -> str:
    """Grids over training in one place, the newest of each other kind, and the strip."""
    folder = workdir / "samples"
    snapshots = _by_step(folder, "snapshot")
    parts = []
    if snapshots:
        shown = [(path.read_bytes(), f"step {step:,}") for step, path in snapshots]
        parts.append(page.slider(shown))
    for kind, told in _kinds():
        for step, path in _by_step(folder, kind)[-1:]:
            parts.append(page.picture(path.read_bytes(), f"{told}, step {step:,}", pixels=True))
    caption = (
        "From noise to images along the flow: x_t above, and below it what is expected of x_0."
    )
    return "".join([*parts, page.picture(strip.read_bytes(), caption, pixels=True)])


def _kinds() -> Iterator[tuple[str, str]]:
    """Names of the pictures that --mode sample makes, and what each shows."""
    for method in ("pc", "ode", "grid", "adaptive"):
        yield method, method
        for guidance, told in GUIDED.items():
            yield f"{method}_{guidance}", f"{method}, {told}"
    yield "interpolation", "test images at both ends, and what the flow has between them"
    yield "reconstruction", "test images, each beside what the flow makes of its latents"


def _by_step(folder: pathlib.Path, kind: str) -> list[tuple[int, pathlib.Path]]:
    found = ((re.fullmatch(rf"{kind}_(\d+)\.png", path.name), path) for path in folder.iterdir())
    return sorted((int(match[1]), path) for match, path in found if match)


def _environment() -> Iterator[tuple[str, str]]:
    for name in PACKAGES:
        yield name, importlib.metadata.version(name)
    yield "Python", platform.python_version()
    yield "platform", platform.platform()
    devices = jax.devices()
    yield "devices", f"{len(devices)} x {devices[0].device_kind}"
