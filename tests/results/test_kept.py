"""The finished runs in `notebooks/results/`: all count, and the documents say what they are."""

import re
from pathlib import Path

import pytest

from transferlab import results

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
VARIANTS = ("BnB", "BnB+", "AnB", "AnB+", "RnB", "AnA", "BnA")
FILTERS = "random filters, random halves"  # a series of the table `figure3`
DIFFERENCES = ("co-adaptation", "specificity", "total", FILTERS)
GAINS = ("BnB+ - baseB", "AnB+ - baseB", "AnB+ - BnB+")
# Of the table `figure3`; FURTHER is the range of a further split of the first series
FURTHER = "further"
TRANSFERS = (
    FURTHER, "man-made/natural, both", "man-made/natural, target natural",
    "man-made/natural, target man-made", "size-matched random, both",
    "size-matched random, target as many as natural",
    "size-matched random, target as many as man-made",
)  # fmt: skip
OF_BASES = {"B": "BnB", "A": "AnA"}  # in whose column a base is, in row 0
ROW = re.compile(r"^\| (\d) \|(.*)\|$", re.MULTILINE)


def documented(
    columns: tuple[str, ...], heading: str = "Figure 2 on photographs"
) -> dict[tuple[str, int], str]:
    """The cells, by column and n, of the table with these columns in the section of that name."""
    section = (NOTEBOOKS / "README.md").read_text().split(f"\n## {heading}")[1]
    rows = [(int(n), cells.split("|")) for n, cells in ROW.findall(section.split("\n## ")[0])]
    return {
        (column, n): cell.strip()
        for n, cells in rows
        if len(cells) == len(columns)
        for column, cell in zip(columns, cells, strict=True)
        if cell.strip()
    }


def points(mean: float, low: float, high: float) -> str:
    """The cell of a difference and its interval."""
    mean, low, high = (round(100 * fraction, 1) + 0 for fraction in (mean, low, high))  # no -0.0
    return f"{mean:.1f} ({low:.1f} to {high:.1f})"


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("small_random", 162),
        ("small_random_longer", 1),
        ("small_random_avx2", 2),
        ("small_manmade_natural", 30),
        ("small_size_matched", 16),
    ],  # fmt: skip
)
def test_all_of_them_are_read_and_count(name: str, least: int):
    loaded = results.load(NOTEBOOKS / "results" / f"{name}.csv")

    assert len(loaded.table) >= least
    assert loaded.table["counts"].all() and loaded.left_out.empty


def test_a_processor_without_bfloat16_trains_networks_as_good():
    names = ("small_random", "small_random_avx2")
    both, without = (results.load(NOTEBOOKS / "results" / f"{name}.csv").table for name in names)
    pairs = without.merge(both, on="id")

    assert [
        (run.label_x, run.device_x, run.top1_final_x, run.top1_final_y)
        for run in pairs.itertuples()
    ] == [
        ("R6B", "cpu: AMD EPYC (AVX2)", 0.1084, 0.1078),
        ("R7B", "cpu: AMD EPYC (AVX2)", 0.0912, 0.0906),
    ]


def test_random_filters_of_smaller_images_are_at_chance_level():
    loaded = results.load(NOTEBOOKS / "results" / "small_random_scaled.csv")
    runs = loaded.table.set_index("label")

    assert {*runs.index} == {"R3B", "R7B"} and not runs["learned"].any()
    assert dict(runs["top1_final"].round(3)) == {"R3B": 0.01, "R7B": 0.01}
    assert dict(runs["val_loss_final"].round(2)) == {"R3B": 4.61, "R7B": 4.61}  # ln 100
    assert dict(runs["data.scale"]) == {"R3B": "1.95e-05", "R7B": "3.05e-08"}


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
    parts, figure3 = (results.table(loaded, name) for name in ("decomposition", "figure3"))
    filters = figure3[(figure3["series"] == FILTERS) & (figure3["n"] > 0)]

    for table in (parts, filters):
        assert {*table["unit"]} == {"split"} and {*table["splits"]} == {4}
    assert documented(DIFFERENCES) == {
        (row.part, row.n): points(row.mean, row.low, row.high) for row in parts.itertuples()
    } | {
        # By how much less than the base, not more
        (FILTERS, row.n): points(-row.paired, -row.high, -row.low)
        for row in filters.itertuples()
    }


def test_the_documented_transfers_between_dissimilar_and_unequal_halves_are_those_of_figure_3():
    names = ("small_random", "small_manmade_natural", "small_size_matched")
    loaded = results.load(*(NOTEBOOKS / "results" / f"{name}.csv" for name in names))
    table = results.table(loaded, "figure3")
    rows = table[(table["n"] > 0) & table["series"].isin(TRANSFERS)]
    random = table[(table["n"] > 0) & (table["series"] == "random halves")]

    assert {*random["unit"]} == {"split"} and {*random["splits"]} == {4}
    assert documented(TRANSFERS, "Figure 3 on photographs") == {
        (row.series, row.n): f"{100 * row.paired:.1f}" for row in rows.itertuples()
    } | {
        (FURTHER, row.n): f"{100 * row.further_low:.1f} to {100 * row.further_high:.1f}"
        for row in random.itertuples()
    }


def test_the_documented_gains_of_fine_tuning_are_those_of_all_splits_with_their_intervals():
    loaded = results.load(NOTEBOOKS / "results" / "small_random.csv")
    gains, table1 = (results.table(loaded, name) for name in ("fine_tuning", "table1"))

    for table in (gains, table1):
        assert {*table["unit"]} == {"split"} and {*table["splits"]} == {4}
    assert documented(GAINS) == {
        (row.comparison, row.n): points(row.mean, row.low, row.high) for row in gains.itertuples()
    }
    text = " ".join((NOTEBOOKS / "README.md").read_text().split())
    for row in table1[table1["layers"] == "1-7"].itertuples():
        cell = points(row.paired, row.low, row.high)
        assert f"{row.comparison} is {cell}" in text, row.comparison
