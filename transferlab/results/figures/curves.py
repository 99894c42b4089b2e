"""Accuracy during training: the curve of every network, none averaged.

Yosinski et al. 2014, Sec. 3 and the authors' release.
"""

from collections.abc import Collection, Iterator, Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter

from transferlab.results import selections
from transferlab.results.exhibits import Selection
from transferlab.results.figures import select, style
from transferlab.results.figures.axes import accuracy_axis, title
from transferlab.results.figures.style import SERIES, Look
from transferlab.results.lookup import among
from transferlab.results.naming import MANMADE_NATURAL, RANDOM, WHOLE, tasks

NAMED = 3  # runs in a note
LINES = {RANDOM: "-", MANMADE_NATURAL: "--", WHOLE: ":"}
OTHER = "-."  # of other kinds of split
FILTERS = Look("random filters", style.PURPLE, "X")


def draw(axes: Axes, selection: Selection, published: Selection | None) -> list[str]:
    """The accuracy of every network at every validation, in percent, against the step.

    With the published curves, which are of 450,000 steps, against the share of all steps.
    """
    shares = published is not None
    for identity, curve in _by_run(published) if published is not None else ():
        _curve(axes, curve, style.GREY, "-", f"published {identity}", shares=shares)
    runs, curves = selection.experiment.runs, dict(_by_run(selection))
    faults = selections.drawn_curves(selection).attrs["faults"]
    kept = len(selection.results.with_curve & selection.ids) - len(faults)
    named: dict[tuple[str, str], Line2D] = {}
    for run in runs[among(runs["id"], curves)].itertuples():
        look = FILTERS if run.series == "random" else SERIES[str(run.series)]
        named[look.name, str(run.split)] = _curve(
            axes, curves[str(run.id)], look.colour, LINES.get(str(run.split), OTHER),
            f"curve {run.id}", shares=shares,
        )  # fmt: skip
    _name_curves(axes, named)
    if shares:
        style.name_once(axes, f"{style.PUBLISHED_NAME}, bases", color=style.GREY, linewidth=0.6)
        axes.set_xlabel("share of training (%)")
    else:
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.set_xlabel("training step")
    accuracy_axis(axes, selection.metric)
    title(axes, selection.experiment.name, None)
    without = len(runs) - kept
    note = f"No curve is kept of {without} of {len(runs)} networks."
    some = f"{len(curves)} of {kept} curves are drawn, evenly of each series and n."
    return [
        *([note] if without else []),
        *([some] if len(curves) < kept else []),
        *_damaged(runs, faults),
        *select.left_out(selection),
    ]


def _damaged(runs: pd.DataFrame, faults: Collection[str]) -> list[str]:
    """A sentence on the curves that cannot be used, without their folders."""
    names = [f"{run.label} {run.id}" for run in runs[among(runs["id"], faults)].itertuples()]
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    if not names:
        return []
    return [f"The curve of {', '.join(names[:NAMED])}{more} cannot be used: it is damaged."]


def _by_run(selection: Selection) -> Iterator[tuple[str, pd.DataFrame]]:
    for identity, curve in selections.drawn_curves(selection).groupby("id", sort=False):
        yield str(identity), curve


def _curve(
    axes: Axes, curve: pd.DataFrame, colour: str, line: str, gid: str, *, shares: bool
) -> Line2D:
    x = 100 * curve["step"] / curve["step"].max() if shares else curve["step"]
    return axes.plot(
        x, 100 * curve["value"], color=colour, linestyle=line, linewidth=0.7, alpha=0.8, gid=gid,
        zorder=2 if gid.startswith("published") else 2.5,
        marker="o" if len(curve) == 1 else "none", markersize=style.MARKER,
    )[0]  # fmt: skip


def _name_curves(axes: Axes, named: Mapping[tuple[str, str], Line2D]) -> None:
    """Entries of the legend, with the split where there are several."""
    order = [look.name for look in (*SERIES.values(), FILTERS)]
    splits = {split for _, split in named}
    for series, split in sorted(named, key=lambda key: (order.index(key[0]), key[1])):
        line = named[series, split]
        axes.plot(
            [], [], color=line.get_color(), linestyle=line.get_linestyle(), linewidth=style.LINE,
            label=series if len(splits) == 1 else f"{series}, {tasks(split)}",
        )  # fmt: skip
