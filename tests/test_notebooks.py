"""The notebooks run, on a reduced budget; what is committed of them is what they say and showed."""

import ast
import base64
import io
import re

import jupytext
import nbformat
import pytest
from matplotlib import pyplot
from PIL import Image

from notebooks.run import texts

REPOSITORY = "https://github.com/scoresde-jax/scoresde_jax"
TEXTS = texts()
SHOWS = re.compile(r"^(figure|picture\(|gallery\(|restored\(|Image\.fromarray\()", re.MULTILINE)
MACHINE = re.compile(r"/tmp|/work|/home|/root|/usr|/opt|\.venv|site-packages|0x[0-9a-f]{6}")
MAX_SIZE = 900e3  # bytes: GitHub shows a notebook of that size without being asked twice


def cells(text):
    return jupytext.read(text, fmt="py:percent").cells


def committed(text):
    return nbformat.read(text.with_suffix(".ipynb"), as_version=4)


def name(text):
    return text.stem


def run(text):
    """Executes every code cell of a notebook in this process, one after the other.

    A kernel would take seconds to start and hide the traceback; the cells are plain Python.
    """
    namespace = {"__name__": "__main__"}
    for i, cell in enumerate(cells(text)):
        if cell.cell_type != "code":
            continue
        # What an interpreter does: the value of the last line is shown.
        tree = ast.parse(cell.source, f"{text.name}, cell {i}")
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, f"{text.name}, cell {i}", "exec"), namespace)
        if last is not None:
            shown = eval(
                compile(ast.Expression(last.value), f"{text.name}, {i}", "eval"), namespace
            )
            assert shown is None or isinstance(shown, Image.Image)
        for number in pyplot.get_fignums():
            pyplot.figure(number).canvas.draw()
        pyplot.close("all")
    return namespace


@pytest.mark.parametrize("text", TEXTS, ids=name)
def test_every_cell_runs(text, monkeypatch, tmp_path):
    monkeypatch.setenv("SCORESDE_NOTEBOOK_BUDGET", "small")
    monkeypatch.chdir(tmp_path)
    pyplot.switch_backend("agg")  # windows have no place here
    try:
        assert run(text)["SMALL"]
    finally:
        pyplot.close("all")
    assert not list(tmp_path.iterdir())


def test_a_cell_that_raises_is_noticed(tmp_path):
    text = tmp_path / "broken.py"
    text.write_text("# %%\nx = 1\n\n# %%\nassert x == 2\n")
    with pytest.raises(AssertionError) as error:
        run(text)
    assert "broken.py, cell 1" in str(error.traceback[-1].path)


def test_there_are_four():
    assert [text.stem[0] for text in TEXTS] == ["1", "2", "3", "4"]


@pytest.mark.parametrize("text", TEXTS, ids=name)
def test_what_is_committed_is_of_this_text(text):
    """If not: make notebooks."""
    ours, theirs = cells(text), committed(text).cells
    assert [(c.cell_type, c.source) for c in ours] == [(c.cell_type, c.source) for c in theirs]
    assert text.with_suffix(".ipynb").stat().st_size < MAX_SIZE


@pytest.mark.parametrize("text", TEXTS, ids=name)
def test_what_is_committed_shows_pictures_and_nothing_of_the_machine(text):
    notebook = committed(text)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert not MACHINE.search("".join(str(cell.outputs) for cell in code if not pictures(cell)))
    for cell in code:
        kinds = [output.output_type for output in cell.outputs]
        assert set(kinds) <= {"stream", "display_data", "execute_result"}  # no errors
        for output in cell.outputs:
            assert not MACHINE.search(output.get("text", ""))
            assert not MACHINE.search(output.get("data", {}).get("text/plain", ""))
        if SHOWS.search(cell.source):
            assert pictures(cell), f"no picture:\n{cell.source}"
        for picture in pictures(cell):
            with Image.open(io.BytesIO(base64.b64decode(picture))) as image:
                image.load()
                assert image.format == "PNG" and min(image.size) > 20
    assert sum(len(pictures(cell)) for cell in code) >= 5
    assert set(notebook.metadata) == {"kernelspec", "language_info"}


def pictures(cell):
    """The PNGs that a cell showed, base64."""
    data = [output.get("data", {}) for output in cell.get("outputs", [])]
    return [found["image/png"] for found in data if "image/png" in found]


@pytest.mark.parametrize("text", TEXTS, ids=name)
def test_all_are_opened_and_installed_from_one_address(text):
    source = text.read_text()
    account = REPOSITORY.removeprefix("https://github.com/")
    badge = (
        f"https://colab.research.google.com/github/{account}/blob/main/notebooks/{name(text)}.ipynb"
    )
    assert source.count(badge) == 1 and f'REPOSITORY = "{REPOSITORY}"' in source
    found = re.findall(r"github(?:\.com)?/([\w-]+/[\w-]+)", source)
    assert set(found) == {account}
    install = cells(text)[1].source
    assert install == cells(TEXTS[0])[1].source and "google.colab" in install


@pytest.mark.parametrize("text", TEXTS, ids=name)
def test_links_between_notebooks_lead_somewhere(text):
    for link in re.findall(r"\]\(([^)h][^)]*)\)", text.read_text()):
        assert (text.parent / link).is_file(), link
