"""A figure around one pair of axes: size, legend and notes below, so that nothing is cut off.

The axes keep their size: the legend is placed below them, and the figure grows.
Changes no global state and needs no display.
"""

import contextlib
import math
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

import matplotlib
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.text import Text

COLUMN = 3.3  # inches: one column of a paper with two
NARROWEST = 3.0
WIDEST = 40.0
PAD = 0.05  # inches, around everything and between its parts
NOTE = 6.5  # points
DPI = 300  # of a PNG, and of the measurements here
STYLE: dict[Any, Any] = {
    "font.family": ["DejaVu Sans"],  # comes with matplotlib: the same everywhere
    "font.size": 7.5,
    "axes.labelsize": 8,
    "axes.titlesize": 7,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 7,
    "axes.linewidth": 0.7,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "hatch.linewidth": 0.6,
    "lines.solid_capstyle": "butt",
    "text.parse_math": False,  # names of data sets are not formulas
    "axes.unicode_minus": True,
    "svg.fonttype": "none",  # text stays text
    "pdf.fonttype": 42,
}


def style() -> dict[Any, Any]:
    """matplotlib's defaults with our settings; the user's are ignored."""
    kept = ("backend", "interactive", "toolbar", "date.epoch")
    default: dict[Any, Any] = {
        key: value for key, value in matplotlib.rcParamsDefault.items() if key not in kept
    }
    return {**default, **STYLE}


def blank(width: float) -> tuple[Figure, Axes]:
    """A figure with axes as wide as they may become, so that titles can be fitted to them."""
    figure = Figure(figsize=(width, _axes_height(width)), dpi=DPI)
    FigureCanvasAgg(figure)
    return figure, figure.add_axes((0.15, 0.15, 0.83, 0.8))


def lay_out(figure: Figure, axes: Axes, notes: Sequence[str]) -> None:
    """Put legend and notes below the axes and set the figure's height to fit. In place."""
    width = float(figure.get_figwidth())
    legend = _legend(figure, axes, width)
    note = _note(figure, notes, width)
    left, right, top, bottom = _margins(figure, axes)
    legend_height = 0.0 if legend is None else _inches(figure, legend)[1] + PAD
    note_height = 0.0 if note is None else _inches(figure, note)[1] + PAD
    below = legend_height + note_height
    inner = _axes_height(width)
    height = PAD + top + inner + bottom + below + PAD
    figure.set_size_inches(width, height)
    axes.set_position(
        ((left + PAD) / width, (PAD + below + bottom) / height,
         1 - (left + right + 2 * PAD) / width, inner / height)
    )  # fmt: skip
    if legend is not None:
        legend.set_bbox_to_anchor((0.5, (PAD + note_height) / height), figure.transFigure)
    if note is not None:
        note.set_position((PAD / width, PAD / height))


def _axes_height(width: float) -> float:
    return min(0.62 * width, 1.2 + 0.26 * width)


def _legend(figure: Figure, axes: Axes, width: float) -> Legend | None:
    """As many columns as fit."""
    handles, labels = axes.get_legend_handles_labels()
    if not handles:
        return None
    for columns in range(min(len(handles), 5), 0, -1):
        rows = math.ceil(len(handles) / columns)
        if columns > 1 and math.ceil(len(handles) / (columns - 1)) == rows:
            continue  # as many rows with fewer columns
        legend = figure.legend(
            handles, labels, ncols=columns, loc="lower center", frameon=False, borderaxespad=0,
            borderpad=0, columnspacing=1.0, handlelength=1.8, handletextpad=0.5, labelspacing=0.35,
        )  # fmt: skip
        if columns == 1 or _inches(figure, legend)[0] <= width - 2 * PAD:
            return legend
        legend.remove()
    return None


def _note(figure: Figure, notes: Sequence[str], width: float) -> Text | None:
    if not notes:
        return None
    note = figure.text(0, 0, "", fontsize=NOTE, color="#444444", va="bottom", linespacing=1.25)
    letters = int(width * 72 / (NOTE * 0.45))
    while letters > 20:
        note.set_text(textwrap.fill(" ".join(notes), letters, break_on_hyphens=False))
        if _inches(figure, note)[0] <= width - 2 * PAD:
            break
        letters -= 1
    return note


def _margins(figure: Figure, axes: Axes) -> tuple[float, float, float, float]:
    """The space around the axes for labels and title, in inches: left, right, top, bottom.

    Measured twice, since the ticks depend on the size.
    """
    width, inner = float(figure.get_figwidth()), _axes_height(float(figure.get_figwidth()))
    left = right = top = bottom = 0.5
    inside = [a for a in (*axes.lines, *axes.collections) if a.get_clip_on() and a.get_visible()]
    for _ in range(2):
        height = top + inner + bottom
        figure.set_size_inches(width, height)
        axes.set_position((left / width, bottom / height, 1 - (left + right) / width,
                           inner / height))  # fmt: skip
        with _hidden(inside):
            figure.draw_without_rendering()
        renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
        outer, box = axes.get_tightbbox(renderer), axes.get_window_extent(renderer)
        assert outer is not None
        left, right = (box.x0 - outer.x0) / DPI, (outer.x1 - box.x1) / DPI
        top, bottom = (outer.y1 - box.y1) / DPI, (box.y0 - outer.y0) / DPI
    return left, right, top, bottom


@contextlib.contextmanager
def _hidden(artists: Sequence[Artist]) -> Iterator[None]:
    """Without these artists, which take no part in a measurement: thousands of points."""
    for artist in artists:
        artist.set_visible(False)
    yield
    for artist in artists:
        artist.set_visible(True)


def _inches(figure: Figure, artist: Legend | Text) -> tuple[float, float]:
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    box = artist.get_window_extent(renderer)
    return box.width / DPI, box.height / DPI
