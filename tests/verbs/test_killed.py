"""An evaluation that is killed at random moments, and continued, is one that was never stopped."""

import pathlib
import shutil
import subprocess
import sys

import commands
import numpy as np

# Forks a child for each evaluation, before any back end of jax is started: whole(first workdir),
# then of the second, killing children a random moment after they have written so many files.
KILLER = """
import os, pathlib, random, signal, sys, time
import commands, small_network, run_lib
from verb_runs import run_quickly

whole, folder = map(pathlib.Path, sys.argv[1:])
config = commands.raw_config(
    "subvp",
    training__steps=2,
    likelihood__images_per_piece=10,  # 30 pieces of 297 images
    eval__enable_fid=True,
    eval__num_samples=160,  # 40 shards of 4
    eval__yardsticks=False,
)

def start(workdir):
    child = os.fork()
    if not child:
        code = 70
        try:
            code = run_quickly(config, "eval", workdir)
        finally:
            os._exit(code)
    return child

def written(pattern):
    found = {}
    for path in folder.glob(pattern):
        try:
            found[path] = path.stat().st_mtime_ns
        except FileNotFoundError:
            continue
    return found

assert os.waitpid(start(whole), 0)[1] == 0
moments, before = random.Random(0), {}
pieces, shards = "eval/pieces/*.npz", "eval/samples/*/*.npz"
for pattern, least, most in ((pieces, 1, 8), (pieces, 9, 20), (shards, 1, 8), (shards, 9, 20)):
    count, child = moments.randint(least, most), start(folder)
    while len(written(pattern)) < count:
        time.sleep(0.001)
        assert os.waitpid(child, os.WNOHANG) == (0, 0), "ended too early"
    time.sleep(moments.uniform(0, 0.01))
    os.kill(child, signal.SIGKILL)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    # What was there is used as it is; also the scores, where it is killed while it draws.
    now = written(pieces) | written(shards)
    assert before.items() <= now.items()
    before = now
assert len(written(pieces)) == 30 and not (folder / "eval" / "quality.json").exists()
assert os.waitpid(start(folder), 0)[1] == 0
drawn = {path: when for path, when in before.items() if path.parent.name != "pieces"}
assert drawn.items() <= written(shards).items() and len(written(shards)) == 40
assert not written("eval/pieces") and not written("eval/*/*/.*.tmp")
print(len(drawn))
"""


def results(workdir):
    folder = workdir / "eval"
    with np.load(folder / "bpd.npz") as stored:
        columns = dict(stored)
    return columns, [(folder / name).read_text() for name in ("results.json", "quality.json")]


def test_killed_at_random_moments_and_continued(trained, tmp_path):
    whole, folder = (
        shutil.copytree(trained("subvp"), tmp_path / name) for name in ("whole", "killed")
    )
    tests = pathlib.Path(commands.__file__).parent
    environment = commands.environment(
        PYTHONPATH=f"{tests}:{commands.ROOT}", XLA_FLAGS=f"{commands.QUICK} {commands.DEVICES}=1"
    )
    done = subprocess.run(
        [sys.executable, "-c", KILLER, str(whole), str(folder)],
        env=environment,
        cwd=commands.ROOT,
        capture_output=True,
        text=True,
        timeout=1000,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-1]) >= 9  # shards that were kept of those that were killed
    (columns, texts), (wanted, wanted_texts) = results(folder), results(whole)
    assert texts == wanted_texts and columns.keys() == wanted.keys()
    for name, column in columns.items():
        np.testing.assert_array_equal(column, wanted[name], err_msg=name)
