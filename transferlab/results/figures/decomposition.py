"""The drop from baseB to AnB in its two parts at every n, over pairs, with intervals.

Yosinski et al. 2014, Sec. 4.1, whose Fig. 2 shows the gaps of the means. Here a transfer is
compared with the selffer on the same target, and the selffer with its base.
"""

import math
from collections.abc import Iterator
from dataclasses import replace

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
from transferlab.results.naming import RANDOM, tasks
from transferlab.results.tables import decomposition

PARTS = {
    "co-adaptation": Look("co-adaptation, baseB \N{MINUS SIGN} BnB", style.BLUE, "s", -0.12),
    "specificity": Look("specificity, BnB \N{MINUS SIGN} AnB", style.VERMILION, "D", 0.12),
}
APART = 0.06  # from one kind of split to the next


def draw(axes: Axes, selection: Selection, published: Selection | None) -> list[str]:
    """Drops in accuracy against n, in points."""
    table = decomposition.build(selection)
    style.zero(axes, 0, "zero")
    if published is not None:
        _published(axes, published)
    several = table.loc[table["pairs"] > 0, "split"].nunique() > 1
    none = []
    for place, split, part, rows in _shown(table):
        look = _look(place, split, part, several=several)
        any_pair = bool(rows["pairs"].gt(0).any())
        if any_pair:
            x = rows.index.to_numpy(dtype=float) + look.dodge
            means(axes, x, rows["mean"], rows, look, f"{part} {split}")
        elif not several:
            none.append(part)
        style.name(axes, look, missing=not any_pair)
    name_intervals(axes, table)
    runs = selection.experiment.runs
    lost = runs.loc[~runs["counts"] & (runs["n"] > 0), "n"]
    style.at_chance(axes, lost.astype(float).tolist(), "chance")
    finish_differences(axes, selection, published, f"drop in {quantity(selection.metric)} (points)")
    axes.set_xlim(left=0.5)
    return [*_counts(table), *repetition(table), *nothing_of(none), *select.left_out(selection)]


def _shown(table: pd.DataFrame) -> Iterator[tuple[int, str, str, pd.DataFrame]]:
    """Place, split, part, and its rows by n. A split without a pair appears only in the notes,
    unless it is the random halves or the only split."""
    splits = sorted(table["split"].unique(), key=lambda split: split != RANDOM)
    for place, split in enumerate(splits):
        rows = table[table["split"] == split]
        alone = split == RANDOM or len(splits) == 1
        if not (rows["pairs"].any() or alone):
            continue
        for part in PARTS:
            yield place, split, part, rows[rows["part"] == part].set_index("n")


def _look(place: int, split: str, part: str, *, several: bool) -> Look:
    look = PARTS[part]
    look = replace(look, dodge=look.dodge + math.copysign(APART * place, look.dodge))
    if split != RANDOM:
        look = replace(look, hollow=True, line=":")
    return replace(look, name=f"{look.name}, {tasks(split)}") if several else look


def _published(axes: Axes, published: Selection) -> None:
    table = decomposition.build(published)
    table = table[table["split"] == "random"]
    for part, look in PARTS.items():
        rows = table[table["part"] == part]
        x = [float(n) for n in rows["n"]]
        style.published(axes, x, (100 * rows["mean"]).tolist(), look, f"published {part}")


def _counts(table: pd.DataFrame) -> list[str]:
    """The number of pairs behind each point."""
    notes = []
    for split, rows in table[table["part"] == "total"].groupby("split", sort=False):
        pairs = rows["pairs"].tolist()
        if len(set(pairs)) == 1:
            counts = f"{pairs[0]} at every n"
        else:
            counts = ", ".join(f"{k} at n = {n}" for n, k in zip(rows["n"], pairs, strict=True))
        notes.append(f"Pairs, {tasks(str(split))}: {counts}.")
    return notes
