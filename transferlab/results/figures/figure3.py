"""Figure 3: differences to the base network against n, of dissimilar halves and random filters.

Yosinski et al. 2014, Fig. 3. Differences are paired: a network less the base of its own target.
Differs: the paper subtracts means, which gives the same where every base has its transfer.
"""

from collections.abc import Iterable
from dataclasses import replace
from itertools import cycle

import pandas as pd
from matplotlib.axes import Axes

from transferlab.results.exhibits import Selection
from transferlab.results.figures import select, style
from transferlab.results.figures.axes import (
    finish_differences,
    means,
    name_intervals,
    nothing_of,
    quantity,
    repetition,
)
from transferlab.results.figures.style import Look
from transferlab.results.lookup import among
from transferlab.results.naming import MANMADE_NATURAL, RANDOM, SIZE_MATCHED, tasks
from transferlab.results.tables import figure3
from transferlab.results.tables.figure3 import FILTERS, both, filters, to

RANDOM_HALVES = tasks(RANDOM)
FURTHER = "95 % of further random splits"
# By the series of the table; the first is the reference of the others
SERIES = {
    RANDOM_HALVES: Look("AnB, random halves", style.VERMILION, "D", -0.15),
    both(MANMADE_NATURAL): Look("AnB, man-made/natural", style.GREEN, "o"),
    to(MANMADE_NATURAL, "B"): Look("to natural", style.GREEN, "^", 0.08, hollow=True, line=":"),
    to(MANMADE_NATURAL, "A"): Look("to man-made", style.GREEN, "v", -0.08, hollow=True, line=":"),
    both(SIZE_MATCHED): Look("AnB, size-matched", style.BLUE, "s"),
    to(SIZE_MATCHED, "B"): Look(
        "to natural's number", style.BLUE, "<", 0.12, hollow=True, line=":"
    ),
    to(SIZE_MATCHED, "A"): Look(
        "to man-made's number", style.BLUE, ">", -0.12, hollow=True, line=":"
    ),
    FILTERS: Look("random filters", style.PURPLE, "X", 0.15),
    filters(RANDOM): Look("random filters, random halves", style.PURPLE, "P", 0.2, line="--"),
    filters(MANMADE_NATURAL): Look(
        "random filters, man-made/natural", style.PURPLE, "s", 0.25, line="-."
    ),
}
OWN = ((style.SKY, "P"), (style.ORANGE, "X"), (style.BLACK, "p"), (style.BLUE, "h"))
# The paper's, in the legend even without a point if all others are the paper's too
ALWAYS = (RANDOM_HALVES, both(MANMADE_NATURAL), FILTERS)


def draw(axes: Axes, selection: Selection, published: Selection | None) -> list[str]:
    """Frozen transfers and random filters less the base of their target, in points."""
    runs, table = selection.experiment.runs, figure3.build(selection)
    cuts = sorted(set(table["n"]))
    style.zero(axes, 0, "base", name="baseB")
    if published is not None:
        _published(axes, published)
    none, untrained = [], table["series"].str.startswith(FILTERS).any()
    own = _own(table["series"].unique())
    for series, look in (SERIES | own).items():
        rows = table[table["series"] == series]
        if rows.empty and (own or series not in ALWAYS or (series == FILTERS and untrained)):
            continue
        any_pair = bool(rows["pairs"].gt(0).any())
        style.name(axes, look, missing=not any_pair)
        if any_pair:
            _series(axes, rows, cuts, look, series)
        else:
            none.append(look.name)
    _further(axes, table)
    never = _never_learned(runs, table)
    lost = runs[~runs["counts"] & ~among(runs["id"], never["id"])]
    style.at_chance(axes, lost["n"].astype(float).tolist(), "chance")
    name_intervals(axes, table)
    label = f"{quantity(selection.metric)} \N{MINUS SIGN} baseB (points)"
    finish_differences(axes, selection, published, label)
    return [
        *nothing_of(none),
        *_unpaired(runs),
        *repetition(table),
        *select.left_out(selection, never["id"].tolist()),
    ]


def _own(names: Iterable[str]) -> dict[str, Look]:
    """A look for every series that the paper does not have: splits of one's own."""
    halves = cycle(OWN)
    markers = cycle(marker for _, marker in OWN)
    looks = {}
    for name in names:
        if name.startswith(FILTERS) and name not in SERIES:
            looks[name] = Look(name, style.PURPLE, next(markers), 0.15)
        elif name not in SERIES:
            looks[name] = Look(f"AnB, {name}", *next(halves))
    return looks


def _series(axes: Axes, rows: pd.DataFrame, cuts: list[int], look: Look, series: str) -> None:
    """A line from the base at 0, with its intervals; hollow where nothing was learned."""
    rows = rows.set_index("n").reindex(cuts)
    y = rows["paired"].mask(rows.index == 0, 0.0)
    x = (rows.index + look.dodge * (rows.index > 0)).to_numpy(dtype=float)
    means(axes, x, y, rows, look, series)
    lost = rows["learned"].eq(False).to_numpy() & y.notna().to_numpy()
    if lost.any():
        hollow = replace(look, hollow=True)
        style.points(axes, x[lost].tolist(), (100 * y[lost]).tolist(), hollow, f"chance {series}")
        style.name_once(
            axes, "never learned", linestyle="none", marker=look.marker, color=look.colour,
            markerfacecolor="white", markeredgewidth=style.THIN,
        )  # fmt: skip


def _further(axes: Axes, table: pd.DataFrame) -> None:
    """Where further random halves would lie, for a split of another kind to be compared with; the
    scale is that of the means."""
    random = table["series"] == RANDOM_HALVES
    other = ~random & ~table["series"].str.startswith(FILTERS)
    rows = table[random & table["further_low"].notna()]
    if rows.empty or not table.loc[other, "pairs"].gt(0).any():
        return
    limits, look = axes.get_ylim(), SERIES[RANDOM_HALVES]
    axes.fill_between(
        rows["n"] + look.dodge, 100 * rows["further_low"], 100 * rows["further_high"],
        color=look.colour, alpha=0.12, linewidth=0, zorder=1, gid="further", label=FURTHER,
    )  # fmt: skip
    axes.set_ylim(limits)


def _never_learned(runs: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """The untrained filters at chance level that are shown, where none of their n learned."""
    shown = table.loc[table["learned"].eq(False) & (table["pairs"] > 0), "n"]
    return runs[~runs["counts"] & (runs["series"] == "random") & runs["n"].isin(shown)]


def _published(axes: Axes, published: Selection) -> None:
    table = figure3.build(published)
    for series in ALWAYS:
        rows = table[table["series"] == series].set_index("n")
        y = (100 * rows["paired"]).mask(rows.index == 0, 0.0)
        x = [float(n) for n in rows.index]
        style.published(axes, x, y.tolist(), SERIES[series], f"published {series}")


def _unpaired(runs: pd.DataFrame) -> list[str]:
    """Networks without a base of their own target."""
    alone = runs[(runs["n"] > 0) & runs["delta"].isna()]
    if alone.empty:
        return []
    if len(alone) == 1:
        return ["1 network without the base of its target is not shown."]
    return [f"{len(alone)} networks without the base of their target are not shown."]
