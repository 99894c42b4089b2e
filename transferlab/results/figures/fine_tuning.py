"""What fine-tuned networks gain at every n, over pairs, with intervals: Table 1 by layer.

Yosinski et al. 2014, Sec. 4.1; not a figure of the paper.
"""

from dataclasses import replace

from matplotlib.axes import Axes

from transferlab.results import notes
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
from transferlab.results.tables import fine_tuning

MINUS = "\N{MINUS SIGN}"
# By the comparisons of the table
COMPARISONS = {
    "BnB+ - baseB": Look(f"selffer, BnB+ {MINUS} baseB", style.SKY, "P", -0.12),
    "AnB+ - baseB": Look(f"transfer, AnB+ {MINUS} baseB", style.ORANGE, "X"),
    "AnB+ - BnB+": Look(
        f"transfer over selffer, AnB+ {MINUS} BnB+", style.BLACK, "o", 0.12, hollow=True
    ),
}


def draw(axes: Axes, selection: Selection, published: Selection | None) -> list[str]:
    """Differences in accuracy against n, in points."""
    table = fine_tuning.build(selection)
    style.zero(axes, 0, "zero")
    none = []
    if published is not None:
        _published(axes, published)
    for comparison, look in COMPARISONS.items():
        rows = table[table["comparison"] == comparison]
        any_pair = bool(rows["pairs"].gt(0).any())
        style.name(axes, look, missing=not any_pair)
        if not any_pair:
            none.append(look.name)
            continue
        x = rows["n"].to_numpy(dtype=float) + look.dodge
        means(axes, x, rows["mean"], rows, look, comparison)
    name_intervals(axes, table)
    runs = selection.experiment.runs
    style.at_chance(axes, runs.loc[~runs["counts"], "n"].astype(float).tolist(), "chance")
    label = f"gain in {quantity(selection.metric)} (points)"
    finish_differences(axes, selection, published, label)
    axes.set_xlim(left=0.5)
    return [
        *(f"{note}." for note in notes.kinds([replace(selection.experiment, name="Gains")])),
        *repetition(table),
        *nothing_of(none),
        *select.left_out(selection),
    ]


def _published(axes: Axes, published: Selection) -> None:
    """The published gains, of two splits."""
    table = fine_tuning.build(published)
    for comparison, look in COMPARISONS.items():
        rows = table[table["comparison"] == comparison]
        x = [float(n) for n in rows["n"]]
        style.published(axes, x, (100 * rows["mean"]).tolist(), look, f"published {comparison}")
