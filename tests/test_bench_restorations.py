"""The table of all solvers with a trained network: what it holds, and how it reads."""

import pytest

from benchmarks import restorations
from scoresde_jax import build, files

NUMBERS = {"psnr": 17.04, "ssim": 0.709, "consistency": 0.0051}
CELL = {"draw": NUMBERS, "mean": NUMBERS | {"psnr": 18.1}, "evaluations": 5, "not_finite": []}


def test_every_solver_is_in_it():
    assert set(restorations.SOLVERS) == set(build.RESTORERS)
    assert {operator for operator, _ in restorations.TASKS.values()} <= set(build.OPERATORS)
    for tasks in restorations.SOLVERS.values():
        assert set(tasks) <= set(restorations.TASKS)


def test_table():
    done = {"ddrm; box": CELL | {"nearest": NUMBERS}, "pigdm; box": CELL | {"not_finite": [[1, 0]]}}
    lines = restorations.table(done).splitlines()
    cells = {line.split("|")[1].strip(): line.split("|")[2].strip() for line in lines[2:]}
    assert cells["`ddrm`"] == "17.0 / 0.71 / 0.005; 18.1"
    assert cells["`pigdm`"] == "17.0 / 0.71 / 0.005; 18.1; 1 not finite"
    assert cells["nearest"] == "17.0 / 0.71 / 0.005" and cells["`dps`"] == ""
    assert {line.count("|") for line in lines} == {len(restorations.TASKS) + 2}


def test_cells_of_another_workdir_are_not_mixed_in(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(restorations, "DONE", tmp_path / "done.json")
    monkeypatch.setattr(restorations, "restored", lambda *_: CELL)
    first, second = str(tmp_path / "first"), str(tmp_path / "second")
    assert restorations.main(["--workdir", first, "--cells", "1"]) == 0
    assert restorations.main(["--workdir", first, "--cells", "1"]) == 0
    before = files.read_json(tmp_path / "done.json")
    assert len(before) == 3  # two cells, and whose they are
    with pytest.raises(SystemExit):
        restorations.main(["--workdir", second, "--cells", "1"])
    assert f"cells of {{'workdir': '{first}'" in capsys.readouterr().err
    assert files.read_json(tmp_path / "done.json") == before
