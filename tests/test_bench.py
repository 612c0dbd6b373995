"""`make bench` writes what docs/benchmarks.md reads, measured here on toys."""

import commands
import pytest
from small_network import SmallNetwork

from benchmarks import bench
from scoresde_jax import files
from scoresde_jax.build import assemble

WORKS = {"training_step", "network_evaluation", "pc_step", "likelihood_evaluation"}


@pytest.fixture
def output(tmp_path, monkeypatch):
    monkeypatch.setattr(assemble, "_network", lambda section: SmallNetwork())
    monkeypatch.setattr(bench, "matmul_rate", lambda: 100.0)
    config = commands.raw_config("subvp")
    for module in (bench.digits, bench.cifar10):
        monkeypatch.setattr(module, "get_config", lambda: config)
    return tmp_path / "bench.json"


def test_every_figure_is_there(output, capsys):
    for model in bench.BATCH_SIZES:
        assert bench.main(["--only", model, "--repeats", "1", "--output", str(output)]) == 0
    results = files.read_json(output)
    assert results["R"] == 100
    for model in ("digits", "cifar10_ddpmpp"):
        figures = results[model]
        assert WORKS == set(figures["seconds"]) == set(figures["compile_seconds"])
        for work in WORKS:
            assert figures[work] == pytest.approx(100 * figures["seconds"][work])
        assert figures["peak_bytes"] > 1e6
    overheads = [results[model]["pc_overhead"] for model in bench.BATCH_SIZES]
    assert results["pc_overhead"] == max(overheads) and min(overheads) > 0
    printed = capsys.readouterr().out
    assert "digits, batch 64" in printed and "peak memory" in printed


def test_one_model_keeps_the_figures_of_the_other(output):
    before = {"batch": 8, "pc_overhead": 1e9}
    files.write_json(output, {"cifar10_ddpmpp": before})
    assert bench.main(["--only", "digits", "--repeats", "1", "--output", str(output)]) == 0
    results = files.read_json(output)
    assert results["cifar10_ddpmpp"] == before and results["digits"]["batch"] == 64
    assert results["pc_overhead"] == 1e9
