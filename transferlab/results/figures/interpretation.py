"""Figure 2, interpreted: the means with the gaps between them shaded and named.

Yosinski et al. 2014, Fig. 2, lower panel. The gaps here are those of the means, as printed there;
`decomposition` has those in pairs, on the same target.
"""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from transferlab.results.exhibits import Selection
from transferlab.results.figures import figure2, select, style
from transferlab.results.figures.style import SERIES


def draw(axes: Axes, selection: Selection, published: Selection | None) -> list[str]:
    """Mean accuracies in percent against n."""
    runs = selection.experiment.runs
    means = figure2.means_of(selection)
    figure2.draw_published(axes, published)
    figure2.draw_base(axes, means)
    _gaps(axes, means)
    for series, look in SERIES.items():
        cuts = means.index == 0 if series == "baseB" else means.index > 0
        any_mean = bool(means.loc[cuts, series].notna().any())
        if any_mean:
            style.line(axes, *figure2.line_of(means, series), look, f"means {series}", marks=True)
        style.name(axes, look, missing=not any_mean, line=series != "baseB")
    figure2.finish(axes, selection, published)
    at_chance = int((~runs["counts"]).sum())
    return [
        *figure2.missing(runs),
        *([f"{at_chance} runs at chance level are in no mean."] if at_chance else []),
        *figure2.uneven(selection),
        *select.left_out(selection),
    ]


def _gaps(axes: Axes, means: pd.DataFrame) -> None:
    """The two drops and the recovery by fine-tuning, each where it has the expected sign."""
    drop: dict[str, Any] = {"edgecolor": "none", "alpha": 0.3}
    base = pd.Series(figure2.base_of(means), index=means.index)
    blue, red, light = (SERIES[series].colour for series in ("BnB", "AnB", "BnB+"))
    _gap(axes, "fragile co-adaptation", base, means["BnB"], facecolor=blue, **drop)
    _gap(axes, "representation specificity", means["BnB"], means["AnB"], facecolor=red, **drop)
    _gap(
        axes, "recovered by fine-tuning", means["BnB+"], means["BnB"], facecolor="none",
        edgecolor=light, hatch="////", alpha=0.6,
    )  # fmt: skip


def _gap(axes: Axes, name: str, upper: pd.Series, lower: pd.Series, **style: Any) -> None:
    """A shade from `lower` up to `upper`."""
    high, low = upper.to_numpy(dtype=float), lower.to_numpy(dtype=float)
    known = ~np.isnan(high) & ~np.isnan(low)
    none = not known[upper.index > 0].any()
    axes.fill_between(
        upper.index.to_numpy(dtype=float), high, low, where=list(known & (high >= low)),
        interpolate=True, linewidth=0, label=f"{name} (none)" if none else name, gid=name,
        zorder=1.5, **style,
    )  # fmt: skip
