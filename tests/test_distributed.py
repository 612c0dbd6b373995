"""Two processes that train together are one process with the devices of both."""

import json
import pathlib
import subprocess
import sys

import commands
from verb_runs import arguments, names

from scoresde_jax import training

STEPS = 4
SETTINGS = {
    "training__steps": STEPS,
    "training__log_every": 1,
    "training__checkpoint_every": STEPS,
    "training__eval_every": 2,
    "training__snapshot_every": STEPS,
}
COMPARED = ("step", "loss", "grad_norm", "eval_loss")

# One import for all: a child for each list of arguments, in the environment that goes with it.
TRAINERS = """
import json, os, sys
from absl import app
import commands, main, run_lib
from scoresde_jax.build import assemble
from small_network import SmallNetwork

children = []
for variables, arguments in json.load(sys.stdin):
    children.append(os.fork())
    if not children[-1]:
        os.environ.update(variables)
        assemble._network = lambda section: SmallNetwork()
        sys.argv = ["main.py", *arguments]
        app.run(main.main, flags_parser=main.parse)
print([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children])
"""


def test_two_processes_train_what_one_does(tmp_path):
    alone, first, second = (tmp_path / name for name in ("alone", "first", "second"))
    # The second sees the checkpoints of the first, as it must; all else that it writes is apart.
    (first / "checkpoints").mkdir(parents=True)
    second.mkdir()
    (second / "checkpoints").symlink_to(first / "checkpoints")
    two = {"XLA_FLAGS": f"{commands.QUICK} {commands.DEVICES}=2"}
    tests = pathlib.Path(commands.__file__).parent
    with commands.cluster() as variables:
        runs = [(two, arguments(alone, **SETTINGS))]
        for folder, own in zip((first, second), variables, strict=True):
            runs.append((own, [*arguments(folder, **SETTINGS), "--distributed"]))
        done = subprocess.run(
            [sys.executable, "-c", TRAINERS],
            input=json.dumps(runs),
            env=commands.environment(
                PYTHONPATH=f"{tests}:{commands.ROOT}",
                XLA_FLAGS=f"{commands.QUICK} {commands.DEVICES}=1",
            ),
            cwd=commands.ROOT,
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0 and done.stdout.splitlines()[-1] == "[0, 0, 0]", done.stderr
    wanted, found = (
        [{name: row.get(name) for name in COMPARED} for row in training.read_records(folder)]
        for folder in (alone, first)
    )
    # Each device has the rows that it has there, and a sum of two is one in either order.
    assert found == wanted and [row["step"] for row in found] == list(range(1, STEPS + 1))
    assert sum(row["eval_loss"] is not None for row in found) == 2
    assert names(first) == names(alone) and names(second) == ["checkpoints"]
    assert names(first / "checkpoints") == [str(STEPS)]
