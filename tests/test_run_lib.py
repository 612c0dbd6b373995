"""Verbs by name, and where runs go."""

import pytest

import main
import run_lib


@pytest.mark.parametrize(
    ("file", "workdir"),
    [
        ("configs/vp/digits.py", "runs/vp-digits-default"),
        ("configs/subvp/emoji.py:tiny", "runs/subvp-emoji-tiny"),
    ],
)
def test_default_workdir(file, workdir):
    assert run_lib.default_workdir(file).as_posix() == workdir


def test_every_mode_of_the_command_line_is_a_verb():
    assert main.FLAGS["mode"].parser.enum_values == list(run_lib.VERBS)
