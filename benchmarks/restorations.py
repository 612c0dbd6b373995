"""Every solver with a trained network: `python -m benchmarks.restorations --workdir DIR`.

DIR is a run of configs/subvp/digits.py. `--mode restore` of 16 test images, two draws each, by each
solver with its default settings, for each measurement that it takes; the table of
docs/inverse_problems.md. A quarter of an hour on two cores, most of it SMC; what is done when it is
interrupted is kept in runs/restorations.json, so that it can be run in parts (`--cells N`).
"""

import argparse
import pathlib
import shutil
import sys
import tempfile
import time

import run_lib
from benchmarks.pages import write_between
from configs.subvp import digits
from scoresde_jax import files, training

PAGE = pathlib.Path("docs/inverse_problems.md")
DONE = pathlib.Path("runs/restorations.json")
BEGIN, END = "<!-- made by benchmarks.restorations -->", "<!-- end of restorations -->"

IMAGES, DRAWS = 16, 2
# Column -> operator and noise_std.
TASKS = {
    "box": ("box", 0.0),
    "box, noise 0.05": ("box", 0.05),
    "average": ("average", 0.0),
    "average, noise 0.05": ("average", 0.05),
    "gaussian_blur, noise 0.05": ("gaussian_blur", 0.05),
    "high_dynamic_range, noise 0.05": ("high_dynamic_range", 0.05),
}
NOISY = ("box, noise 0.05", "average, noise 0.05", "gaussian_blur, noise 0.05")
SOLVERS = {
    "replacement": ("box", "average"),
    "projection": ("box", "average", "gaussian_blur, noise 0.05"),
    "repaint": ("box",),
    "ddrm": ("box", "average", *NOISY),
    "pigdm": ("box", "average", *NOISY),
    "dps": ("box", "average", *NOISY, "high_dynamic_range, noise 0.05"),
    "smc": (*NOISY, "high_dynamic_range, noise 0.05"),
}
PLAIN = ("nearest", "mean_colour")  # restorations without a model, for every measurement


def restored(workdir: pathlib.Path, solver: str, task: str) -> dict:
    """The numbers of one cell, and of the restorations without a model."""
    operator, noise_std = TASKS[task]
    config = digits.get_config()
    settings = {
        "operator": operator,
        "solver": solver,
        "noise_std": noise_std,
        "images": IMAGES,
        "draws": DRAWS,
    }
    config.posterior.update(settings)
    with tempfile.TemporaryDirectory() as folder:
        copy = shutil.copytree(workdir, pathlib.Path(folder) / "run")
        shutil.rmtree(copy / "restore", ignore_errors=True)
        start = time.monotonic()
        run_lib.run(config, mode="restore", workdir=copy)
        seconds = time.monotonic() - start
        (written,) = (copy / "restore").glob("*.json")
        found = files.read_json(written)
    kept = ("draw", "mean", "evaluations", "not_finite", *PLAIN)
    return {"seconds": round(seconds), **{key: found[key] for key in kept if key in found}}


def table(done: dict[str, dict]) -> str:
    """One line per solver, one column per measurement."""
    lines = ["| | " + " | ".join(TASKS) + " |", "|---|" + "---|" * len(TASKS)]
    for solver in SOLVERS:
        cells = [done.get(f"{solver}; {task}") for task in TASKS]
        lines.append(f"| `{solver}` | " + " | ".join(map(_cell, cells)) + " |")
    for name in PLAIN:
        by_task = {key.partition("; ")[2]: cell for key, cell in done.items() if name in cell}
        texts = [_scores(by_task[task][name]) if task in by_task else "" for task in TASKS]
        lines.append(f"| {name.replace('_', ' ')} | " + " | ".join(texts) + " |")
    return "\n".join(lines)


def _cell(found: dict | None) -> str:
    if not found:
        return ""
    if not found["draw"]:
        return "not finite"
    lost = f"; {len(found['not_finite'])} not finite" if found["not_finite"] else ""
    return f"{_scores(found['draw'])}; {found['mean']['psnr']:.1f}{lost}"


def _scores(found: dict) -> str:
    return f"{found['psnr']:.1f} / {found['ssim']:.2f} / {found['consistency']:.1g}"


def _newest(workdir: pathlib.Path) -> int | None:
    checkpoints = training.Checkpoints(workdir / "checkpoints")
    step = checkpoints.latest_step()
    checkpoints.close()
    return step


def main(argv: list[str] | None = None) -> int:
    """Runs what is not done yet and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", type=pathlib.Path, required=True)
    parser.add_argument("--cells", type=int, default=1000, help="stop after that many")
    options = parser.parse_args(argv)
    done: dict[str, dict] = files.read_json(DONE) if DONE.exists() else {}
    of = {"workdir": str(options.workdir), "step": _newest(options.workdir)}
    if done.setdefault("of", of) != of:
        parser.error(f"{DONE} has cells of {done['of']}; delete it, or go on with that workdir.")
    wanted = [(solver, task) for solver, tasks in SOLVERS.items() for task in tasks]
    left = [(solver, task) for solver, task in wanted if f"{solver}; {task}" not in done]
    for solver, task in left[: options.cells]:
        done[f"{solver}; {task}"] = restored(options.workdir, solver, task)
        files.write_json(DONE, done)
    if len(left) > options.cells:
        print(f"{len(left) - options.cells} cells are left: run it again")
        return 0
    text = (
        f"{IMAGES} images, {DRAWS} draws each: PSNR / SSIM / consistency of one draw; PSNR of the "
        f"mean.\n\n{table(done)}"
    )
    write_between(PAGE, BEGIN, END, text)
    DONE.unlink()
    print(f"written to {PAGE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
