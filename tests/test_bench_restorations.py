"""The table of all solvers with a trained network: what it holds, and how it reads."""

from benchmarks import restorations
from scoresde_jax import build

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
