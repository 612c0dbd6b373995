"""One HTML page that holds all it shows: pictures as data, styles inline, no address but its own.

    html = document("title", [section("Results", table(...)), section("Samples", picture(...))])

Everything that comes from outside is escaped. A page asks nothing of the network.
"""

import base64
import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --accent: #4477aa; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { margin-bottom: .2rem; } h2 { border-bottom: 1px solid var(--line); margin-top: 2.5rem; }
.lead { opacity: .75; margin-top: 0; }
.cards { display: flex; flex-wrap: wrap; gap: .8rem; margin: 1.2rem 0; }
.card { background: var(--soft); border-left: 4px solid var(--accent); padding: .5rem 1rem; }
.card b { display: block; font-size: 1.4rem; font-variant-numeric: tabular-nums; }
.card span { opacity: .75; font-size: .85rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .2rem .9rem .2rem 0; border-bottom: 1px solid var(--line); }
.wide { overflow-x: auto; }
figure { margin: 1rem 0; } figcaption { opacity: .75; font-size: .9rem; }
img { max-width: 100%; background: #fff; } img.pixels { image-rendering: pixelated; }
details { margin: .3rem 0; } summary { cursor: pointer; }
input[type=range] { width: min(30rem, 100%); accent-color: var(--accent); }
nav a { margin-right: 1rem; }
"""
_SLIDER = """
for (const box of document.querySelectorAll('.slider')) {
  const frames = [...box.querySelectorAll('figure')], bar = box.querySelector('input');
  const show = () => frames.forEach((frame, i) => { frame.hidden = i !== Number(bar.value); });
  bar.addEventListener('input', show);
  show();
}
"""


def document(title: str, lead: str, sections: Sequence[tuple[str, str]]) -> str:
    """A whole page.

    Args:
      title, lead: plain text; the lead is the line under the title.
      sections: headings (plain text) and their HTML.
    """
    links = "".join(f'<a href="#s{i}">{_text(name)}</a>' for i, (name, _) in enumerate(sections))
    body = "".join(
        f'<h2 id="s{i}">{_text(name)}</h2>\n{inner}\n' for i, (name, inner) in enumerate(sections)
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{_text(title)}</title><link rel="icon" href="data:,"><style>{_STYLE}</style>'
        f'</head><body><h1>{_text(title)}</h1><p class="lead">{_text(lead)}</p>'
        f"<nav>{links}</nav>\n{body}<script>{_SLIDER}</script></body></html>\n"
    )


def paragraph(text: str) -> str:
    """Plain text."""
    return f"<p>{_text(text)}</p>"


def cards(values: Iterable[tuple[str, str]]) -> str:
    """The figures that matter, each (value, what it is)."""
    inner = "".join(
        f'<div class="card"><b>{_text(value)}</b><span>{_text(name)}</span></div>'
        for value, name in values
    )
    return f'<div class="cards">{inner}</div>'


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Rows of plain text under a header."""
    head = "".join(f"<th>{_text(cell)}</th>" for cell in header)
    body = "".join(f"<tr>{_cells(row)}</tr>" for row in rows)
    inner = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="wide">{inner}</div>'


def picture(png: bytes, caption: str, *, pixels: bool = False) -> str:
    """A PNG with a caption; `pixels` keeps the pixels of small images sharp."""
    data = base64.b64encode(png).decode()
    kind = ' class="pixels"' if pixels else ""
    return (
        f'<figure><img{kind} src="data:image/png;base64,{data}" alt="{_text(caption)}">'
        f"<figcaption>{_text(caption)}</figcaption></figure>"
    )


def slider(pictures: Sequence[tuple[bytes, str]]) -> str:
    """Pictures (PNG, caption) in one place, the last shown first; without scripts, all of them."""
    last = len(pictures) - 1
    frames = "".join(picture(png, caption, pixels=True) for png, caption in pictures)
    bar = f'<input type="range" min="0" max="{last}" value="{last}" aria-label="which picture">'
    return f'<div class="slider">{bar}{frames}</div>' if last else frames


def settings(values: Mapping[str, Any]) -> str:
    """A config: its sections fold, the values of one are a table."""
    parts = []
    for name, section in values.items():
        rows = sorted(_leaves(section))
        parts.append(
            f"<details><summary>{_text(name)}</summary>{table(('key', 'value'), rows)}</details>"
        )
    return "".join(parts)


def _cells(row: Sequence[Any]) -> str:
    return "".join(f"<td>{_text(cell)}</td>" for cell in row)


def _leaves(section: Any, where: str = "") -> list[tuple[str, Any]]:
    if not isinstance(section, Mapping):
        return [(where, section)]
    dot = f"{where}." if where else ""
    return [leaf for key, value in section.items() for leaf in _leaves(value, f"{dot}{key}")]


def _text(value: Any) -> str:
    return html.escape(str(value), quote=True)
