"""The looks and names of what is drawn: colours, markers, the legend, the published curve.

The palette is that of Okabe and Ito, which is distinguishable with any kind of colour vision;
every series has a marker of its own as well, for print in black and white. Selffers are blue,
transfers red and fine-tuned ones lighter, as in Yosinski et al. 2014.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

BLACK = "#000000"
ORANGE = "#E69F00"
SKY = "#56B4E9"
GREEN = "#009E73"
BLUE = "#0072B2"
VERMILION = "#D55E00"
PURPLE = "#CC79A7"
GREY = "#999999"  # of the published curve and of lines for orientation
DARK_GREY = "#666666"

MARKER = 3.6  # points
LINE = 1.2
THIN = 0.8
PUBLISHED_NAME = "Yosinski et al. 2014"
LOST_NAME = "in no mean (not to scale)"


@dataclass(frozen=True)
class Look:
    """`dodge` shifts a series from its n, so that markers do not hide each other."""

    name: str
    colour: str
    marker: str
    dodge: float = 0.0
    hollow: bool = False
    line: str = "-"

    @property
    def size(self) -> float:
        """The marker size in points; a cross must be larger for the same visual weight."""
        return MARKER * (1.35 if self.marker in "PX" else 1.0)


# By the names of `pairs.SERIES`
SERIES: Mapping[str, Look] = {
    "baseB": Look("baseB", BLACK, "o", hollow=True),
    "BnB": Look("selffer BnB", BLUE, "s", -0.12),
    "BnB+": Look("selffer BnB+", SKY, "P", -0.04),
    "AnB": Look("transfer AnB", VERMILION, "D", 0.04),
    "AnB+": Look("transfer AnB+", ORANGE, "X", 0.12),
}


def points(axes: Axes, x: Sequence[float], y: Sequence[float], look: Look, gid: str) -> Line2D:
    """Markers without a line."""
    face = "white" if look.hollow else look.colour
    edge = look.colour if look.hollow else "white"
    width = THIN if look.hollow else 0.3
    return axes.plot(
        x, y, linestyle="none", marker=look.marker, markersize=look.size, markerfacecolor=face,
        markeredgecolor=edge, markeredgewidth=width, zorder=3, gid=gid,
    )[0]  # fmt: skip


def line(
    axes: Axes, x: Sequence[float], y: Sequence[float], look: Look, gid: str, *, marks: bool = False
) -> Line2D:
    """A line, broken where y is nan; with markers, but at x = 0, a lone point is seen too."""
    return axes.plot(
        x, y, linestyle=look.line, linewidth=LINE, color=look.colour, zorder=2.5, gid=gid,
        marker=look.marker if marks else "none", markersize=look.size, markeredgewidth=THIN,
        markerfacecolor="white" if look.hollow else look.colour,
        markevery=[place for place, value in enumerate(x) if value > 0],
    )[0]  # fmt: skip


def published(axes: Axes, x: Sequence[float], y: Sequence[float], look: Look, gid: str) -> Line2D:
    """The published curve of a series: grey and thin, with that series' marker."""
    return axes.plot(
        x, y, linestyle=look.line, linewidth=0.6, color=GREY, zorder=2, gid=gid,
        marker=look.marker, markersize=2.6, markerfacecolor="white" if look.hollow else GREY,
        markeredgewidth=0.5,
    )[0]  # fmt: skip


def at_chance(axes: Axes, x: Sequence[float], gid: str) -> None:
    """Marks of runs at chance level, or on a base at it, at the lower edge: to scale they would
    compress the others."""
    if len(x):
        axes.plot(
            x, [0.025] * len(x), linestyle="none", marker="x", markersize=MARKER,
            markeredgewidth=1.0, color=DARK_GREY, zorder=3, gid=gid,
            transform=axes.get_xaxis_transform(),
        )  # fmt: skip
        name_once(axes, LOST_NAME, linestyle="none", marker="x", color=DARK_GREY)


def name(axes: Axes, look: Look, *, missing: bool = False, line: bool = True) -> None:
    """An entry of the legend for a series, faint if it has no point."""
    axes.plot(
        [], [], linestyle=look.line if line else "none", linewidth=LINE, marker=look.marker,
        markersize=look.size, color=look.colour, markeredgewidth=THIN,
        alpha=0.3 if missing else 1.0, markerfacecolor="white" if look.hollow else look.colour,
        label=f"{look.name} (none)" if missing else look.name,
    )  # fmt: skip


def name_published(axes: Axes) -> None:
    """The entry of the legend for all published curves, which have the markers of their series."""
    name_once(axes, PUBLISHED_NAME, linewidth=0.6, marker="o", color=GREY)


def name_once(axes: Axes, label: str, **look: Any) -> None:
    """An entry of the legend, unless it has one of that label."""
    if label not in axes.get_legend_handles_labels()[1]:
        axes.plot([], [], label=label, markersize=MARKER, **look)


def zero(axes: Axes, y: float, gid: str, name: str | None = None) -> None:
    """A faint horizontal line for orientation, in the legend if it has a name."""
    look: dict[str, Any] = {"color": GREY, "linewidth": 0.6, "linestyle": (0, (4, 3))}
    axes.axhline(y, zorder=1, gid=gid, **look)
    if name is not None:
        name_once(axes, name, **look)
