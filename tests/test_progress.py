"""Plain lines off a terminal, a bar on one; rates count from where the run starts."""

import io

import pytest

from scoresde_jax import progress


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_plain_lines_are_few_and_the_last_is_printed(capsys, clock):
    shown = progress.Progress("train", 100, unit="step")
    for step in range(1, 101):
        clock[0] += 1
        shown.update(step, "loss 0.5")
    shown.close()
    lines = capsys.readouterr().err.splitlines()
    assert 5 <= len(lines) <= 12  # one in ten seconds, and the end
    assert lines[-1] == "train: 100/100 step, 0 s left  loss 0.5"


def test_a_note_stays_until_the_next(capsys, clock):
    shown = progress.Progress("train", 100, unit="step")
    shown.update(1, "loss 0.5")
    clock[0] += 20
    shown.update(2)
    assert capsys.readouterr().err.endswith("loss 0.5\n")


def test_time_left_counts_from_the_resumed_step(capsys, clock):
    shown = progress.Progress("train", 100, start=50, unit="step")
    clock[0] += 20
    shown.update(60)  # 10 steps in 20 s; 40 are left
    assert "60/100 step, 80 s left" in capsys.readouterr().err


def test_a_terminal_gets_a_bar(monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(progress.sys, "stderr", terminal)
    shown = progress.Progress("train", 10, unit="step")
    shown.update(10, "loss 0.5")
    shown.close()
    assert "10/10" in terminal.getvalue() and "loss 0.5" in terminal.getvalue()
