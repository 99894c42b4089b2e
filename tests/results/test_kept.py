"""The finished runs in `notebooks/results/`: all count, and the documents say what they are."""

import pytest
from support import kept_tables

from transferlab import results
from transferlab.results.naming import MANMADE_NATURAL, RANDOM

RESULTS = kept_tables.NOTEBOOKS / "results"


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("small_random", 288),
        ("small_random_longer", 1),
        ("small_random_avx2", 2),
        ("small_manmade_natural", 72),
        ("small_manmade_natural_avx2", 30),
        ("small_size_matched", 16),
        ("small_size_matched_tuned", 4),
    ],  # fmt: skip
)
def test_all_of_them_are_read_and_count(name: str, least: int):
    loaded = results.load(RESULTS / f"{name}.csv")

    assert len(loaded.table) >= least
    assert loaded.table["counts"].all() and loaded.left_out.empty


def test_a_processor_without_bfloat16_trains_networks_as_good():
    names = ("small_random", "small_random_avx2")
    both, without = (results.load(RESULTS / f"{name}.csv").table for name in names)
    pairs = without.merge(both, on="id")

    assert [
        (run.label_x, run.device_x, run.top1_final_x, run.top1_final_y)
        for run in pairs.itertuples()
    ] == [
        ("R6B", "cpu: AMD EPYC (AVX2)", 0.1084, 0.1078),
        ("R7B", "cpu: AMD EPYC (AVX2)", 0.0912, 0.0906),
    ]


@pytest.mark.parametrize("processor", ["", "_avx2"])
def test_the_directions_of_manmade_natural_are_further_apart_than_those_of_random_halves(
    processor: str,
):
    runs = kept_tables.load("small_random", f"small_manmade_natural{processor}").table
    random_apart = kept_tables.most_apart(kept_tables.of_frozen(runs, RANDOM))
    semantic = kept_tables.of_frozen(runs, MANMADE_NATURAL).droplevel("split_seed")

    further = semantic["B"] - semantic["A"] > random_apart  # to natural, to man-made

    assert further.loc[2:].to_dict() == {n: True for n in (2, 3, 4, 5, 6, 7)}


def test_a_second_training_changes_a_direction_by_no_more_than_the_document_says():
    one, other = (
        kept_tables.of_frozen(kept_tables.load(name).table, MANMADE_NATURAL)
        for name in ("small_manmade_natural", "small_manmade_natural_avx2")
    )

    assert kept_tables.points((one - other).abs().max(axis=None)) == "1.6"


def test_the_fine_tuned_pair_of_72_random_classes_is_that_of_the_document():
    runs = kept_tables.load("small_size_matched_tuned").table.set_index("label")["top1_final"]

    assert {label: kept_tables.points(runs[label]) for label in ("A7B+", "B7B+")} == {
        "A7B+": "36.1",
        "B7B+": "34.8",
    }
    assert kept_tables.points(runs["A7B+"] - runs["B7B+"]) == "1.4"


def test_random_filters_of_smaller_images_are_at_chance_level():
    loaded = results.load(RESULTS / "small_random_scaled.csv")
    runs = loaded.table.set_index("label")

    assert {*runs.index} == {"R3B", "R7B"} and not runs["learned"].any()
    assert dict(runs["top1_final"].round(3)) == {"R3B": 0.01, "R7B": 0.01}
    assert dict(runs["val_loss_final"].round(2)) == {"R3B": 4.61, "R7B": 4.61}  # ln 100
    assert dict(runs["data.scale"]) == {"R3B": "1.95e-05", "R7B": "3.05e-08"}


def test_the_documented_tables_are_those_of_the_finished_runs():
    text = kept_tables.README.read_text()

    for name in kept_tables.MAKERS:
        assert f"<!-- {name} -->" in text
    assert kept_tables.complete(text) == text, "python tests/support/kept_tables.py"


@pytest.mark.parametrize("name", ["decomposition", "fine_tuning", "table1"])
def test_the_documented_intervals_are_over_four_splits(name: str):
    table = results.table(kept_tables.load("small_random"), name)

    assert {*table["unit"]} == {"split"} and {*table["splits"]} == {4}


@pytest.mark.parametrize("series", [kept_tables.HALVES, kept_tables.FILTERS])
def test_the_documented_transfers_of_random_halves_are_of_four_splits(series: str):
    rows = kept_tables.of_transfers(kept_tables.load("small_random"), series)

    assert {*rows["unit"]} == {"split"} and {*rows["splits"]} == {4}


def test_the_documented_gains_of_all_layers_are_those_of_table_1():
    table1 = results.table(kept_tables.load("small_random"), "table1")
    text = " ".join(kept_tables.README.read_text().split())

    for row in table1[table1["layers"] == "1-7"].itertuples():
        cell = kept_tables.interval(row.paired, row.low, row.high)
        assert f"{row.comparison} is {cell}" in text, row.comparison
