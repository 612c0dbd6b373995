"""Samples in files are those of one uninterrupted run, whatever happened in between."""

import collections
import pathlib
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

from scoresde_jax import files, shards
from scoresde_jax.evaluation import sample_files

WORK = {"step": 3, "sampler": {"name": "pc", "steps": 10}, "seed": 0}
SIZE, SHAPE = 8, (4, 4, 1)


def draw(number):
    """Samples of a shard: by its number alone."""
    rng = np.random.default_rng(number)
    return {
        "images": rng.integers(0, 256, (SIZE, *SHAPE), dtype=np.uint8),
        "nfe": np.full(SIZE, number),
    }


def samples(folder, count, draw=draw, work=WORK, **options):
    return sample_files.samples(
        folder, count, draw, size=SIZE, image_bytes=16, work=work, **options
    )


def together(pieces):
    pieces = list(pieces)
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}


def wanted(count):
    found = together(draw(number) for number in range(-(-count // SIZE)))
    return {name: column[:count] for name, column in found.items()}


def check(found, count):
    for name, column in wanted(count).items():
        np.testing.assert_array_equal(found[name], column)


def counted(counts):
    def counting(number):
        counts[number] += 1
        return draw(number)

    return counting


@pytest.mark.parametrize("count", [1, 8, 20])
def test_as_many_as_asked_for(tmp_path, count):
    done = []
    check(together(samples(tmp_path / "s", count, progress=done.append)), count)
    assert done == [*range(SIZE, count, SIZE), count]


def test_more_samples_join_those_there_are(tmp_path):
    counts = collections.Counter()
    for count in (20, 5, 33):
        check(together(samples(tmp_path, count, counted(counts))), count)
    assert counts == {number: 1 for number in range(5)}
    np.testing.assert_array_equal(together(samples(tmp_path, 33))["images"], wanted(33)["images"])


# Forks children that draw, and kills each a random moment after it has written a file or two, until
# one is done before that; says how many it killed.
KILLER = """
import os, pathlib, random, signal, sys, time
import numpy as np
from evaluation.test_sample_files import counted, draw, samples

folder, random_ = pathlib.Path(sys.argv[1]), random.Random(0)

def slowly(number):
    time.sleep(0.03)
    with open(folder.parent / "drawn", "a") as log:
        log.write(f"{number}\\n")
    return draw(number)

def written():
    return len(list(folder.glob("*.npz")))

killed, ended = 0, 0
while not ended:
    enough, child = written() + random_.randint(1, 2), os.fork()
    if not child:
        for _ in samples(folder, 100, slowly):
            pass
        os._exit(0)
    while written() < enough and not ended:
        time.sleep(0.001)
        ended, status = os.waitpid(child, os.WNOHANG)
    if not ended:
        time.sleep(random_.uniform(0, 0.05))
        os.kill(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
        killed += 1
    assert status in (0, signal.SIGKILL), status
print(killed)
"""


def test_killed_at_random_moments_and_continued(tmp_path):
    tests = pathlib.Path(__file__).resolve().parents[1]
    command = [sys.executable, "-c", KILLER, str(tmp_path / "s")]
    environment = {"PYTHONPATH": f"{tests}:{tests.parent}", "JAX_PLATFORMS": "cpu"}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=400)
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) >= 3  # kills; each lets two or three of 13 shards through
    drawn = (tmp_path / "drawn").read_text().split()
    # 13 shards; one is lost at a kill at most.
    assert set(drawn) == set(map(str, range(13))) and len(drawn) <= 13 + int(run.stdout)

    def never(number):
        raise AssertionError(f"shard {number} was not kept")

    check(together(samples(tmp_path / "s", 100, never)), 100)
    assert {path.suffix for path in (tmp_path / "s").iterdir()} == {".npz", ".json"}


def test_other_work_is_refused_and_nothing_lost(tmp_path):
    list(samples(tmp_path, 16))
    before = sorted(tmp_path.iterdir())
    other = {"step": 4, "sampler": {"name": "pc", "steps": 20}, "seed": 0}
    message = "step was 3 and is 4; sampler.steps was 10 and is 20. Name another folder"
    with pytest.raises(ValueError, match=message):
        samples(tmp_path, 16, work=other)
    with pytest.raises(ValueError, match="seed was 0 and is None"):
        samples(tmp_path, 16, work={name: WORK[name] for name in ("step", "sampler")})
    assert sorted(tmp_path.iterdir()) == before
    check(together(samples(tmp_path, 16)), 16)


def test_a_folder_of_something_else_is_refused_and_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("all of it")
    with pytest.raises(ValueError, match="is no folder of samples"):
        samples(tmp_path, 16)
    assert (tmp_path / "thesis.tex").exists()


def test_a_disk_without_room_is_found_before_anything_is_drawn(tmp_path, monkeypatch):
    usage = collections.namedtuple("usage", "free")
    # Room for the reserve and two of three shards, 128 bytes each.
    free = sample_files.RESERVE + 300
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(free))
    with pytest.raises(OSError, match=re.escape("64 MiB free, of which 64 are to stay")):
        samples(tmp_path / "new" / "s", 24)
    assert not (tmp_path / "new").exists()
    list(samples(tmp_path / "s", 16))
    check(together(samples(tmp_path / "s", 24)), 24)  # one more fits


def test_a_disk_that_fills_up_loses_nothing(tmp_path, monkeypatch):
    write = files.write_npz

    def full(path, arrays):
        if path.name == "2.npz":
            raise OSError(28, "No space left on device")
        write(path, arrays)

    monkeypatch.setattr(files, "write_npz", full)
    with pytest.raises(OSError, match="is full; the 16 samples drawn so far are whole"):
        list(samples(tmp_path, 24))
    monkeypatch.setattr(files, "write_npz", write)
    counts = collections.Counter()
    check(together(samples(tmp_path, 24, counted(counts))), 24)
    assert counts == {2: 1}


def test_a_broken_shard_is_drawn_again(tmp_path):
    list(samples(tmp_path, 24))
    (tmp_path / "1.npz").write_bytes(b"PK broken")
    check(together(samples(tmp_path, 24)), 24)
    assert shards.kept(tmp_path) == {0, 1, 2}
