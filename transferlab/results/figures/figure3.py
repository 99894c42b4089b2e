"""Differences to the base network against n: Figure 3 of the paper, and Figure 2's gap in two.

Yosinski et al. 2014, Fig. 3, and Sec. 4.1. All differences are paired: a network less the base of
its own target, a transfer less the selffer on the same target. Differs: the paper subtracts means,
which comes to the same where every base has its transfer.
"""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from transferlab.results import tables
from transferlab.results.figures import axes as axis
from transferlab.results.figures import select, style
from transferlab.results.figures.select import Choice
from transferlab.results.figures.style import Look
from transferlab.results.loading import Results

FILTERS = "random filters"
# By the names of the series of `tables.figure3`; the first is what the others are held against
FIGURE3 = {
    "random halves": Look("AnB, random halves", style.VERMILION, "D", -0.15),
    "man-made/natural, both": Look("AnB, man-made/natural", style.GREEN, "o"),
    "man-made/natural, target natural": Look(
        "to natural", style.GREEN, "^", 0.08, hollow=True, line=":"
    ),
    "man-made/natural, target man-made": Look(
        "to man-made", style.GREEN, "v", -0.08, hollow=True, line=":"
    ),
    FILTERS: Look("random filters", style.PURPLE, "X", 0.15),
    f"{FILTERS}, random halves": Look(
        "random filters, random halves", style.PURPLE, "P", 0.2, line="--"
    ),
    f"{FILTERS}, man-made/natural": Look(
        "random filters, man-made/natural", style.PURPLE, "s", 0.25, line="-."
    ),
}
BOOTSTRAP = 4.5  # points, the width of its bars, behind the markers
ALWAYS = ("random halves", "man-made/natural, both", FILTERS)  # named even if there is none
PARTS = {
    "co-adaptation": Look("co-adaptation, baseB \N{MINUS SIGN} BnB", style.BLUE, "s", -0.12),
    "specificity": Look("specificity, BnB \N{MINUS SIGN} AnB", style.VERMILION, "D", 0.12),
}
SPLITS = {"random": 0.0, "manmade_natural": 0.06}  # a dodge of their own, and hollow markers


def figure3(
    axes: Axes,
    results: Results,
    metric: str | None = None,
    published: bool = False,
    experiment: str | None = None,
) -> list[str]:
    """Frozen transfers and random filters less the base of their target; what to say below."""
    chosen = select.choose(results, "figure3", metric, experiment)
    behind = select.behind(chosen, published)
    table = tables.figure3(chosen.results, chosen.metric)
    every = sorted(set(table["n"]))
    style.zero(axes, 0, "base")
    if behind is not None:
        _published_figure3(axes, behind)
    none = []
    for series, look in FIGURE3.items():
        some = table[table["series"] == series]
        if some.empty and series not in ALWAYS:
            continue
        there = bool(some["pairs"].gt(0).any())
        style.name(axes, look, missing=not there)
        if there:
            _relative(axes, some, every, look, series)
        else:
            none.append(look.name)
    lost = chosen.runs[~chosen.runs["learned"] & (chosen.runs["series"] == "AnB")]
    style.at_chance(axes, lost["n"].astype(float).tolist(), "chance")
    if table["low"].notna().any():
        style.name_once(axes, "95 % interval", color=style.DARK_GREY, linewidth=style.THIN)
    _finish(axes, chosen, behind, "accuracy \N{MINUS SIGN} baseB (points)")
    return [*_none(none), *_unpaired(table, chosen.runs), *select.notes(chosen)]


def decomposition(
    axes: Axes,
    results: Results,
    metric: str | None = None,
    published: bool = False,
    experiment: str | None = None,
) -> list[str]:
    """baseB - AnB in its two parts at every n, over pairs, with intervals; what to say below."""
    chosen = select.choose(results, "decomposition", metric, experiment)
    behind = select.behind(chosen, published)
    table = tables.decomposition(chosen.results, chosen.metric)
    style.zero(axes, 0, "zero")
    if behind is not None:
        _published_parts(axes, behind)
    both = table.loc[table["pairs"] > 0, "split"].nunique() > 1
    none = []
    for split, dodge in SPLITS.items():
        some = table[table["split"] == split]
        if some.empty or (split != "random" and not some["pairs"].any() and len(table) > len(some)):
            continue  # the notes say that it has no pair
        for part, look in PARTS.items():
            shown = replace(look, dodge=look.dodge + math.copysign(dodge, look.dodge))
            if split != "random":
                shown = replace(shown, hollow=True, line=":")
            if both:
                shown = replace(shown, name=f"{look.name}, {tables.HALVES[split]}")
            rows = some[some["part"] == part].set_index("n")
            there = bool(rows["pairs"].gt(0).any())
            if there:
                _part(axes, rows, shown, f"{part} {split}")
            elif not both:
                none.append(part)
            style.name(axes, shown, missing=not there)
    if table["low"].notna().any():
        style.name_once(axes, "95 % t-interval", color=style.DARK_GREY, linewidth=style.THIN)
    if table["boot_low"].notna().any():
        style.name_once(
            axes, "95 % bootstrap", color=style.DARK_GREY, linewidth=BOOTSTRAP, alpha=0.35
        )
    _finish(axes, chosen, behind, "drop in accuracy (points)")
    axes.set_xlim(left=0.5)
    return [*_counts(table), *_none(none), *select.notes(chosen)]


# --- figure 3 -----------------------------------------------------------------------------------


def _relative(axes: Axes, some: pd.DataFrame, every: list[int], look: Look, series: str) -> None:
    """A line from the base at 0, with the intervals there are; hollow where nothing was learned."""
    rows = some.set_index("n").reindex(every)
    y = (100 * rows["paired"]).mask(rows.index == 0, 0.0)
    x = (rows.index + look.dodge * (rows.index > 0)).to_numpy(dtype=float)
    style.line(axes, x.tolist(), y.tolist(), look, f"means {series}", marks=True)
    _bars(axes, x, 100 * rows["low"], 100 * rows["high"], look, f"t {series}")
    lost = rows["learned"].eq(False).to_numpy() & y.notna().to_numpy()
    if lost.any():
        hollow = replace(look, hollow=True)
        style.points(axes, x[lost].tolist(), y[lost].tolist(), hollow, f"chance {series}")
        style.name_once(
            axes, "never learned", linestyle="none", marker=look.marker, color=look.colour,
            markerfacecolor="white", markeredgewidth=style.THIN,
        )  # fmt: skip


def _published_figure3(axes: Axes, behind: Choice) -> None:
    table = tables.figure3(behind.results, behind.metric)
    for series in ALWAYS:
        some = table[table["series"] == series].set_index("n")
        y = (100 * some["paired"]).mask(some.index == 0, 0.0)
        x = [float(n) for n in some.index]
        style.published(axes, x, y.tolist(), FIGURE3[series], f"published {series}")


def _unpaired(table: pd.DataFrame, runs: pd.DataFrame) -> list[str]:
    """Networks that no base of their own target goes with."""
    alone = runs[(runs["n"] > 0) & runs["delta"].isna()]
    words = [f"{len(alone)} networks without the base of their target are not shown."]
    single = table[(table["n"] > 0) & (table["pairs"] == 1)]["series"].nunique()
    return [
        *(words if len(alone) else []),
        *(["No interval where there is one pair."] * (single > 0)),
    ]


# --- decomposition ------------------------------------------------------------------------------


def _part(axes: Axes, rows: pd.DataFrame, look: Look, gid: str) -> None:
    x = np.array(rows.index, dtype=float) + look.dodge
    style.line(axes, x.tolist(), (100 * rows["mean"]).tolist(), look, f"means {gid}", marks=True)
    boot = 100 * rows[["boot_low", "boot_high"]]
    there = boot.notna().all(axis=1).to_numpy()
    axes.vlines(
        x[there], boot["boot_low"][there], boot["boot_high"][there], color=look.colour,
        linewidth=BOOTSTRAP, alpha=0.35, zorder=2.2, gid=f"bootstrap {gid}",
    )  # fmt: skip
    _bars(axes, x, 100 * rows["low"], 100 * rows["high"], look, f"t {gid}")


def _published_parts(axes: Axes, behind: Choice) -> None:
    table = tables.decomposition(behind.results, behind.metric)
    table = table[table["split"] == "random"]
    for part, look in PARTS.items():
        rows = table[table["part"] == part]
        x = [float(n) for n in rows["n"]]
        style.published(axes, x, (100 * rows["mean"]).tolist(), look, f"published {part}")


def _counts(table: pd.DataFrame) -> list[str]:
    """How many pairs each point rests on."""
    said = []
    for split, some in table[table["part"] == "total"].groupby("split", sort=False):
        pairs = some["pairs"].tolist()
        if len(set(pairs)) == 1:
            counts = f"{pairs[0]} at every n"
        else:
            counts = ", ".join(f"{k} at n = {n}" for n, k in zip(some["n"], pairs, strict=True))
        said.append(f"Pairs, {tables.HALVES[str(split)]}: {counts}.")
    return said


# --- shared -------------------------------------------------------------------------------------


def _bars(axes: Axes, x: np.ndarray, low: pd.Series, high: pd.Series, look: Look, gid: str) -> None:
    there = (low.notna() & high.notna()).to_numpy()
    if there.any():
        axes.vlines(
            x[there], low[there], high[there], color=look.colour, linewidth=style.THIN,
            zorder=2.4, gid=gid,
        )  # fmt: skip


def _none(names: list[str]) -> list[str]:
    return [f"Nothing to show of: {'; '.join(names)}."] if names else []


def _finish(axes: Axes, chosen: Choice, behind: Choice | None, words: str) -> None:
    if behind is not None:
        style.name_published(axes)
    highest = max(chosen.runs["n"].max(), 0 if behind is None else behind.runs["n"].max())
    axis.cut_points(axes, int(highest))
    axis.difference(axes, words)
    axis.title(axes, chosen.name, chosen.metric)
