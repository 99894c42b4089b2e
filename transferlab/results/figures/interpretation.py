"""Figure 2, interpreted: the levels of the series, with the gaps between them shaded and named.

Yosinski et al. 2014, Fig. 2, lower panel. The gaps are those of the table `decomposition`: see
`tables.interpretation`, whose rows are drawn.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from transferlab.results import notes, pairs
from transferlab.results.exhibits import Selection
from transferlab.results.figures import figure2, select, style
from transferlab.results.figures.style import SERIES
from transferlab.results.tables import interpretation

CAPTION = (
    "Levels: the mean of baseB plus the mean difference of the networks to the base of their own "
    "target, so that the shaded gaps are those of the table decomposition."
)


def draw(axes: Axes, selection: Selection, published: Selection | None) -> list[str]:
    """Accuracies in percent against n."""
    table = interpretation.build(selection)
    levels = figure2.by_series(table, "level")
    if published is not None:
        of_published = interpretation.build(published)
        figure2.draw_published(axes, figure2.by_series(of_published, "level"))
    figure2.draw_base(axes, levels)
    _gaps(axes, levels)
    for series, look in SERIES.items():
        is_base = series == "baseB"
        known = levels.loc[(levels.index == 0) == is_base, series].notna().any()
        if known and not is_base:
            line = figure2.line_of(levels, series)
            style.line(axes, *line, look, f"levels {series}", marks=True)
        style.name(axes, look, missing=not known, line=not is_base)
    style.points(axes, [0.0], [figure2.base_of(levels)], SERIES["baseB"], "level baseB")
    figure2.mark_chance(axes, selection)
    figure2.finish(axes, selection, published)
    experiment = replace(selection.experiment, name="Levels")
    return [
        CAPTION,
        *(f"{note}." for note in notes.kinds([experiment])),
        *_averaged_over(table),
        *_without_pair(levels),
        *select.left_out(selection),
    ]


def _averaged_over(table: pd.DataFrame) -> list[str]:
    """How many splits, or seeds, each series rests on, if not all rest on the same: the levels of
    two series are then of different halves."""
    cuts = table[table["n"] > 0]
    rests_on: dict[str, list[str]] = {}
    for (series, unit), counts in notes.repetitions(cuts).groupby([cuts["series"], cuts["unit"]]):
        least, most = counts.min(), counts.max()
        number = f"{most}" if least == most else f"{least} to {most}"
        rests_on.setdefault(f"{number} {unit}{'' if most == 1 else 's'}", []).append(str(series))
    names = [f"over {number}: {', '.join(series)}" for number, series in rests_on.items()]
    return [f"Averaged {'; '.join(names)}."] if len(names) > 1 else []


def _without_pair(levels: pd.DataFrame) -> list[str]:
    """The series, or the n of a series, that nothing can be compared with."""
    cuts = levels[levels.index > 0]
    missing = {series: cuts.index[cuts[series].isna()] for series in pairs.SERIES[1:]}
    names = [
        series if len(ns) == len(cuts) else f"{series} at n = {', '.join(map(str, ns))}"
        for series, ns in missing.items()
        if len(ns)
    ]
    return [f"Without a pair: {'; '.join(names)}."] if names else []


def _gaps(axes: Axes, levels: pd.DataFrame) -> None:
    """The two drops, and the part of the first that fine-tuning recovers, where there is any."""
    drop: dict[str, Any] = {"edgecolor": "none", "alpha": 0.3}
    base = pd.Series(figure2.base_of(levels), index=levels.index)
    blue, red, light = (SERIES[series].colour for series in ("BnB", "AnB", "BnB+"))
    _gap(axes, "fragile co-adaptation", base, levels["BnB"], facecolor=blue, **drop)
    _gap(axes, "representation specificity", levels["BnB"], levels["AnB"], facecolor=red, **drop)
    recovered = levels["BnB+"].clip(upper=base)
    _gap(
        axes, "recovered by fine-tuning", recovered, levels["BnB"], facecolor="none",
        edgecolor=light, hatch="////", alpha=0.6,
    )  # fmt: skip


def _gap(axes: Axes, name: str, upper: pd.Series, lower: pd.Series, **style: Any) -> None:
    """A shade from `lower` up to `upper`."""
    high, low = upper.to_numpy(dtype=float), lower.to_numpy(dtype=float)
    known = ~np.isnan(high) & ~np.isnan(low)
    some = (known & (high - low > 1e-9))[upper.index > 0].any()  # more than rounding
    axes.fill_between(
        upper.index.to_numpy(dtype=float), high, low, where=list(known & (high >= low)),
        interpolate=True, linewidth=0, label=name if some else f"{name} (none)", gid=name,
        zorder=1.5, **style,
    )  # fmt: skip
