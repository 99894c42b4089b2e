"""The paper's figures: results in, matplotlib axes or a file out.

Yosinski et al. 2014, Fig. 2 and Fig. 3, what Fig. 2 is about, learning curves, and fewer images.
Every function draws one experiment on the axes it is given and returns what should be said below.
Importing this needs matplotlib, and no display.
"""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from transferlab.errors import UserError
from transferlab.results import formats
from transferlab.results.figures import layout, select
from transferlab.results.figures.curves import curves, reduced
from transferlab.results.figures.figure2 import figure2, interpretation
from transferlab.results.figures.figure3 import decomposition, figure3
from transferlab.results.loading import Results

__all__ = [
    "PLOTS", "Plot", "curves", "decomposition", "draw", "experiments", "figure2", "figure3",
    "interpretation", "kind_of", "reduced", "render", "write",
]  # fmt: skip


class Plot(Protocol):
    """Draws one experiment and returns sentences: what is missing, what to be wary of.

    Raises: UserError if there is nothing to draw, or several experiments and no word on which.
    """

    def __call__(
        self,
        axes: Axes,
        results: Results,
        metric: str | None = None,
        published: bool = False,
        experiment: str | None = None,
    ) -> list[str]: ...


PLOTS: Mapping[str, Plot] = {
    "figure2": figure2,
    "interpretation": interpretation,
    "figure3": figure3,
    "decomposition": decomposition,
    "curves": curves,
    "reduced": reduced,
}
# Format -> what its file would say about when and by whom it was made, left out
METADATA: Mapping[str, Mapping[str, str | None]] = {
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
}


def draw(
    results: Results,
    name: str,
    metric: str | None = None,
    published: bool = False,
    *,
    experiment: str | None = None,
    width: float = layout.COLUMN,
) -> Figure:
    """A figure with the plot `name`, its legend and its notes. `width` in inches.

    `published` puts the paper's own curve behind. Raises: UserError.
    """
    function = PLOTS[_known(name)]
    if not layout.NARROWEST <= width <= layout.WIDEST:
        raise UserError(
            f"--width {width:g} is not the width of a figure: {layout.NARROWEST:g} to "
            f"{layout.WIDEST:g} inches"
        )
    with matplotlib.rc_context(layout.style()):
        figure, axes = layout.blank(width)
        notes = function(axes, results, metric, published, experiment)
        layout.lay_out(figure, axes, notes)
    return figure


def experiments(results: Results, name: str) -> tuple[str, ...]:
    """The experiments of which the plot `name` has something to show; each goes with `draw`."""
    return tuple(one.name for one in select.found(results, _known(name)))


def render(figure: Figure, kind: str) -> bytes:
    """The figure as a file of the kind pdf, png or svg; the same bytes for the same figure."""
    if kind not in METADATA:
        raise UserError(f"{kind} is no kind of picture: choose one of {', '.join(METADATA)}")
    buffer = io.BytesIO()
    with matplotlib.rc_context({**layout.style(), "svg.hashsalt": "transferlab"}):
        figure.savefig(buffer, format=kind, dpi=layout.DPI, metadata=dict(METADATA[kind]))
    return buffer.getvalue()


def write(figure: Figure, path: Path) -> None:
    """Write the figure in the format that the file's name ends in, whole or not at all.

    Raises: UserError for another ending than pdf, png or svg, or a folder that cannot be written.
    """
    formats.write(path, render(figure, kind_of(path)))


def kind_of(path: Path) -> str:
    """The kind of picture that a file's name asks for. Raises: UserError if it is none."""
    kind = path.suffix.lower().removeprefix(".")
    if kind not in METADATA:
        *most, last = (f".{name}" for name in METADATA)
        raise UserError(
            f"--out {path} is no kind of picture: end it in {', '.join(most)} or {last}"
        )
    return kind


def _known(name: str) -> str:
    if name not in PLOTS:
        raise UserError(f"--plot {name} is not there: choose one of {', '.join(PLOTS)}")
    return name
