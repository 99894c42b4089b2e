"""Accuracy against the steps of training, and against the number of images to train on.

Yosinski et al. 2014, Sec. 3 and the authors' release. A curve is that of one network: no curves
are averaged.
"""

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter

from transferlab.results import loading
from transferlab.results.figures import axes as axis
from transferlab.results.figures import select, style
from transferlab.results.figures.select import Choice
from transferlab.results.figures.style import Look
from transferlab.results.loading import Results

KINDS = {"random": "random halves", "manmade_natural": "man-made/natural", "whole": "all classes"}
LINES = {"random": "-", "manmade_natural": "--", "whole": ":"}
FILTERS = Look("random filters", style.PURPLE, "X")
BASES = {
    "whole": Look("base, all classes", style.BLACK, "o"),
    "random": Look("base, random halves", style.BLUE, "s", line="--"),
    "manmade_natural": Look("base, man-made/natural", style.GREEN, "^", line=":"),
}


def curves(
    axes: Axes,
    results: Results,
    metric: str | None = None,
    published: bool = False,
    experiment: str | None = None,
) -> list[str]:
    """The accuracy of every network at every validation; what to say below. `metric` is unused.

    With the published curves, which are of 450,000 steps, against the share of all steps.
    """
    chosen = select.choose(results, "curves", metric, experiment)
    behind = select.behind(chosen, published)
    of_all = behind is not None
    for identity, curve in _curves_of(behind).items() if behind is not None else ():
        _curve(axes, curve, style.GREY, "-", f"published {identity}", of_all=of_all)
    found = _curves_of(chosen)
    named: dict[tuple[str, str], Line2D] = {}
    for run in chosen.runs[chosen.runs["id"].isin(list(found))].itertuples():
        look = _look(str(run.series))
        named[look.name, str(run.split)] = _curve(
            axes, found[str(run.id)], look.colour, LINES[str(run.split)], f"curve {run.id}",
            of_all=of_all,
        )  # fmt: skip
    _name_curves(axes, named)
    if of_all:
        style.name_once(axes, f"{style.PUBLISHED_NAME}, bases", color=style.GREY, linewidth=0.6)
        axes.set_xlabel("share of training (%)")
    else:
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.set_xlabel("training step")
    axis.accuracy(axes)
    axis.title(axes, chosen.name, None)
    without = len(chosen.runs) - len(found)
    words = f"No curve is kept of {without} of {len(chosen.runs)} networks."
    return [*([words] if without else []), *select.notes(chosen)]


def reduced(
    axes: Axes,
    results: Results,
    metric: str | None = None,
    published: bool = False,
    experiment: str | None = None,
) -> list[str]:
    """Base networks by images per class; what to say below."""
    chosen = select.choose(results, "reduced", metric, experiment)
    behind = select.behind(chosen, published)
    ticks = set()
    if behind is not None:
        x, y = _means(_images(behind))
        style.published(axes, x, y, BASES["whole"], "published whole")
        style.name_published(axes)
        ticks |= set(x)
    runs = _images(chosen)
    for split, look in BASES.items():
        some = runs[runs["split"] == split]
        if some.empty:
            continue
        learned, lost = some[some["learned"]], some[~some["learned"]]
        style.line(axes, *_means(some), look, f"means {split}")
        style.points(axes, *_points(learned), look, f"points {split}")
        style.name(axes, look, missing=learned.empty)
        if not lost.empty:
            axes.plot(*_points(lost), "x", color=style.DARK_GREY, markersize=style.MARKER,
                      gid=f"chance {split}")  # fmt: skip
            style.name_once(axes, style.CHANCE_NAME, linestyle="none", marker="x",
                            color=style.DARK_GREY)  # fmt: skip
        ticks |= set(some["images"])
    axis.images(axes, sorted(ticks))
    axis.accuracy(axes)
    axis.title(axes, chosen.name, chosen.metric)
    return [*_untold(chosen), *select.notes(chosen)]


# --- curves -------------------------------------------------------------------------------------


def _curves_of(chosen: Choice) -> dict[str, pd.DataFrame]:
    table = loading.curves(chosen.results)
    return {str(identity): curve for identity, curve in table.groupby("id", sort=False)}


def _curve(
    axes: Axes, curve: pd.DataFrame, colour: str, line: str, gid: str, *, of_all: bool
) -> Line2D:
    x = 100 * curve["step"] / curve["step"].max() if of_all else curve["step"]
    return axes.plot(
        x, 100 * curve["top1"], color=colour, linestyle=line, linewidth=0.7, alpha=0.8, gid=gid,
        zorder=2 if gid.startswith("published") else 2.5,
    )[0]  # fmt: skip


def _look(series: str) -> Look:
    return FILTERS if series == "random" else style.SERIES[series]


def _name_curves(axes: Axes, named: Mapping[tuple[str, str], Line2D]) -> None:
    """Entries of the legend, with the split where there are several."""
    order = [look.name for look in (*style.SERIES.values(), FILTERS)]
    splits = {split for _, split in named}
    for series, split in sorted(named, key=lambda key: (order.index(key[0]), key[1])):
        line = named[series, split]
        axes.plot(
            [], [], color=line.get_color(), linestyle=line.get_linestyle(), linewidth=style.LINE,
            label=series if len(splits) == 1 else f"{series}, {KINDS[split]}",
        )  # fmt: skip


# --- reduced ------------------------------------------------------------------------------------


def _images(chosen: Choice) -> pd.DataFrame:
    """The runs with `images` of each class, the mean where all are taken; if they say it."""
    whole = chosen.results.table.set_index("id")
    mean = whole["train_images"].astype(float) / whole["num_classes"].astype(float)
    images = whole["data.per_class"].astype(float).fillna(mean)
    return chosen.runs.assign(images=chosen.runs["id"].map(images)).dropna(subset="images")


def _untold(chosen: Choice) -> list[str]:
    without = len(chosen.runs) - len(_images(chosen))
    return [f"{without} networks do not say how many images they had."] if without else []


def _means(runs: pd.DataFrame) -> tuple[list[float], list[float]]:
    """Images and percent; nan, which breaks the line, where no network learned."""
    every = sorted(set(runs["images"]))
    means = runs[runs["learned"]].groupby("images")["accuracy"].mean().reindex(every)
    return every, (100 * means).tolist()


def _points(runs: pd.DataFrame) -> tuple[list[float], list[float]]:
    return runs["images"].tolist(), (100 * runs["accuracy"]).tolist()
