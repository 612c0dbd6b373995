"""Metrics by step, cut back to the checkpoint on resuming."""

import pytest

from scoresde_jax import training


def test_lines_come_back_in_order(tmp_path):
    records = training.Records(tmp_path, start=0)
    records.write(1, {"loss": 2.5})
    records.write(2, {"loss": 0.1 + 0.2, "eval_loss": 1.0})
    records.close()
    assert training.read_records(tmp_path) == [
        {"step": 1, "loss": 2.5},
        {"step": 2, "loss": 0.1 + 0.2, "eval_loss": 1.0},  # floats survive exactly
    ]
    assert list((tmp_path / "tensorboard").iterdir())


def test_a_line_is_on_disk_at_once(tmp_path):
    records = training.Records(tmp_path, start=0)
    records.write(1, {"loss": 2.5})
    assert training.read_records(tmp_path) == [{"step": 1, "loss": 2.5}]
    records.close()


@pytest.mark.parametrize("start", [0, 2, 5])
def test_resuming_cuts_back_to_its_step(tmp_path, start):
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(f'{{"step": {k}, "loss": 1.0}}\n' for k in range(1, 6)))
    records = training.Records(tmp_path, start=start)
    records.write(start + 1, {"loss": 9.0})
    records.close()
    steps = [row["step"] for row in training.read_records(tmp_path)]
    assert steps == list(range(1, start + 2))
    assert training.read_records(tmp_path)[-1]["loss"] == 9.0


@pytest.mark.parametrize("torn", ['{"step": 3, "lo', '{"step": 3, "loss": 1.0}'])
def test_a_torn_last_line_is_dropped(tmp_path, torn):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "loss": 1.0}\n{"step": 2, "loss": 1.0}\n' + torn)
    assert [row["step"] for row in training.read_records(tmp_path)] == [1, 2]
    records = training.Records(tmp_path, start=5)
    records.write(6, {"loss": 1.0})
    records.close()
    assert [row["step"] for row in training.read_records(tmp_path)] == [1, 2, 6]


def test_a_workdir_without_records_has_none(tmp_path):
    assert training.read_records(tmp_path) == []
