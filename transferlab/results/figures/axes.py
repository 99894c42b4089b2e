"""Scales, labels and marks that several figures share; accuracies are in percent."""

import math
import textwrap
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from transferlab.experiment.metrics import METRICS, measure_of
from transferlab.results.exhibits import Selection
from transferlab.results.figures import style
from transferlab.results.figures.style import Look
from transferlab.results.notes import repetitions

TITLE = 7  # points
LETTER = 5  # points, a digit's width
STEPS = tuple(digit * 10**power for power in range(6) for digit in (1, 2, 5))
CUT = "layer n at which network is chopped and retrained"  # as in the paper


def highest_cut(selection: Selection, published: Selection | None) -> int:
    """The highest n to be shown."""
    shown = [selection] if published is None else [selection, published]
    return max(int(part.experiment.runs["n"].max()) for part in shown)


def cut_points(axes: Axes, highest: int) -> None:
    """x is n, from 0 to the highest; where not all can be labelled, at even distances."""
    axes.set_xlim(-0.5, highest + 0.5)
    room = points_wide(axes) / (LETTER * (len(str(highest)) + 1))
    step = next(step for step in STEPS if highest < step * room)
    axes.set_xticks(range(0, highest + 1, step))
    axes.set_xlabel(CUT)


def accuracy_axis(axes: Axes, metric: str) -> None:
    """y is that metric in percent; above 100 is space for half a marker, and no tick."""
    axes.set_ylabel(f"{measure_of(metric).text} (%)")
    axes.yaxis.set_major_locator(MaxNLocator(nbins=7, steps=[1, 2, 5, 10]))
    low, high = axes.get_ylim()
    if high - low < 2:  # e.g. where all networks are perfect
        low, high = low - 1, high + 1
    axes.set_ylim(low, min(high, 100 + 0.03 * (100 - low)))
    grid(axes)


def quantity(metric: str) -> str:
    """What a metric is a number of, in the label of a difference: `accuracy`, `area mAP`."""
    return measure_of(metric).text.removeprefix("top-1 ")


def difference_axis(axes: Axes, label: str) -> None:
    """y is a difference of a metric in percentage points."""
    axes.set_ylabel(label)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=7, steps=[1, 2, 5, 10]))
    low, high = axes.get_ylim()
    if high - low < 2:
        axes.set_ylim(low - 1, high + 1)
    grid(axes)


def grid(axes: Axes) -> None:
    """Faint horizontal lines, and no frame where there is no scale."""
    axes.grid(axis="y", color="#dddddd", linewidth=0.5, zorder=0)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def title(axes: Axes, experiment: str, metric: str | None) -> None:
    """The experiment and the metric, small and to the left."""
    text = experiment if metric is None else f"{experiment}: {METRICS[metric]}"
    letters = max(20, int(points_wide(axes) / (TITLE * 0.56)))
    text = textwrap.fill(text, letters, break_on_hyphens=False)
    axes.set_title(text, loc="left", fontsize=TITLE)


def image_counts(axes: Axes, values: Sequence[float]) -> None:
    """x is a number of images, logarithmic, with ticks at the values that can be labelled."""
    axes.set_xscale("log")
    decades = max(math.log10(values[-1] / values[0]), 0.1) * 1.1
    shown: list[float] = []
    for value in reversed(values):
        need = decades * (LETTER * (len(f"{value:g}") + 1)) / points_wide(axes)
        if not shown or math.log10(shown[-1] / value) >= need:
            shown.append(value)
    axes.xaxis.set_major_locator(FixedLocator(sorted(shown)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlabel("training images per class")


def points_wide(axes: Axes) -> float:
    """The width of the axes, in points."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    return axes.get_window_extent().width / figure.dpi * 72


# --- figures of differences ---------------------------------------------------------------------


def intervals(
    axes: Axes, x: np.ndarray, low: pd.Series, high: pd.Series, look: Look, gid: str
) -> None:
    """Vertical lines where both ends of an interval are known."""
    known = (low.notna() & high.notna()).to_numpy()
    if known.any():
        axes.vlines(
            x[known], low[known], high[known], color=look.colour, linewidth=style.THIN,
            zorder=2.4, gid=gid,
        )  # fmt: skip


def means(
    axes: Axes, x: np.ndarray, mean: pd.Series, rows: pd.DataFrame, look: Look, name: str
) -> None:
    """Means of differences, in points, joined by a line, with the intervals of their rows."""
    style.line(axes, x.tolist(), (100 * mean).tolist(), look, f"means {name}", marks=True)
    intervals(axes, x, 100 * rows["low"], 100 * rows["high"], look, f"t {name}")


def name_intervals(axes: Axes, table: pd.DataFrame) -> None:
    """The entry of the legend for the intervals, if the table has any."""
    if table["low"].notna().any():
        style.name_once(axes, "95 % interval", color=style.DARK_GREY, linewidth=style.THIN)


def nothing_of(names: Sequence[str]) -> list[str]:
    """A note on the series without a point, if any."""
    return [f"Nothing to show of: {'; '.join(names)}."] if names else []


def repetition(table: pd.DataFrame) -> list[str]:
    """What the intervals are over, how many, and which points have none."""
    points = table[(table["n"] > 0) & table["pairs"].gt(0)]
    known = points[points["low"].notna()]
    notes = []
    for unit, rows in known.groupby("unit", sort=False):
        counts = sorted(set(repetitions(rows)))
        number = "-".join(map(str, dict.fromkeys((counts[0], counts[-1]))))
        notes.append(f"95 % intervals are over {number} {unit}s.")
    if len(known) < len(points):
        notes.append("No interval where there is one repetition.")
    return notes


def finish_differences(
    axes: Axes, selection: Selection, published: Selection | None, label: str
) -> None:
    """Scales, labels and title of a figure of differences against n."""
    if published is not None:
        style.name_published(axes)
    cut_points(axes, highest_cut(selection, published))
    difference_axis(axes, label)
    title(axes, selection.experiment.name, selection.metric)
