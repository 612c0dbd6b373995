"""Imports point down the layers, and each library has its place."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
PACKAGE = "scoresde_jax"

# The table of CONTRIBUTING.md: a module imports from lower layers, or from its own package.
LAYERS = {
    "version": 0,
    "types": 0,
    "files": 0,
    "progress": 0,
    "tables": 0,
    "page": 0,
    "runge_kutta": 0,
    "compaction": 0,
    "sde": 1,
    "ode": 1,
    "sharding": 1,
    "shards": 1,
    "models": 1,
    "data": 1,
    "score": 2,
    "losses": 3,
    "likelihood": 3,
    "sampling": 3,
    "guidance": 3,
    "posterior": 4,
    "training": 4,
    "evaluation": 4,
    "interop": 4,
    "build": 5,
    "tasks": 6,
    "scoring": 6,
    "programs": 7,
    "workdirs": 7,
    "reports": 8,
    "sweeps": 8,
    "quality": 8,
    "yardsticks": 8,
    "encodings": 6,
    "recognition": 6,
    "verbs": 9,
    "run_lib": 10,
    "main": 11,
}

# library -> where it may be imported, as prefixes of paths
PLACES = {
    "flax": ("scoresde_jax/models/", "scoresde_jax/training/", "scoresde_jax/build/"),
    "ml_collections": ("configs/", "scoresde_jax/build/", "main.py"),
    "optax": ("scoresde_jax/training/", "scoresde_jax/build/"),
    "diffrax": ("scoresde_jax/ode.py",),
    "orbax": ("scoresde_jax/training/checkpoint.py",),
    "sklearn": ("scoresde_jax/data/",),
    "grain": ("scoresde_jax/data/",),
    "tensorflow_datasets": ("scoresde_jax/data/",),
    "tensorflow": (),
    "matplotlib": ("scoresde_jax/evaluation/figures.py",),
    "PIL": ("scoresde_jax/evaluation/figures.py", "scoresde_jax/data/"),
    "tensorboardX": ("scoresde_jax/training/records.py",),
    "safetensors": ("scoresde_jax/interop/plain.py", "scoresde_jax/interop/inception.py"),
    "msgpack": ("scoresde_jax/interop/original.py",),
    "tqdm": ("scoresde_jax/progress.py",),
    "absl": ("main.py", "scoresde_jax/data/pipeline.py"),
}


def imports(source):
    """Dotted names that a module imports anywhere in it, `from a import b` as a.b."""
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports here are absolute"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def unit(name):
    """The row of LAYERS that a dotted name belongs to; None for other libraries."""
    parts = name.split(".")
    if parts[0] in ("run_lib", "main"):
        return parts[0]
    return (parts[1] if len(parts) > 1 else "") if parts[0] == PACKAGE else None


def violations(root):
    """What imports upwards, sideways, or a library out of its place; one line each."""
    found = []
    files = [*root.glob(f"{PACKAGE}/**/*.py"), *root.glob("configs/**/*.py"), *root.glob("*.py")]
    for path in files:
        place = path.relative_to(root).as_posix()
        dotted = place.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        own = unit(dotted)
        for name in imports(path.read_text()):
            allowed = PLACES.get(name.split(".")[0])
            if allowed is not None and not _in(place, allowed):
                found.append(f"{place} imports {name}")
            other = unit(name)
            if place.startswith("configs/") and name.split(".")[0] in (PACKAGE, "run_lib"):
                found.append(f"{place} imports {name}")
            if not own or other is None or other == own:  # the package's front may see everything
                continue
            if own not in LAYERS or other not in LAYERS or LAYERS[other] >= LAYERS[own]:
                found.append(f"{place} imports {name}")
    return found


def _in(place, allowed):
    return any(place == a or place == f"{PACKAGE}/{a}" or place.startswith(a) for a in allowed)


def test_imports_point_down():
    assert violations(ROOT) == []


def test_every_module_has_a_layer():
    names = {p.stem for p in (ROOT / PACKAGE).iterdir() if p.suffix == ".py" or p.is_dir()}
    assert names - {"__init__", "__pycache__"} <= set(LAYERS)


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ("scoresde_jax/sde.py", "from scoresde_jax.score import guide"),  # up
        ("scoresde_jax/sde.py", "from scoresde_jax import build"),
        ("scoresde_jax/sde.py", "def f():\n    import scoresde_jax.losses"),  # hidden
        ("scoresde_jax/losses.py", "from scoresde_jax.sampling import pc"),  # beside
        ("scoresde_jax/sampling/pc.py", "import run_lib"),
        ("scoresde_jax/new.py", "from scoresde_jax.types import Array"),  # no layer
        ("scoresde_jax/sde.py", "import flax.linen as nn"),
        ("scoresde_jax/interop/original.py", "from flax import serialization"),
        ("scoresde_jax/build/assemble.py", "from orbax import checkpoint"),
        ("scoresde_jax/training/step.py", "from ml_collections import ConfigDict"),
        ("configs/common.py", "from scoresde_jax import sde"),
        ("run_lib.py", "import matplotlib.pyplot"),
    ],
)
def test_a_violation_is_found(tmp_path, place, line):
    path = tmp_path / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(line)
    assert len(violations(tmp_path)) == 1


def test_what_is_allowed_is_not_found(tmp_path):
    path = tmp_path / "scoresde_jax/training/step.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        "import optax\nfrom scoresde_jax import files\nfrom scoresde_jax.training import state\n"
    )
    assert violations(tmp_path) == []
