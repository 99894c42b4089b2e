"""Figure 2: every network of the random halves as a point, and lines through the means.

Yosinski et al. 2014, Fig. 2, upper panel. The lower one is `interpretation`, which draws the same
means.
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
    means = means_of(selection)
    draw_published(axes, published)
    draw_base(axes, means)
    for series, look in SERIES.items():
        networks = runs[runs["series"] == series]
        learned = networks[networks["counts"]]
        if series != "baseB" and not learned.empty:
            style.line(axes, *line_of(means, series), look, f"means {series}")
        style.points(axes, *_points(learned, look), look, f"points {series}")
        style.name(axes, look, missing=learned.empty, line=series != "baseB")
    _chance(axes, runs)
    finish(axes, selection, published)
    return [*missing(runs), *uneven(selection), *select.left_out(selection)]


# --- shared with the interpretation -------------------------------------------------------------


def means_of(selection: Selection) -> pd.DataFrame:
    """Percent: a row for each n, a column for each series; at n = 0 all are the base network."""
    table = figure2.build(selection)
    means = 100 * table.pivot(index="n", columns="series", values="mean").astype(float)
    means = means.reindex(columns=list(pairs.SERIES))
    if 0 in means.index:
        means.loc[0] = base_of(means)
    return means


def base_of(means: pd.DataFrame) -> float:
    """The mean of the base networks, nan without any."""
    return float(means["baseB"].get(0, math.nan))


def line_of(means: pd.DataFrame, series: str) -> tuple[list[float], list[float]]:
    """x and y of a line of means, from baseB on; nan where the series has no network."""
    shown = means.loc[[0]] if series == "baseB" and 0 in means.index else means
    return [float(n) for n in shown.index], shown[series].tolist()


def draw_published(axes: Axes, published: Selection | None) -> None:
    """The published means, if they are to be drawn."""
    if published is None:
        return
    means = means_of(published)
    for series, look in SERIES.items():
        style.published(axes, *line_of(means, series), look, f"published {series}")


def draw_base(axes: Axes, means: pd.DataFrame) -> None:
    """A line at the mean of the base networks."""
    if not math.isnan(base_of(means)):
        style.zero(axes, base_of(means), "base")


def finish(axes: Axes, selection: Selection, published: Selection | None) -> None:
    """Scales, labels and title."""
    if published is not None:
        style.name_published(axes)
    cut_points(axes, highest_cut(selection, published))
    accuracy_axis(axes)
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


def uneven(selection: Selection) -> list[str]:
    """A warning where the means are over different halves."""
    experiment = replace(selection.experiment, name="Means")
    return [f"{note}." for note in notes.uneven(experiment)]


# --- points -------------------------------------------------------------------------------------


def _points(runs: pd.DataFrame, look: Look) -> tuple[list[float], list[float]]:
    return (runs["n"] + look.dodge).tolist(), (100 * runs["accuracy"]).tolist()


def _chance(axes: Axes, runs: pd.DataFrame) -> None:
    lost = runs[~runs["counts"]]
    dodge = lost["series"].map({series: look.dodge for series, look in SERIES.items()})
    style.at_chance(axes, (lost["n"] + dodge.astype(float)).tolist(), "chance")
