"""Pieces of HTML for the page and the notebook: tables, figures, data to save.

A piece is self-contained: no script, no style sheet, no reference to other files. Text from a store
is escaped. Nothing is computed here.
"""

import base64
import gzip
import hashlib
import io
import re
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

import pandas as pd
from matplotlib import rc_context
from matplotlib.figure import Figure

from transferlab.results import formats
from transferlab.results.figures import layout
from transferlab.runtime.escapes import escaped, inert

SVG = {"svg.fonttype": "path", "svg.image_inline": True}
_ID = re.compile(r'(\bid="|url\(#|href="#)([^")]*)')
WIDER = 1.6  # times its size, the largest a figure is shown
LONG = 24  # letters, above which a cell wraps
PLAIN_BYTES = 1_000_000  # of a CSV, above which it is compressed
SHOWN_LINES = 60  # of a CSV that is shown as well as saved


class Fragment(str):
    """HTML that a notebook renders."""

    def _repr_html_(self) -> str:
        return str(self)


def join(pieces: Iterable[str]) -> Fragment:
    return Fragment("\n".join(piece for piece in pieces if piece))


def paragraph(sentences: str) -> Fragment:
    return Fragment(f"<p>{text(sentences)}</p>")


def text(text: str) -> str:
    """A text as HTML, in one line, without effect on the page."""
    return escape(escaped(text))


def placeholder(sentence: str) -> Fragment:
    """A sentence in place of a figure."""
    return Fragment(f'<p class="placeholder">{text(sentence)}</p>')


def notes(sentences: Sequence[str]) -> Fragment:
    """The notes of a table as a list."""
    if not sentences:
        return Fragment()
    items = "".join(f"<li>{text(note)}</li>" for note in sentences)
    return Fragment(f'<ul class="notes">{items}</ul>')


def table(frame: pd.DataFrame) -> Fragment:
    """The readable columns of a table, in a box that scrolls.

    `data-value` is the number of a cell, by which its column is sorted.
    """
    cells = formats.cells(frame, pasted=True)
    numeric = {key: formats.is_number(frame, key) for key in cells}
    head = "".join(
        f'<th scope="col"{_class(numeric[key])}>{_heading(str(key))}</th>' for key in cells
    )
    columns = [
        _numbers(cells[key], frame[formats.column_of(key)]) if numeric[key] else _texts(cells[key])
        for key in cells
    ]
    rows = "\n".join(f"<tr>{''.join(row)}</tr>" for row in zip(*columns, strict=True))
    caption = text(_caption(frame))
    return Fragment(
        f'<div class="scroll" role="region" aria-label="{caption}" tabindex="0"><table>'
        f"<caption>{caption}</caption>\n<thead><tr>{head}</tr></thead>\n"
        f"<tbody>\n{rows}\n</tbody></table></div>"
    )


def facts(frame: pd.DataFrame) -> Fragment:
    """A table of two columns, name and value, as a list of terms."""
    lines = "".join(
        f"<dt>{text(inert(name))}</dt><dd>{text(inert(value))}</dd>"
        for name, value in frame.itertuples(index=False)
    )
    return Fragment(f"<dl>{lines}</dl>")


def figure(drawn: Figure, name: str, *, alt: str) -> Fragment:
    """The figure as SVG, the same for the same figure.

    Its ids, and the references to them, begin with its name, so that those of several figures on a
    page differ.
    """
    buffer = io.StringIO()
    style: dict[Any, Any] = {**layout.style(), **SVG, "svg.hashsalt": name}
    with rc_context(style):
        drawn.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :].rstrip()
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<style.*?</style>\s*", "", svg, flags=re.DOTALL)  # would apply to the whole page
    svg = _ID.sub(lambda match: match[1] + f"{name}-{match[2]}".replace(" ", "-"), svg)
    width, height = drawn.get_size_inches()
    shape = f'style="width: 100%; max-width: {WIDER * width:.4g}in; height: auto"'
    opening = f'<svg role="img" aria-label="{text(alt)}" {shape} '
    svg = opening + re.sub(r' (?:width|height)="[^"]*"', "", svg.removeprefix("<svg "), count=2)
    return Fragment(f'<figure id="{name}-figure" class="figure">{svg}</figure>')


def data(frame: pd.DataFrame, name: str) -> Fragment:
    """A table's every column and digit as CSV: a file to save, and if it is short, its text. A long
    one is compressed: of 10,000 runs it would make the page several times as large."""
    content = str(formats.render(frame, "csv"))
    plain, file, kind = content.encode(), f"{escape(name)}.csv", "text/csv;charset=utf-8"
    if len(plain) > PLAIN_BYTES:
        plain, file, kind = gzip.compress(plain, mtime=0), f"{file}.gz", "application/gzip"
    encoded = base64.b64encode(plain).decode()
    rows = f"{len(frame)} row{'' if len(frame) == 1 else 's'}"
    shown = f'<pre tabindex="0">{escape(content)}</pre>' if len(frame) <= SHOWN_LINES else ""
    return Fragment(
        f'<details class="data"><summary>Data as CSV: {escape(name)}, {rows}</summary>'
        f'<p><a download="{file}" href="data:{kind};base64,{encoded}">'
        f"Save {file}</a></p>{shown}</details>"
    )


def digest(script: str) -> str:
    """The hash by which a content security policy allows an inline script."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _caption(frame: pd.DataFrame) -> str:
    return formats.title(frame) if "metric" in frame.attrs else str(frame.attrs["title"])


def _texts(cells: pd.Series) -> list[str]:
    """The cells of a column; of many runs there are few different ones."""
    long = {True: ' class="long"', False: ""}
    texts = cells.tolist()
    known = {text: f"<td{long[len(text) > LONG]}>{escape(text)}</td>" for text in {*texts}}
    return [known[text] for text in texts]


def _numbers(cells: pd.Series, values: pd.Series) -> list[str]:
    """The same of a column of numbers, in whose texts nothing has to be escaped."""
    return [
        f'<td class="number" data-value="{value}">{text}</td>'
        if text
        else '<td class="number"></td>'
        for text, value in zip(cells.tolist(), values.tolist(), strict=True)
    ]


def _heading(key: str) -> str:
    """The name of a column, which may wrap at its underscores."""
    return escape(key).replace("_", "_<wbr>")


def _class(numeric: bool) -> str:
    return ' class="number"' if numeric else ""
