"""Samplers compared, as a command."""

from PIL import Image
from verb_runs import names


def test_a_sweep_writes_a_table_and_a_figure(small):
    code, workdir = small("subvp", "sweep", sweep__samplers=("ode", "unipc"))
    assert code == 0
    assert names(workdir / "sweep") == ["results.json", "sweep.png", "table.md"]
    with Image.open(workdir / "sweep" / "sweep.png") as image:
        image.verify()
    assert "| unipc | 4 steps | 4 |" in (workdir / "sweep" / "table.md").read_text()
