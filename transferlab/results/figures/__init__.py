"""The figures, one a module: `draw` puts a selection of runs of one experiment on axes.

Yosinski et al. 2014: Fig. 2, its interpretation and decomposition, Fig. 3, learning curves, and
fewer images. Importing this needs matplotlib, and no display.
"""

import io
import pkgutil
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from transferlab.errors import UserError
from transferlab.results import catalogue, formats
from transferlab.results.exhibits import Selection
from transferlab.results.figures import layout, select
from transferlab.results.loading import Results

__all__ = ["Draw", "draw", "draw_selection", "kind_of", "render", "write"]
# Format -> the metadata to leave out: when and by which program the file was made
METADATA: Mapping[str, Mapping[str, str | None]] = {
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
}


class Draw(Protocol):
    """Draws a selection of one experiment, with the published one behind if there is any.

    Returns the notes below the figure: what is missing, and caveats.
    """

    def __call__(
        self, axes: Axes, selection: Selection, published: Selection | None
    ) -> list[str]: ...


def draw(
    results: Results,
    name: str,
    metric: str | None = None,
    published: bool | None = None,
    *,
    experiment: str | None = None,
    width: float = layout.COLUMN,
) -> Figure:
    """The figure `name`, with its legend and its notes. `width` in inches.

    `published`: whether the paper's curve is drawn behind; None: where data and network are the
    paper's. `experiment`: the id of an experiment, or a part of its name. Raises: UserError if
    there is nothing to draw, or several experiments and none named.
    """
    _drawer_of(name)
    return draw_selection(select.choose(results, name, metric, experiment), name, published, width)


def draw_selection(
    selection: Selection,
    name: str,
    published: bool | None = None,
    width: float = layout.COLUMN,
) -> Figure:
    """The figure `name` of a selection of one experiment. Arguments as for `draw`."""
    if not layout.NARROWEST <= width <= layout.WIDEST:
        raise UserError(
            f"--width {width:g} is out of range: a figure is {layout.NARROWEST:g} to "
            f"{layout.WIDEST:g} inches wide"
        )
    with matplotlib.rc_context(layout.style()):
        figure, axes = layout.blank(width)
        function: Draw = pkgutil.resolve_name(_drawer_of(name))
        notes = function(axes, selection, select.behind(selection, name, published))
        layout.lay_out(figure, axes, notes)
    return figure


def render(figure: Figure, kind: str) -> bytes:
    """The figure as a file of the kind pdf, png or svg; the same bytes for the same figure."""
    if kind not in METADATA:
        raise UserError(f"{kind} is an unknown image format: choose one of {_list(METADATA)}")
    buffer = io.BytesIO()
    with matplotlib.rc_context({**layout.style(), "svg.hashsalt": "transferlab"}):
        figure.savefig(buffer, format=kind, dpi=layout.DPI, metadata=dict(METADATA[kind]))
    return buffer.getvalue()


def write(figure: Figure, path: Path) -> None:
    """Write the figure atomically, in the format that the file's name ends in.

    Raises: UserError for another ending than pdf, png or svg, or a folder that cannot be written.
    """
    formats.write(path, render(figure, kind_of(path)))


def kind_of(path: Path) -> str:
    """The kind of picture, by the suffix of the file. Raises: UserError for another suffix."""
    kind = path.suffix.lower().removeprefix(".")
    if kind not in METADATA:
        *suffixes, last = (f".{name}" for name in METADATA)
        raise UserError(
            f"--out {path} is not an image file: choose a name with the suffix "
            f"{', '.join(suffixes)} or {last}"
        )
    return kind


def _drawer_of(name: str) -> str:
    """The `module:function` that draws the figure `name`. Raises: UserError if there is none."""
    exhibit = catalogue.EXHIBITS.get(name)
    if exhibit is None or exhibit.figure is None:
        raise UserError(
            f"--plot {name} is unknown: choose one of {_list(catalogue.figure_names())}"
        )
    return exhibit.figure


def _list(names: Mapping[str, object] | tuple[str, ...]) -> str:
    return ", ".join(names)
