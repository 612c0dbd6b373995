"""Runs the notebooks, written as text in the .py beside this, into .ipynb with what they showed.

    python -m notebooks.run [NAME ...]        all, or those whose names begin so

An .ipynb is written whole or not at all, and only if every cell ran. Times, identities and other
traces of the machine are left out, so that only what was shown differs from run to run.
"""

import base64
import io
import os
import pathlib
import re
import sys

import jupytext
import nbformat
from nbclient import NotebookClient
from PIL import Image

from scoresde_jax import files

FOLDER = pathlib.Path(__file__).parent
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
SHOWN = ("image/png", "text/plain")  # of what a cell shows, the first that there is
TIMEOUT = 1800  # seconds a cell may take
# Most of a notebook's time on a CPU is compilation; so it takes a third of the time.
SOON = "--xla_backend_optimization_level=1 --xla_llvm_disable_expensive_passes=true"


def texts() -> list[pathlib.Path]:
    """The notebooks as text, in order."""
    return sorted(FOLDER.glob("[0-9]_*.py"))


def run(text: pathlib.Path) -> pathlib.Path:
    """Runs one and writes the .ipynb; raises what a cell raises."""
    notebook = jupytext.read(text, fmt="py:percent")
    NotebookClient(
        notebook,
        timeout=TIMEOUT,
        kernel_name="python3",
        resources={"metadata": {"path": str(text.parent)}},
        record_timing=False,
    ).execute()
    notebook.metadata = nbformat.from_dict(METADATA)
    for i, cell in enumerate(notebook.cells):
        cell.id, cell.metadata = f"cell-{i}", nbformat.from_dict({})
        if cell.cell_type == "code":
            cell.outputs = [plain(output) for output in cell.outputs if not is_noise(output)]
    target = text.with_suffix(".ipynb")
    content = nbformat.writes(notebook)
    nbformat.validate(nbformat.reads(content, as_version=4))
    files.write(target, lambda stream: stream.write(content.encode() + b"\n"))
    return target


def is_noise(output: nbformat.NotebookNode) -> bool:
    """Progress bars and messages of the machine, which are nothing that the reader wants."""
    return output.output_type == "stream" and output.name == "stderr"


def plain(output: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The picture of what was shown, or else its text."""
    if "data" in output:
        kind = next(kind for kind in SHOWN if kind in output.data)
        content = output.data[kind]
        content = small(content) if kind == "image/png" else content
        output.data = nbformat.from_dict({kind: content})
        output.metadata = nbformat.from_dict({})
    return output


def small(png: str) -> str:
    """A PNG, base64, in 256 colours: a third of the bytes, and no word of what drew it."""
    image = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
    stream = io.BytesIO()
    image.quantize(256, dither=Image.Dither.NONE).save(stream, "PNG", optimize=True)
    return base64.b64encode(stream.getvalue()).decode()


def main(names: list[str]) -> None:
    """Runs those whose names begin with one of `names`, or all."""
    os.environ.setdefault("XLA_FLAGS", SOON)  # kernels inherit it
    for text in texts():
        if not names or any(text.name.startswith(name) for name in names):
            target = run(text)
            shown = len(re.findall('"image/png"', target.read_text()))
            print(
                f"{target.name}: {target.stat().st_size / 1e3:.0f} kB, {shown} pictures", flush=True
            )


if __name__ == "__main__":
    main(sys.argv[1:])
