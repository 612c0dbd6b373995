"""Tables that a command makes, in the middle of a page of docs/."""

import pathlib

from scoresde_jax import files


def write_between(page: pathlib.Path, begin: str, end: str, text: str) -> None:
    """Puts a text between two lines of a page, in place of what is there."""
    before, _, rest = page.read_text().partition(begin)
    whole = f"{before}{begin}\n\n{text}\n\n{end}{rest.partition(end)[2]}"
    files.write(page, lambda stream: stream.write(whole.encode()))
