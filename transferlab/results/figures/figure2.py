"""Figure 2: every network of the random halves as a point, and lines through the means.

Yosinski et al. 2014, Fig. 2, upper panel. The lines are the means of the table `figure2`; the lower
panel is `interpretation`.
"""

import math
from dataclasses import replace

import pandas as pd
from matplotlib.axes import Axes

from transferlab.results import notes, pairs
from transferlab.results.exhibits import Selection
from transferlab.results.figures import select, style
from transferlab.results.figures.axes import accuracy_axis, cut_points, highest_cut, title
from transferlab.results.figures.style import SERIES, Look
from transferlab.results.tables import figure2


def draw(axes: Axes, selection: Selection, published: Selection | None) -> list[str]:
    """Accuracies in percent against n."""
    runs = selection.experiment.runs
    means = _means(selection)
    if published is not None:
        draw_published(axes, _means(published))
    draw_base(axes, means)
    for series, look in SERIES.items():
        networks = runs[(runs["series"] == series) & runs["counts"]]
        if series != "baseB" and not networks.empty:
            line = line_of(means, series, dodge=look.dodge)
            style.line(axes, *line, look, f"means {series}")
        style.points(axes, *_points(networks, look), look, f"points {series}")
        style.name(axes, look, missing=networks.empty, line=series != "baseB")
    mark_chance(axes, selection)
    finish(axes, selection, published)
    return [*missing(runs), *caveats(selection), *select.left_out(selection)]


# --- shared with the interpretation -------------------------------------------------------------


def by_series(table: pd.DataFrame, value: str) -> pd.DataFrame:
    """Percent: a row for each n, a column for each series; at n = 0 all are the base network."""
    rows = 100 * table.pivot(index="n", columns="series", values=value).astype(float)
    rows = rows.reindex(columns=list(pairs.SERIES))
    if 0 in rows.index:
        rows.loc[0] = base_of(rows)
    return rows


def base_of(rows: pd.DataFrame) -> float:
    """The mean of the base networks, nan without any."""
    return float(rows["baseB"].get(0, math.nan))


def line_of(
    rows: pd.DataFrame, series: str, *, dodge: float = 0.0
) -> tuple[list[float], list[float]]:
    """x and y of the line of a series, from baseB on; nan where it has no network."""
    shown = rows.loc[[0]] if series == "baseB" and 0 in rows.index else rows
    return [n + dodge * (n > 0) for n in shown.index.astype(float)], shown[series].tolist()


def draw_published(axes: Axes, rows: pd.DataFrame) -> None:
    """The published lines."""
    for series, look in SERIES.items():
        style.published(axes, *line_of(rows, series), look, f"published {series}")


def draw_base(axes: Axes, rows: pd.DataFrame) -> None:
    """A line at the mean of the base networks."""
    if not math.isnan(base_of(rows)):
        style.zero(axes, base_of(rows), "base", name="mean of baseB")


def mark_chance(axes: Axes, selection: Selection) -> None:
    """Marks of the networks that are in no mean, at their n."""
    lost = selection.experiment.runs
    lost = lost[~lost["counts"]]
    dodge = lost["series"].map({series: look.dodge for series, look in SERIES.items()})
    style.at_chance(axes, (lost["n"] + dodge.astype(float)).tolist(), "chance")


def finish(axes: Axes, selection: Selection, published: Selection | None) -> None:
    """Scales, labels and title."""
    if published is not None:
        style.name_published(axes)
    cut_points(axes, highest_cut(selection, published))
    accuracy_axis(axes, selection.metric)
    title(axes, selection.experiment.name, selection.metric)


def missing(runs: pd.DataFrame) -> list[str]:
    """Series without a network, and the n at which a series has none though others have."""
    every = set(runs["n"]) - {0}
    learned = runs[runs["counts"]]
    cuts = {series: set(learned.loc[learned["series"] == series, "n"]) for series in pairs.SERIES}
    none = [series for series in pairs.SERIES if not cuts[series]]
    gaps = [
        f"{series} at n = {', '.join(map(str, sorted(every - cuts[series])))}"
        for series in pairs.SERIES[1:]
        if cuts[series] and every - cuts[series]
    ]
    return [f"No network that learned: {'; '.join([*none, *gaps])}."] if none or gaps else []


def caveats(selection: Selection) -> list[str]:
    """What the means are over, where it is not the paper's random halves, or not the same."""
    experiment = replace(selection.experiment, name="Means")
    return [f"{note}." for note in notes.of_means([experiment])]


# --- points and means ---------------------------------------------------------------------------


def _means(selection: Selection) -> pd.DataFrame:
    return by_series(figure2.build(selection), "mean")


def _points(runs: pd.DataFrame, look: Look) -> tuple[list[float], list[float]]:
    return (runs["n"] + look.dodge).tolist(), (100 * runs["accuracy"]).tolist()
