"""Accuracy against n: Figure 2 of the paper, and what its gaps mean.

Yosinski et al. 2014, Fig. 2: every network as a point (upper panel) and the means with their
interpretation (lower panel). The gaps here are those of the means, as printed there; the paired
ones, on the same target, are those of `decomposition`.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from transferlab.results import notes, pairs, tables
from transferlab.results.comparable import Experiment
from transferlab.results.figures import axes as axis
from transferlab.results.figures import select
from transferlab.results.figures import style as looks
from transferlab.results.figures.select import Choice
from transferlab.results.loading import Results


def figure2(
    axes: Axes,
    results: Results,
    metric: str | None = None,
    published: bool = False,
    experiment: str | None = None,
) -> list[str]:
    """Every network of the random halves as a point, lines through the means; what to say below."""
    chosen = select.choose(results, "figure2", metric, experiment)
    behind = select.behind(chosen, published)
    means = _means(chosen)
    _published_means(axes, behind)
    _base_line(axes, means)
    for series, look in looks.SERIES.items():
        some = chosen.runs[chosen.runs["series"] == series]
        learned = some[some["learned"]]
        if series != "baseB" and not learned.empty:
            looks.line(axes, *_line(means, series), look, f"means {series}")
        looks.points(axes, *_points(learned, look), look, f"points {series}")
        looks.name(axes, look, missing=learned.empty, line=series != "baseB")
    _chance(axes, chosen.runs)
    _finish(axes, chosen, behind)
    return [*_missing(chosen.runs), *_uneven(chosen), *select.notes(chosen)]


def interpretation(
    axes: Axes,
    results: Results,
    metric: str | None = None,
    published: bool = False,
    experiment: str | None = None,
) -> list[str]:
    """The means of Figure 2 with the gaps between them shaded and named; what to say below."""
    chosen = select.choose(results, "interpretation", metric, experiment)
    behind = select.behind(chosen, published)
    means = _means(chosen)
    _published_means(axes, behind)
    _base_line(axes, means)
    _gaps(axes, means)
    for series, look in looks.SERIES.items():
        of_its_own = means.index == 0 if series == "baseB" else means.index > 0
        there = bool(means.loc[of_its_own, series].notna().any())
        if there:
            looks.line(axes, *_line(means, series), look, f"means {series}", marks=True)
        looks.name(axes, look, missing=not there, line=series != "baseB")
    _finish(axes, chosen, behind)
    at_chance = int((~chosen.runs["learned"]).sum())
    return [
        *_missing(chosen.runs),
        *([f"{at_chance} runs at chance level are in no mean."] if at_chance else []),
        *_uneven(chosen),
        *select.notes(chosen),
    ]


# --- means --------------------------------------------------------------------------------------


def _means(chosen: Choice) -> pd.DataFrame:
    """Percent, a row an n of any series, a column a series; at n = 0 all are the base network."""
    table = tables.figure2(chosen.results, chosen.metric)
    means = 100 * table.pivot(index="n", columns="series", values="mean").astype(float)
    means = means.reindex(columns=list(pairs.SERIES))
    if 0 in means.index:
        means.loc[0] = _base(means)
    return means


def _base(means: pd.DataFrame) -> float:
    return float(means["baseB"].get(0, math.nan))


def _line(means: pd.DataFrame, series: str) -> tuple[list[float], list[float]]:
    """Where a line of means goes, beginning at baseB; nan where the series has no network."""
    shown = means.loc[[0]] if series == "baseB" and 0 in means.index else means
    return [float(n) for n in shown.index], shown[series].tolist()


def _points(runs: pd.DataFrame, look: looks.Look) -> tuple[list[float], list[float]]:
    return (runs["n"] + look.dodge).tolist(), (100 * runs["accuracy"]).tolist()


def _published_means(axes: Axes, behind: Choice | None) -> None:
    if behind is None:
        return
    means = _means(behind)
    for series, look in looks.SERIES.items():
        looks.published(axes, *_line(means, series), look, f"published {series}")


def _base_line(axes: Axes, means: pd.DataFrame) -> None:
    if not math.isnan(_base(means)):
        looks.zero(axes, _base(means), "base")


def _gaps(axes: Axes, means: pd.DataFrame) -> None:
    """The two drops, and what fine-tuning gives back, each where it is one."""
    drop: dict[str, Any] = {"edgecolor": "none", "alpha": 0.3}
    base = pd.Series(_base(means), index=means.index)
    blue, red, light = (looks.SERIES[series].colour for series in ("BnB", "AnB", "BnB+"))
    _gap(axes, "fragile co-adaptation", base, means["BnB"], facecolor=blue, **drop)
    _gap(axes, "representation specificity", means["BnB"], means["AnB"], facecolor=red, **drop)
    _gap(
        axes, "recovered by fine-tuning", means["BnB+"], means["BnB"], facecolor="none",
        edgecolor=light, hatch="////", alpha=0.6,
    )  # fmt: skip


def _gap(axes: Axes, name: str, upper: pd.Series, lower: pd.Series, **style: Any) -> None:
    """A shade from `lower` up to `upper`."""
    high, low = upper.to_numpy(dtype=float), lower.to_numpy(dtype=float)
    there = ~np.isnan(high) & ~np.isnan(low)
    none = not there[upper.index > 0].any()
    axes.fill_between(
        upper.index.to_numpy(dtype=float), high, low, where=list(there & (high >= low)),
        interpolate=True, linewidth=0, label=f"{name} (none)" if none else name, gid=name,
        zorder=1.5, **style,
    )  # fmt: skip


# --- around the lines ---------------------------------------------------------------------------


def _chance(axes: Axes, runs: pd.DataFrame) -> None:
    lost = runs[~runs["learned"]]
    dodge = lost["series"].map({series: look.dodge for series, look in looks.SERIES.items()})
    looks.at_chance(axes, (lost["n"] + dodge.astype(float)).tolist(), "chance")


def _finish(axes: Axes, chosen: Choice, behind: Choice | None) -> None:
    if behind is not None:
        looks.name_published(axes)
    highest = max(chosen.runs["n"].max(), 0 if behind is None else behind.runs["n"].max())
    axis.cut_points(axes, int(highest))
    axis.accuracy(axes)
    axis.title(axes, chosen.name, chosen.metric)


def _missing(runs: pd.DataFrame) -> list[str]:
    """Series without a network, and the n at which a series has none though others have."""
    every = set(runs["n"]) - {0}
    learned = runs[runs["learned"]]
    there = {series: set(learned.loc[learned["series"] == series, "n"]) for series in pairs.SERIES}
    none = [series for series in pairs.SERIES if not there[series]]
    gaps = [
        f"{series} at n = {', '.join(map(str, sorted(every - there[series])))}"
        for series in pairs.SERIES[1:]
        if there[series] and every - there[series]
    ]
    return [f"No network that learned: {'; '.join([*none, *gaps])}."] if none or gaps else []


def _uneven(chosen: Choice) -> Sequence[str]:
    return [f"{words}." for words in notes.uneven(Experiment("Means", chosen.runs))]
