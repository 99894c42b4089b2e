"""The finished runs in `notebooks/results/`: all count, and the documents say what they are."""

import re
from pathlib import Path

import pytest

from transferlab import results

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
VARIANTS = ("BnB", "BnB+", "AnB", "AnB+", "RnB", "AnA", "BnA")
PARTS = ("co-adaptation", "specificity", "total")
OF_BASES = {"B": "BnB", "A": "AnA"}  # in whose column a base is, in row 0
ROW = re.compile(r"^\| (\d) \|(.*)\|$", re.MULTILINE)


def documented(columns: tuple[str, ...]) -> dict[tuple[str, int], str]:
    """The cells, by column and n, of the table with these columns."""
    section = (NOTEBOOKS / "README.md").read_text().split("## Figure 2 on photographs")[1]
    rows = [(int(n), cells.split("|")) for n, cells in ROW.findall(section.split("\n## ")[0])]
    return {
        (column, n): cell.strip()
        for n, cells in rows
        if len(cells) == len(columns)
        for column, cell in zip(columns, cells, strict=True)
        if cell.strip()
    }


def points(fraction: float) -> str:
    return f"{round(100 * fraction, 1) + 0:.1f}"  # no -0.0


@pytest.mark.parametrize(("name", "least"), [("small_random", 99), ("small_random_longer", 1)])
def test_all_of_them_are_read_and_count(name: str, least: int):
    loaded = results.load(NOTEBOOKS / "results" / f"{name}.csv")

    assert len(loaded.table) >= least
    assert loaded.table["counts"].all() and loaded.left_out.empty


def test_the_documented_accuracies_are_those_of_split_0():
    runs = results.load(NOTEBOOKS / "results" / "small_random.csv").table

    assert documented(VARIANTS) == {
        (OF_BASES[run.target] if run.variant == "base" else run.variant, run.n): (
            f"{100 * run.top1_final:.1f}"
        )
        for run in runs[runs["split_seed"] == 0].itertuples()
    }


def test_the_documented_differences_are_those_of_all_splits_with_their_intervals():
    loaded = results.load(NOTEBOOKS / "results" / "small_random.csv")
    table = results.table(loaded, "decomposition")

    assert {*table["unit"]} == {"split"} and {*table["splits"]} == {4}
    assert documented(PARTS) == {
        (row.part, row.n): f"{points(row.mean)} ({points(row.low)} to {points(row.high)})"
        for row in table.itertuples()
    }
