"""Recomputes golden files with our code and says how far apart the two are.

    python -m tests.golden.check DIR

DIR is any folder of files in the format of tests/golden, or one of its subfolders. One line per
file: its name, the errors and tolerance of its worst array, ok or FAILED; below a failure, why.
The exit code is 1 if anything failed, or was not compared.
"""

import argparse
import importlib
import json
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from tests.golden import golden, published
from tests.golden.item import EXACT, Check, Comparison, Item

# Folder -> what its JSONs give as "produced_by", for files outside such a folder. The checks are
# in checks/<what follows the first underscore of the folder>.py.
KINDS = {
    "a_sde": ("ref_jax/sde_lib.py", "timesteps: sampling.get_pc_sampler"),
    "b_layers": ("ref_jax layer", "ref_jax/models/layers.py"),
    "b_models": ("ref_jax models/",),
    "c_score_fn": ("ref_jax/models/utils.py:get_score_fn",),
    "d_losses": (
        "ref_jax/losses.py:get_sde_loss_fn",
        "ref_jax/losses.py:get_smld_loss_fn",
        "ref_jax/losses.py:get_ddpm_loss_fn",
    ),
    "e_pc_updates": ("ref_jax/sampling.py predictors/correctors",),
    "f_likelihood": ("ref_jax/likelihood.py",),
    "g_ode_sampler": (
        "ref_jax/sampling.py:get_ode_sampler",
        "ref_jax/sampling.py:get_pc_sampler",
    ),
    "h_optimizer": ("ref_jax/losses.py:get_optimizer", "ref_jax/losses.py:get_step_fn"),
    "i_controllable": ("ref_jax/controllable_generation.py",),
    "j_updown": ("ref_jax/models/up_or_down_sampling.py",),
    "k_checkpoints": ("ref_jax models.utils.State",),
    "l_score_flow": ("ref_flow/sde_lib.py",),
    "tiny_models": ("random params",),
}
COUNTS = "param_counts.json"
Result = tuple[Item | None, list[str]]  # the account of a file, and what went wrong
TEXTS = {".md", ".py", ".pyc"}  # nothing to compare


def check_of(kind: str) -> Check:
    """The check of a kind of file."""
    name = kind.partition("_")[2] if kind != "tiny_models" else kind
    return importlib.import_module(f"tests.golden.checks.{name}").check


def kind_of(path: Path, produced_by: str) -> str:
    """Which kind of file this is, by its folder, or else by who made it; "" if neither tells."""
    for folder in path.resolve().parents:
        if folder.name in KINDS:
            return folder.name
    for kind, makers in KINDS.items():
        if makers and produced_by.startswith(makers):
            return kind
    return ""


def find(root: Path) -> Iterator[Path]:
    """Every file of a folder that has to be accounted for; checkpoints belong to their JSON."""
    for path in sorted(root.rglob("*")):
        if path.is_dir() or path.suffix in TEXTS:
            continue
        if path.suffix == ".npz" and path.with_suffix(".json").exists():
            continue
        folders = path.relative_to(root).parents
        if any(_is_checkpoint(root / f"{folder}.json") for folder in folders):
            continue
        yield path


def _is_checkpoint(path: Path) -> bool:
    """Whether this is the JSON of a checkpoint, whose files are in a folder of the same name."""
    if not path.exists():
        return False
    made_by = str(json.loads(path.read_text()).get("produced_by", ""))
    return kind_of(path, made_by) == "k_checkpoints"


def run(path: Path) -> Result:
    """Checks one JSON and the arrays beside it; returns the account, and what went wrong."""
    if path.suffix != ".json":
        return None, ["nothing says what this file is: it has no JSON beside it"]
    try:
        meta = json.loads(path.read_text())
        if path.name == COUNTS:
            return check_counts(path, meta)
        kind = kind_of(path, str(meta.get("produced_by", "")))
        if not kind:
            return None, ["neither its folder nor its produced_by is known here"]
        item = Item(path.with_suffix(""), kind, golden.read(path.with_suffix("")))
        check_of(kind)(item)
    except Exception as error:  # the other files are still to be checked
        return None, [f"{type(error).__name__}: {error}"]
    troubles = [
        f"{c.name}: absolute {c.absolute:.1e}, relative {c.relative:.1e}, "
        f"tolerance {c.tolerance:.0e}"
        for c in item.comparisons
        if not c.ok
    ]
    troubles += [f"{name} is not compared" for name in item.untaken()]
    if not item.comparisons:
        troubles.append("nothing was compared")
    return item, troubles


def run_all(paths: list[Path], jobs: int) -> Iterator[Result]:
    """The results of all files, in order."""
    if jobs == 1 or len(paths) == 1:
        yield from map(run, paths)
        return
    # Fresh processes: jax, once used, does not survive a fork.
    with ProcessPoolExecutor(min(jobs, len(paths)), get_context("spawn")) as pool:
        for future in [pool.submit(run, path) for path in paths]:
            try:
                yield future.result()
            except BrokenProcessPool:
                yield None, ["a process was killed, for want of memory perhaps; try --jobs 1"]


def check_counts(path: Path, meta: dict[str, Any]) -> Result:
    """Compares the sizes and the settings of published configs with ours."""
    item = Item(path.with_suffix(""), path.stem, golden.Golden(meta, {}, {}, {}))
    troubles = []
    names, _, _ = published.tables()
    for old, row in meta["rows"].items():
        found = published.differences(old, row)
        troubles += found
        if old in names:
            ours = published.description(published.config(names[old]))["params"]
            error = abs(ours - row["params"])
            item.comparisons.append(Comparison(old, error, error / row["params"], EXACT))
    return item, troubles


def line(name: str, item: Item | None, troubles: list[str]) -> str:
    """What is printed of one file."""
    verdict = "FAILED" if troubles else "ok"
    if item is None or not item.comparisons:
        return f"{name:<44} {verdict}"
    worst = max(item.comparisons, key=lambda c: c.relative / c.tolerance)
    absolute = max(c.absolute for c in item.comparisons)
    relative = max(c.relative for c in item.comparisons)
    return (
        f"{name:<44} {len(item.comparisons):>4} comparisons, largest errors: absolute "
        f"{absolute:.1e}, relative {relative:.1e}; nearest its tolerance {worst.tolerance:.0e}: "
        f"{worst.name} {worst.relative:.1e}  {verdict}"
    )


def main(arguments: list[str] | None = None) -> int:
    """Checks a folder; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.golden.check", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="processes; by default one per core"
    )
    options = parser.parse_args(arguments)
    root = options.folder
    if not root.is_dir():
        parser.error(f"{root} is not a folder")
    paths = list(find(root))
    failed = passed = 0
    for path, (item, troubles) in zip(paths, run_all(paths, options.jobs), strict=True):
        name = path.relative_to(root).with_suffix("").as_posix()
        print(line(name, item, troubles), flush=True)
        for trouble in troubles:
            print(f"    {trouble}", flush=True)
        passed, failed = passed + (not troubles), failed + bool(troubles)
    if not passed + failed:
        print(f"{root} has no golden files", file=sys.stderr)
        failed = 1
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
