"""Pieces of HTML for the page and the notebook: tables, figures, data to take along.

A piece stands by itself: no script, no style sheet, nothing from elsewhere. Whatever comes from a
store is escaped. Nothing is computed here.
"""

import base64
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

SVG = {"svg.fonttype": "path", "svg.image_inline": True}
_ID = re.compile(r'(\bid="|url\(#|href="#)([^")]*)')
WIDER = 1.6  # times its size is a figure shown where there is room
LONG = 60  # letters, above which a cell is broken into lines
SHOWN_LINES = 60  # of a CSV that is shown too, and not only to be saved


class Fragment(str):
    """HTML that a notebook shows as such."""

    def _repr_html_(self) -> str:
        return str(self)


def join(pieces: Iterable[str]) -> Fragment:
    return Fragment("\n".join(piece for piece in pieces if piece))


def paragraph(text: str) -> Fragment:
    return Fragment(f"<p>{escape(text)}</p>")


def lacking(text: str) -> Fragment:
    """A sentence where a figure would be."""
    return Fragment(f'<p class="lacking">{escape(text)}</p>')


def notes(said: Sequence[str]) -> Fragment:
    """What a table or a figure does not have, as a list."""
    if not said:
        return Fragment()
    items = "".join(f"<li>{escape(note)}</li>" for note in said)
    return Fragment(f'<ul class="notes">{items}</ul>')


def table(frame: pd.DataFrame) -> Fragment:
    """The columns of a table that are for people, in a box that scrolls. Cells hold their number.

    `data-value` is what a column is sorted by, where that is not what is shown.
    """
    cells = formats.cells(frame)
    numeric = {key: formats.is_number(frame, key) for key in cells}
    head = "".join(
        f'<th scope="col"{_class(numeric[key])}>{escape(str(key))}</th>' for key in cells
    )
    columns = [
        [_cell(text, value, numeric[key]) for text, value in zip(cells[key], values, strict=True)]
        for key, values in ((key, frame[formats.column_of(key)]) for key in cells)
    ]
    rows = "\n".join(f"<tr>{''.join(row)}</tr>" for row in zip(*columns, strict=True))
    caption = escape(_caption(frame))
    return Fragment(
        f'<div class="scroll" role="region" aria-label="{caption}" tabindex="0"><table>'
        f"<caption>{caption}</caption>\n<thead><tr>{head}</tr></thead>\n"
        f"<tbody>\n{rows}\n</tbody></table></div>"
    )


def facts(frame: pd.DataFrame) -> Fragment:
    """A table of two columns, what and which, as a list of terms."""
    lines = "".join(
        f"<dt>{escape(what)}</dt><dd>{escape(which)}</dd>"
        for what, which in frame.itertuples(index=False)
    )
    return Fragment(f"<dl>{lines}</dl>")


def figure(drawn: Figure, name: str, *, alt: str) -> Fragment:
    """The figure as SVG, the same for the same figure; its ids begin with its name.

    So the ids of several figures on a page are different, and so is what refers to them.
    """
    buffer = io.StringIO()
    style: dict[Any, Any] = {**layout.style(), **SVG, "svg.hashsalt": name}
    with rc_context(style):
        drawn.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :].rstrip()
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<style.*?</style>\s*", "", svg, flags=re.DOTALL)  # would hold for the whole page
    svg = _ID.sub(lambda found: found[1] + f"{name}-{found[2]}".replace(" ", "-"), svg)
    width, height = drawn.get_size_inches()
    shape = f'style="width: 100%; max-width: {WIDER * width:.4g}in; height: auto"'
    opening = f'<svg role="img" aria-label="{escape(alt)}" {shape} '
    svg = opening + re.sub(r' (?:width|height)="[^"]*"', "", svg.removeprefix("<svg "), count=2)
    return Fragment(f'<figure id="{name}-figure" class="figure">{svg}</figure>')


def data(frame: pd.DataFrame, name: str) -> Fragment:
    """A table's every column and digit as CSV: a file to save, and if it is short, its text."""
    text = str(formats.render(frame, "csv"))
    encoded = base64.b64encode(text.encode()).decode()
    rows = f"{len(frame)} row{'' if len(frame) == 1 else 's'}"
    shown = f'<pre tabindex="0">{escape(text)}</pre>' if len(frame) <= SHOWN_LINES else ""
    return Fragment(
        f'<details class="data"><summary>Data as CSV: {escape(name)}, {rows}</summary>'
        f'<p><a download="{escape(name)}.csv" href="data:text/csv;charset=utf-8;base64,{encoded}">'
        f"Save {escape(name)}.csv</a></p>{shown}</details>"
    )


def digest(script: str) -> str:
    """What a content security policy calls an inline script that may run."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _caption(frame: pd.DataFrame) -> str:
    return formats.title(frame) if "metric" in frame.attrs else str(frame.attrs["title"])


def _cell(text: str, value: object, numeric: bool) -> str:
    if not numeric:
        long = ' class="long"' if len(text) > LONG else ""
        return f"<td{long}>{escape(text)}</td>"
    known = "" if text == "" else f' data-value="{value}"'
    return f'<td class="number"{known}>{escape(text)}</td>'


def _class(numeric: bool) -> str:
    return ' class="number"' if numeric else ""
