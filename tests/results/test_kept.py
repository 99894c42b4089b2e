"""The finished runs in `notebooks/results/`: all count, and the documents say what they are."""

import re
from pathlib import Path

import pytest

from transferlab import results

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
VARIANTS = ("BnB", "BnB+", "AnB", "AnB+", "RnB", "AnA", "BnA")
OF_BASES = {"B": "BnB", "A": "AnA"}  # in whose column a base is, in row 0
ROW = re.compile(r"^\| (\d) \|(.*)\|$", re.MULTILINE)


@pytest.mark.parametrize(("name", "least"), [("small_random", 51), ("small_random_longer", 1)])
def test_all_of_them_are_read_and_count(name: str, least: int):
    loaded = results.load(NOTEBOOKS / "results" / f"{name}.csv")

    assert len(loaded.table) >= least
    assert loaded.table["counts"].all() and loaded.left_out.empty


def test_the_documented_accuracies_are_theirs():
    section = (NOTEBOOKS / "README.md").read_text().split("## Figure 2 on photographs")[1]
    documented = {
        (variant, int(n)): cell.strip()
        for n, cells in ROW.findall(section.split("\n## ")[0])
        for variant, cell in zip(VARIANTS, cells.split("|"), strict=True)
        if cell.strip()
    }
    runs = results.load(NOTEBOOKS / "results" / "small_random.csv").table
    assert set(runs["split_seed"]) == {0}
    assert documented == {
        (OF_BASES[run.target] if run.variant == "base" else run.variant, run.n): (
            f"{100 * run.top1_final:.1f}"
        )
        for run in runs.itertuples()
    }
