"""`make check-report` fails on what a browser complains of; the browser is a stand-in."""

import shutil
import subprocess
import sys

import pytest

from tests import check_report

PAGE = "<html><body><img src='data:,'></body></html>"
WHOLE = "probe pictures=3 broken=0 asked=0 shown=[1]"


def checked(monkeypatch, tmp_path, title, stderr=""):
    """What the command returns where the browser ends up with this title and says this."""
    page = tmp_path / "report.html"
    page.write_text(PAGE)
    monkeypatch.setattr(sys, "argv", ["check_report", str(page)])
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/" + name)

    def run(command, **_):
        probed = command[-1].removeprefix("file://")
        with open(probed) as copy:
            assert copy.read() == PAGE + check_report.PROBE
        return subprocess.CompletedProcess(command, 0, f"<title>{title}</title>", stderr)

    monkeypatch.setattr(subprocess, "run", run)
    return check_report.main()


def test_a_whole_page_passes(monkeypatch, tmp_path, capsys):
    assert checked(monkeypatch, tmp_path, WHOLE) == 0
    assert "3 pictures, all of them shown" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("title", "stderr", "message"),
    [
        (WHOLE, "[1:2:INFO:CONSOLE(5)] Uncaught ReferenceError", "Uncaught ReferenceError"),
        (WHOLE.replace("broken=0", "broken=1"), "", "1 of 3 pictures do not show"),
        (WHOLE.replace("pictures=3", "pictures=0"), "", "0 of 0 pictures do not show"),
        (WHOLE.replace("asked=0", "asked=2"), "", "asked for 2 other files"),
        (WHOLE.replace("[1]", "[1 3]"), "", "sliders show [1, 3] pictures"),
        ("a page whose script did not run", "", "0 of 0 pictures do not show"),
    ],
)
def test_what_is_wrong_is_said(monkeypatch, tmp_path, capsys, title, stderr, message):
    assert checked(monkeypatch, tmp_path, title, stderr) == 1
    assert message in capsys.readouterr().err


def test_no_browser_and_no_page(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(sys, "argv", ["check_report", str(tmp_path / "none.html")])
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert check_report.main() == 2 and "apt-get install chromium" in capsys.readouterr().err
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/" + name)
    assert check_report.main() == 2 and "there is no" in capsys.readouterr().err
