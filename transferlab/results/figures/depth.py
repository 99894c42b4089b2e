"""A network along its depth: parameters, multiply-accumulates, map and receptive field.

Not a figure of the store: it is drawn from the operations of one network. Every operation has one
position; vertical lines are the cuts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from transferlab.results.figures import layout, style

WIDTH = 7.0  # inches: two columns of a paper
PANEL = 1.05  # inches, the height of each
NAMES = 40  # names of stages that fit above the panels
SMALL = 6.0  # points, of these names


@dataclass(frozen=True)
class Point:
    """One operation. `side` and `field` are the larger of both axes, in pixels; None: undefined."""

    stage: str
    parameters: int
    macs: int
    side: int | None
    field: int | None


def draw(title: str, points: Sequence[Point]) -> Figure:
    """The figure of the operations of a network, in order."""
    with matplotlib.rc_context(layout.style()):
        stages = [
            (name, len(list(members))) for name, members in groupby(points, lambda p: p.stage)
        ]
        top = 0.32 + 0.048 * max(len(name) for name, _ in stages)
        figure = Figure(figsize=(WIDTH, 4 * PANEL + top + 0.75), dpi=layout.DPI)
        FigureCanvasAgg(figure)
        panels = figure.subplots(4, 1, sharex=True)
        figure.subplots_adjust(
            left=0.105, right=0.985, bottom=0.4 / figure.get_figheight(),
            top=1 - top / figure.get_figheight(), hspace=0.14,
        )  # fmt: skip
        _draw_panels(panels, points)
        _mark_stages(panels, stages)
        figure.align_ylabels(panels)
        figure.text(0.105, 1 - 0.12 / figure.get_figheight(), title, fontsize=8, va="center")
    return figure


def _draw_panels(panels: Sequence[Axes], points: Sequence[Point]) -> None:
    x = range(1, len(points) + 1)
    for axes, name, values, colour in (
        (panels[0], "parameters", [p.parameters for p in points], style.BLUE),
        (panels[1], "multiply-\naccumulates", [p.macs for p in points], style.VERMILION),
    ):
        shown = [(place, value) for place, value in zip(x, values, strict=True) if value]
        axes.vlines([p for p, _ in shown], 0, [v for _, v in shown], color=colour,
                    linewidth=max(0.6, min(4.0, 250 / len(points))))  # fmt: skip
        axes.set_ylim(bottom=0)
        axes.set_ylabel(name)
        axes.yaxis.set_major_formatter(FuncFormatter(_short))
        axes.yaxis.set_major_locator(MaxNLocator(4))
    for axes, name, sizes, colour in (
        (panels[2], "map,\npixels", [p.side for p in points], style.GREEN),
        (panels[3], "receptive\nfield, pixels", [p.field for p in points], style.PURPLE),
    ):
        numbers = [float("nan") if size is None else size for size in sizes]
        axes.step(x, numbers, where="mid", color=colour, linewidth=style.LINE)
        axes.set_ylim(bottom=0)
        axes.set_ylabel(name)
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    panels[-1].set_xlabel("operation")
    panels[-1].set_xlim(0.5, len(points) + 0.5)
    panels[-1].xaxis.set_major_locator(MaxNLocator(10, integer=True))


def _mark_stages(panels: Sequence[Axes], stages: Sequence[tuple[str, int]]) -> None:
    """A line at every cut, and the names of the stages above, as far as they fit."""
    start = 0.5
    every = -(-len(stages) // NAMES)
    for number, (name, count) in enumerate(stages, start=1):
        end = start + count
        for axes in panels if number < len(stages) else ():
            axes.axvline(end, color=style.GREY, linewidth=0.5, linestyle=(0, (4, 3)), zorder=0)
        if (number - 1) % every == 0:
            panels[0].annotate(
                name, ((start + end) / 2, 1), xycoords=("data", "axes fraction"),
                xytext=(0, 3), textcoords="offset points", rotation=90, fontsize=SMALL,
                ha="center", va="bottom", annotation_clip=False,
            )  # fmt: skip
        start = end
    panels[0].xaxis.set_minor_locator(NullLocator())


def _short(value: float, place: object) -> str:
    """`25M`, `1.5G`."""
    for unit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:g}{letter}"
    return f"{value:g}"
