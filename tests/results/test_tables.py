"""The paper's figures and tables: as published, and from stores made by hand."""

import csv
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from support.stores import finish

from transferlab import results
from transferlab.errors import UserError
from transferlab.results import Results, catalogue

STORE = "published:yosinski2014"
METRICS = ("top1_final", "top1_best10")


@pytest.fixture(scope="module")
def published() -> Results:
    return results.load(STORE)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


def facts(experiment: str, metric: str = "top1_best10") -> Iterator[dict[str, str]]:
    text = (Path(__file__).parents[1] / "support" / "yosinski2014_tables.csv").read_text()
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    return (row for row in rows if (row["experiment"], row["metric"]) == (experiment, metric))


def of(table: pd.DataFrame, **where: object) -> pd.Series:
    """The one row with these values."""
    for key, value in where.items():
        table = table[table[key] == value]
    (row,) = (row for _, row in table.iterrows())
    return row


def number(cell: str) -> float:
    return float(cell) if cell else math.nan


def close(value: float) -> object:
    """Equal to 1e-6: the reference has six digits."""
    return pytest.approx(value, abs=1e-6, nan_ok=True)


def notes(table: pd.DataFrame) -> str:
    return "\n".join(table.attrs["notes"])


# --- the published networks ---------------------------------------------------------------------

# sd between the four splits, of the mean of both halves; the reference has that of single networks
SD = {
    "top1_best10": {
        ("baseB", 0): 0.001030, ("AnB", 1): 0.002455, ("AnB", 2): 0.002305, ("AnB", 3): 0.001390,
        ("AnB", 4): 0.002607, ("AnB", 5): 0.002972, ("AnB", 6): 0.002055, ("AnB", 7): 0.002832,
    },
    "top1_final": {
        ("baseB", 0): 0.000915, ("AnB", 1): 0.002359, ("AnB", 2): 0.002300, ("AnB", 3): 0.001270,
        ("AnB", 4): 0.002617, ("AnB", 5): 0.002991, ("AnB", 6): 0.002008, ("AnB", 7): 0.002751,
    },
}  # fmt: skip


@pytest.mark.parametrize("metric", METRICS)
def test_figure_2_equals_the_paper_in_every_cell(metric: str, published: Results):
    table = results.table(published, "figure2", metric)
    expected = list(facts("random_splits", metric))

    assert len(expected) == len(table) == 29
    for row in expected:
        result = of(table, series=row["series"], n=int(row["n"]))
        assert result["mean"] == close(float(row["mean"]))
        expected_sd = SD[metric].get((row["series"], int(row["n"])), number(row["sd"]))
        assert result["sd"] == close(expected_sd)
        assert result["count"] == int(row["count"])
        assert result["metric"] == metric
    # 0.625101 -+ 3.182446 (t of 3 degrees of freedom) x 0.001030 / sqrt(4)
    base = of(table, series="baseB")
    low, high = {"top1_best10": (0.623462, 0.626741), "top1_final": (0.623083, 0.625995)}[metric]
    assert (base["low"], base["high"], base["splits"]) == (close(low), close(high), 4)
    alone = table[table["splits"] == 1]
    assert len(alone) == 8 and alone[["sd", "low", "high"]].isna().all(axis=None)
    assert "one repetition: no interval" in notes(table)


@pytest.mark.parametrize("metric", METRICS)
def test_figure_3_equals_the_paper_in_every_cell(metric: str, published: Results):
    table = results.table(published, "figure3", metric)
    names = {
        ("natman", "target natural (paper: baseB/AnB)"): ("man-made/natural, target natural", ""),
        ("natman", "target man-made (paper: baseA/BnA)"): ("man-made/natural, target man-made", ""),
        ("natman", "mean of both directions"): ("man-made/natural, both", ""),
        ("natman", "mean of both directions minus base"): ("man-made/natural, both", "relative"),
        ("random_filters", "random"): ("random filters", ""),
        ("random_filters", "random minus base"): ("random filters", "relative"),
        ("fig3_relative", "AnB random splits minus mean base"): ("random halves", "relative"),
    }
    expected = [(names[name, row["series"]], row)
                for name in ("natman", "random_filters", "fig3_relative")
                for row in facts(name, metric)]  # fmt: skip

    assert len(expected) == 4 * 8 + 2 * 8 + 7
    for (series, column), row in expected:
        result = of(table, series=series, n=int(row["n"]))
        assert result[column or "mean"] == close(float(row["mean"]))
        assert result["count"] == int(row["count"])
    assert len(table) == 5 * 8
    # Of these only files have columns: with them a page scrolls in a window of 1280 pixels
    assert {*table} - {*table.attrs["shown"]} == {"sd", "base", "paired_sd", "metric"}


def test_dissimilar_halves_of_the_paper_lie_outside_of_further_random_ones(published: Results):
    table = results.table(published, "figure3").set_index(["series", "n"])
    random, dissimilar = table.loc["random halves"], table.loc["man-made/natural, both"]

    # At n = 2: -0.125, and t of 3 degrees of freedom 3.18245 x 0.184 x sqrt(1 + 1/4) = 0.655
    assert random.loc[2, "further_low"] == pytest.approx(-0.0078, abs=1e-5)
    assert random.loc[2, "further_high"] == pytest.approx(0.0053, abs=1e-5)
    below = dissimilar["paired"] < random["further_low"]
    assert list(below[below].index) == [2, 3, 4, 5, 6, 7]
    assert dissimilar[["further_low", "further_high"]].isna().all(axis=None)


def test_untrained_filters_that_never_learned_are_shown_and_marked(published: Results):
    table = results.table(published, "figure3")

    row = of(table, series="random filters", n=3)
    assert (row["mean"], row["learned"], row["at_chance"]) == (0.001114, False, 1)
    assert list(table[~table["learned"]]["n"]) == [3]


def test_table_1_equals_the_paper_and_has_pairs_beside_it(published: Results):
    table = results.table(published, "table1")
    pooled = {(row.layers, row.comparison): row.pooled for row in table.itertuples()}
    printed = [round(100 * pooled[f"{n}-7", name], 1)
               for n in (1, 3, 5) for name in ("AnB+ - baseB", "AnB+ - BnB+")]  # fmt: skip

    assert printed == [1.6, 1.4, 1.8, 1.4, 2.1, 1.7]
    for row in facts("table1"):
        result = of(table, layers=row["n"], comparison=row["series"].replace("minus", "-"))
        assert result["pooled"] == close(float(row["mean"]))
        assert result["count"] == int(row["count"])
    assert {row["count"] for row in facts("table1_paired")} == {"10", "7", "8", "3", "5"}
    for row in facts("table1_paired"):
        comparison = row["series"].replace("minus own-target base", "- baseB")
        result = of(table, layers=row["n"], comparison=comparison)
        assert result["pairs"] == int(row["count"])


def test_the_gains_of_table_1_are_compared_at_equal_n(published: Results):
    # Split 0 has AnB+ at every n: its mean gain is 0.010035, and split 1, which has n = 2, 3 and 4,
    # lies there 0.001704 below it. So the splits are 0.010035 and 0.008331, their sd 0.001205, and
    # half the interval is 12.706205 (t of 1 degree of freedom) x 0.001205 / sqrt(2)
    table = results.table(published, "table1")
    expected = {
        ("1-7", "AnB+ - baseB"): (0.009183, 0.001207, -0.001662, 0.020028, 2),
        ("3-7", "AnB+ - baseB"): (0.011324, 0.000761, 0.004485, 0.018163, 2),
        ("5-7", "AnB+ - baseB"): (0.011626, math.nan, math.nan, math.nan, 1),
        ("1-7", "BnB+ - baseB"): (0.009095, 0.000729, 0.002541, 0.015650, 2),
        ("3-7", "BnB+ - baseB"): (0.011143, 0.000729, 0.004589, 0.017697, 2),
        ("5-7", "BnB+ - baseB"): (0.010190, 0.000587, 0.004917, 0.015463, 2),
    }
    for (layers, comparison), values in expected.items():
        row = of(table, layers=layers, comparison=comparison)
        result = [row[key] for key in ("paired", "paired_sd", "low", "high", "splits")]
        assert result == close(list(values)), (layers, comparison)
    assert (
        "AnB+ - baseB of layers 1-7, 3-7: the repetitions have different n, and are compared at "
        "equal n by an additive fit of repetition and n"
    ) in notes(table)


def test_no_published_fine_tuned_transfer_has_its_selffer(published: Results):
    table = results.table(published, "table1")

    assert set(table[table["comparison"] == "AnB+ - BnB+"]["pairs"]) == {0}
    assert "AnB+ - BnB+ without a pair: compare AnB+ - baseB with BnB+ - baseB" in notes(table)
    assert "baseB rests on 8 halves, BnB+ on 2, AnB+ on 2" in notes(table)


def test_the_parts_are_those_of_the_release(published: Results):
    table = results.table(published, "decomposition")
    table = table[table["split"] == "random"]
    parts = {
        "BnB minus own-target base": "co-adaptation",
        "BnA minus AnA (same target, same split)": "specificity",
    }
    expected = [row for row in facts("random_splits_paired") if row["series"] in parts]

    assert len(expected) == 14
    for row in expected:
        result = of(table, part=parts[row["series"]], n=int(row["n"]))
        assert result["mean"] == close(-float(row["mean"]))
        assert result["sd"] == close(float(row["sd"]))
        assert (result["pairs"], result["splits"]) == (4, 4)
    sums = table.pivot(index="n", columns="part", values="mean")
    assert (sums["co-adaptation"] + sums["specificity"]).tolist() == close(sums["total"].tolist())
    assert "28 AnB without its BnB on the same target" in notes(table)


# Between the four splits, of the mean difference of both directions; computed from the CSV alone
PAIRED_SD = {
    1: 0.001855, 2: 0.001842, 3: 0.000987, 4: 0.001967, 5: 0.002253, 6: 0.001230, 7: 0.001946,
}  # fmt: skip


def test_the_paired_differences_of_figure_3_are_the_references(published: Results):
    table = results.table(published, "figure3")
    for row in facts("random_splits_paired"):
        if row["series"] == "AnB minus own-target base":
            result = of(table, series="random halves", n=int(row["n"]))
            assert result["paired"] == close(float(row["mean"]))
            assert result["paired_sd"] == close(PAIRED_SD[int(row["n"])])
    # -0.082615 -+ 3.182446 x 0.001946 / sqrt(4)
    assert (result["low"], result["high"]) == (close(-0.085711), close(-0.079519))
    assert (result["pairs"], result["splits"]) == (8, 4)


# --- stores made by hand ------------------------------------------------------------------------


def three_splits(runs: Path) -> Results:
    """Base, selffer and transfer of one target on three splits."""
    for split, (base, selffer, transfer) in enumerate(
        [(0.80, 0.78, 0.70), (0.82, 0.79, 0.73), (0.84, 0.83, 0.73)]
    ):
        finish(runs, "baseB", base, split=split)
        finish(runs, "B3B", selffer, split=split)
        finish(runs, "A3B", transfer, split=split)
    return results.load(runs)


def test_the_decomposition_equals_a_calculation_by_hand(runs: Path):
    table = results.table(three_splits(runs), "decomposition")

    # Co-adaptation 0.02, 0.03, 0.01: mean 0.02, sd 0.01, half 4.302653 x 0.01 / sqrt(3)
    row = of(table, part="co-adaptation")
    assert [row[key] for key in ("mean", "sd", "low", "high")] == pytest.approx(
        [0.02, 0.01, 0.02 - 0.0248414, 0.02 + 0.0248414], abs=1e-7
    )
    # Specificity 0.08, 0.06, 0.10: mean 0.08, sd 0.02, twice the half
    row = of(table, part="specificity")
    assert [row[key] for key in ("mean", "sd", "low", "high")] == pytest.approx(
        [0.08, 0.02, 0.08 - 0.0496828, 0.08 + 0.0496828], abs=1e-7
    )
    # Total 0.10, 0.09, 0.11
    row = of(table, part="total")
    assert (row["mean"], row["sd"]) == pytest.approx((0.10, 0.01))
    assert [row[key] for key in ("n", "pairs", "splits", "seeds")] == [3, 3, 3, 1]
    assert row["metric"] == "top1_final"
    assert notes(table) == ""


def test_one_pair_has_a_mean_and_no_interval(runs: Path):
    finish(runs, "baseB", 0.80)
    finish(runs, "B3B", 0.78)
    finish(runs, "A3B", 0.70)

    row = of(results.table(results.load(runs), "decomposition"), part="specificity")
    assert row["mean"] == pytest.approx(0.08)
    assert row["pairs"] == 1
    assert row[["sd", "low", "high"]].isna().all()


def test_runs_of_different_targets_are_not_paired(runs: Path):
    finish(runs, "baseA", 0.90)
    finish(runs, "baseB", 0.80)
    finish(runs, "A3A", 0.88)
    finish(runs, "A3B", 0.70)

    table = results.table(results.load(runs), "decomposition")
    assert set(table["pairs"]) == {0}
    assert table["mean"].isna().all()
    assert "1 AnB without its BnB on the same target (A3B random0)" in notes(table)
    assert "1 BnB without its AnB on the same target (A3A random0)" in notes(table)


@pytest.mark.parametrize("other", [{"seed": 1}, {"split.seed": 1, "split.digest": "1" * 64}])
def test_runs_of_different_seeds_and_splits_are_not_paired(other: dict[str, object], runs: Path):
    for changes in ({}, other):
        finish(runs, "baseB", 0.8, changes)
    finish(runs, "B3B", 0.78)
    finish(runs, "A3B", 0.70, other)

    assert set(results.table(results.load(runs), "decomposition")["pairs"]) == {0}


def test_a_triple_without_its_selffer_is_dropped_and_named(runs: Path):
    three_splits(runs)
    finish(runs, "A5B", 0.6)

    table = results.table(results.load(runs), "decomposition")
    assert of(table, part="total", n=5)["pairs"] == 0
    assert of(table, part="total", n=3)["pairs"] == 3
    assert "1 AnB without its BnB on the same target (A5B random0)" in notes(table)


def test_a_triple_without_its_base_is_dropped_and_named(runs: Path):
    finish(runs, "B3B", 0.78)
    finish(runs, "A3B", 0.70)

    table = results.table(results.load(runs), "decomposition")
    assert of(table, part="specificity")["pairs"] == 0
    assert "1 AnB without the base of its target (A3B random0)" in notes(table)


def test_a_run_at_chance_level_is_counted_and_enters_no_mean(runs: Path):
    three_splits(runs)
    finish(runs, "A3B", 0.2, split=0, learned=False)

    loaded = results.load(runs)
    figure, parts = results.table(loaded, "figure2"), results.table(loaded, "decomposition")
    row = of(figure, series="AnB", n=3)
    assert (row["mean"], row["count"], row["at_chance"]) == (pytest.approx(0.73), 2, 1)
    assert of(parts, part="total")["mean"] == pytest.approx((0.09 + 0.11) / 2)
    assert "1 AnB at chance level, or with such a BnB (A3B random0)" in notes(parts)
    for table in (figure, parts):
        assert "of the expected runs: 1 at chance level" in notes(table)


MODELS = {"alexnet_small": 0.8, "zfnet": 0.6}  # and the accuracy of baseB


def test_levels_of_two_experiments_are_each_its_own(runs: Path):
    for model, base in MODELS.items():
        for label, top1 in (("baseB", base), ("B3B", base - 0.05), ("A3B", base - 0.1)):
            finish(runs, label, top1, {"model.name": model})

    loaded = results.load(runs)
    for _ in range(2):  # the second time from what was made the first time
        table = results.table(loaded, "interpretation")
        levels = table.set_index(["experiment", "series"])["level"].round(2).to_dict()
        models = {name: model for name, _ in levels for model in MODELS if model in name.split()}
        assert {(models[name], series): level for (name, series), level in levels.items()} == {
            ("alexnet_small", "baseB"): 0.8, ("alexnet_small", "BnB"): 0.75,
            ("alexnet_small", "AnB"): 0.7,
            ("zfnet", "baseB"): 0.6, ("zfnet", "BnB"): 0.55, ("zfnet", "AnB"): 0.5,
        }  # fmt: skip


def test_a_point_at_chance_level_has_no_mean_but_a_row(runs: Path):
    finish(runs, "A3B", 0.2, learned=False)

    row = of(results.table(results.load(runs), "figure2"), series="AnB")
    assert math.isnan(row["mean"])
    assert (row["count"], row["at_chance"]) == (0, 1)


def test_nothing_is_compared_with_a_base_at_chance_level(runs: Path):
    finish(runs, "baseB", 0.2, learned=False)
    finish(runs, "B3B", 0.78)
    finish(runs, "A3B", 0.70)
    finish(runs, "A3B+", 0.80)

    loaded = results.load(runs)
    assert of(results.table(loaded, "decomposition"), part="total")["pairs"] == 0
    assert "1 AnB whose base is at chance level" in notes(results.table(loaded, "decomposition"))
    row = of(results.table(loaded, "table1"), layers="1-3", comparison="AnB+ - baseB")
    assert (row["count_other"], row["pairs"], row["at_chance"]) == (0, 0, 1)
    assert math.isnan(row["pooled"])


def test_a_run_counts_only_if_its_base_does(runs: Path):
    finish(runs, "baseA", 0.2, learned=False)
    for label, top1 in (("baseB", 0.80), ("B3B", 0.70), ("A3B", 0.77), ("A3B+", 0.82)):
        finish(runs, label, top1)
    finish(runs, "baseB", 0.80, split=1)
    finish(runs, "A3B", 0.60, split=1)  # its base has no record: it is judged alone

    loaded = results.load(runs)
    row = of(results.table(loaded, "figure2"), series="AnB")
    assert (row["mean"], row["count"], row["at_chance"]) == (0.60, 1, 1)
    parts = results.table(loaded, "decomposition")
    assert of(parts, part="specificity")["pairs"] == 0
    assert "1 AnB whose base is at chance level (A3B random0)" in notes(parts)
    row = of(results.table(loaded, "table1"), layers="1-3", comparison="AnB+ - baseB")
    assert (row["count"], row["pairs"], row["at_chance"]) == (0, 0, 2)  # A3B+ and baseA
    for table in (parts, results.table(loaded, "figure2")):
        assert "of the expected runs: 1 at chance level, 2 on a base at chance level" in notes(
            table
        )
    left_out = results.table(loaded, "left_out")
    base = of(loaded.table, label="baseA")["id"]
    assert sorted(left_out["label"]) == ["A3B", "A3B+", "baseA"]
    assert list(left_out["reason"][1:]) == [f"its base baseA {base} is at chance level"] * 2


def test_splits_repeat_where_there_are_several_and_seeds_where_there_is_one(runs: Path):
    for split, shift in ((0, 0.0), (1, 0.04)):
        for seed, selffer in ((0, 0.78), (1, 0.80)):
            finish(runs, "baseB", 0.80, {"seed": seed}, split=split)
            finish(runs, "B3B", selffer + shift, {"seed": seed}, split=split)
            finish(runs, "A3B", 0.70, {"seed": seed}, split=split)
    both = results.load(runs)
    one = replace(both, table=both.table[both.table["split_seed"] == 0])

    # Specificity 0.08 and 0.10 in split 0, 0.12 and 0.14 in split 1: splits 0.09 and 0.13, sd
    # 0.04 / sqrt(2), half the interval 12.706205 x 0.04 / 2
    row = of(results.table(both, "decomposition"), part="specificity")
    assert [row[key] for key in ("pairs", "splits", "seeds")] == [4, 2, 2]
    assert (row["mean"], row["sd"]) == pytest.approx((0.11, 0.04 / math.sqrt(2)))
    assert (row["low"], row["high"]) == pytest.approx((0.11 - 0.2541241, 0.11 + 0.2541241))
    row = of(results.table(both, "figure2"), series="BnB", n=3)
    assert [row[key] for key in ("count", "splits", "seeds")] == [4, 2, 2]
    assert (row["mean"], row["low"], row["high"]) == pytest.approx((0.81, 0.5558759, 1.0))

    assert row["unit"] == "split"
    assert "unit is the seed" not in notes(results.table(both, "figure2"))

    # Specificity 0.08 and 0.10 with the seeds of split 0, sd 0.02 / sqrt(2)
    table = results.table(one, "decomposition")
    row = of(table, part="specificity")
    assert [row[key] for key in ("pairs", "unit", "splits", "seeds")] == [2, "seed", 1, 2]
    assert (row["mean"], row["sd"]) == pytest.approx((0.09, 0.02 / math.sqrt(2)))
    assert (row["low"], row["high"]) == pytest.approx((0.09 - 0.12706205, 0.09 + 0.12706205))
    assert "where the unit is the seed, an interval is over trainings" in notes(table)
    single = replace(one, table=one.table[one.table["seed"] == 0])
    for name in ("decomposition", "figure2"):
        table = results.table(single, name)
        assert "one repetition: no interval" in notes(table)
        assert table[["sd", "low", "high"]].isna().all(axis=None)


OTHERS = ({"data.name": "cifar10"}, {"data.digest": "e" * 64}, {"model.name": "alexnet"},
          {"train.epochs": 30})  # fmt: skip


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("name", ["figure2", "figure3", "table1", "decomposition"])
def test_runs_of_other_experiments_are_never_averaged_with_these(
    name: str, other: dict[str, object], runs: Path
):
    for changes in ({}, other):
        for label, top1 in (("baseB", 0.8), ("B3B", 0.7), ("A3B", 0.6), ("A3B+", 0.85)):
            finish(runs, label, top1 - (0.1 if changes else 0), changes)

    table = results.table(results.load(runs), name)
    by_experiment = dict(iter(table.groupby("experiment")))
    assert len(by_experiment) == 2
    counts = table["count" if "count" in table else "pairs"]
    assert counts.max() == 1
    assert "2 experiments, not averaged together" in notes(table)


def test_half_a_mirrors_half_b(runs: Path):
    for label, top1 in (("baseA", 0.9), ("baseB", 0.8), ("A3A", 0.85), ("B3B", 0.75),
                        ("B3A", 0.7), ("A3B", 0.6)):  # fmt: skip
        finish(runs, label, top1)

    loaded = results.load(runs)
    figure = {
        row.series: (row.mean, row.count) for row in results.table(loaded, "figure2").itertuples()
    }
    assert figure == {"baseB": (pytest.approx(0.85), 2), "BnB": (pytest.approx(0.8), 2),
                      "AnB": (pytest.approx(0.65), 2)}  # fmt: skip
    row = of(results.table(loaded, "decomposition"), part="total")
    assert (row["mean"], row["pairs"], row["splits"]) == (pytest.approx(0.2), 2, 1)


def test_pooled_and_paired_gains_differ_where_halves_do(runs: Path):
    finish(runs, "baseA", 0.90)
    finish(runs, "baseB", 0.80)
    finish(runs, "A3B+", 0.85)  # 0.05 above its own base, and equal to the mean of both
    finish(runs, "A3A+", 0.92)

    table = results.table(results.load(runs), "table1")
    row = of(table, layers="1-3", comparison="AnB+ - baseB")
    assert (row["pooled"], row["paired"]) == (pytest.approx(0), pytest.approx(0.05))
    row = of(table, layers="1-3", comparison="AnB+ - BnB+")
    assert (row["pooled"], row["pairs"]) == (pytest.approx(-0.07), 0)

    finish(runs, "B3B+", 0.83)
    row = of(results.table(results.load(runs), "table1"), layers="1-3", comparison="AnB+ - BnB+")
    assert (row["paired"], row["pairs"]) == (pytest.approx(0.02), 1)


def test_table_1_has_only_layers_with_networks(runs: Path):
    finish(runs, "baseB", 0.8)
    finish(runs, "A2B+", 0.85)
    finish(runs, "A4B+", 0.87)

    table = results.table(results.load(runs), "table1")
    assert list(table["layers"].unique()) == ["1-4", "3-4"]
    assert of(table, layers="3-4", comparison="AnB+ - baseB")["count"] == 1


def test_both_directions_need_both(runs: Path):
    natman = {"split.name": "manmade_natural"}
    for label, top1 in (("baseA", 0.5), ("baseB", 0.7), ("B3A", 0.4), ("A3B", 0.5), ("A5B", 0.3)):
        finish(runs, label, top1, natman)

    table = results.table(results.load(runs), "figure3")
    both = of(table, series="man-made/natural, both", n=3)
    assert (both["mean"], both["relative"], both["count"]) == (
        pytest.approx(0.45), pytest.approx(-0.15), 2,
    )  # fmt: skip
    alone = of(table, series="man-made/natural, both", n=5)
    assert (math.isnan(alone["mean"]), alone["count"]) == (True, 0)
    assert of(table, series="man-made/natural, target natural", n=5)["mean"] == 0.3


def test_random_filters_of_halves_are_a_separate_series(runs: Path):
    finish(runs, "baseB", 0.8)
    finish(runs, "R3B", 0.5)
    finish(runs, "baseB", 0.6, {"split.name": "whole"})
    finish(runs, "R3B", 0.4, {"split.name": "whole"})

    table = results.table(results.load(runs), "figure3")
    halves = of(table, series="random filters, random halves", n=3)
    whole = of(table, series="random filters", n=3)
    assert (halves["relative"], whole["relative"]) == pytest.approx((-0.3, -0.2))
    assert "AnB" not in set(results.table(results.load(runs), "figure2")["series"])


def test_filters_that_learned_are_not_averaged_with_those_that_did_not(runs: Path):
    whole = {"split.name": "whole"}
    finish(runs, "baseB", 0.6, whole)
    finish(runs, "R3B", 0.4, whole)
    finish(runs, "R3B", 0.1, {**whole, "seed": 1}, learned=False)

    row = of(results.table(results.load(runs), "figure3"), series="random filters", n=3)
    assert (row["mean"], row["count"], row["at_chance"], row["learned"]) == (0.4, 1, 1, True)


def test_networks_that_keep_stages_are_in_no_figure_and_noted(runs: Path):
    finish(runs, "A3B", 0.7)
    finish(runs, "A3B", 0.9, {"transfer.keep": 1})

    table = results.table(results.load(runs), "figure2")
    assert of(table, series="AnB")["mean"] == 0.7
    assert "finished runs that are not in this table: 1 AnB of random" in notes(table)


def test_runs_are_compared_with_their_base_in_the_requested_metric(runs: Path):
    finish(runs, "baseB", 0.8)
    finish(runs, "A3B", 0.75, metrics={"top1_final": 0.75, "top1_best10": 0.77, "top1_peak": 0.8,
                                       "chance": 0.2})  # fmt: skip

    table = results.table(results.load(runs), "runs", "top1_peak")
    assert list(table["label"]) == ["baseB", "A3B"]
    assert of(table, label="A3B")["delta_to_target_base"] == pytest.approx(0.8 - 0.82)
    assert set(table["metric"]) == {"top1_peak"}


def test_runs_with_short_curves_are_not_shown_by_their_ten_best(runs: Path):
    long = {"train.val_every": 3}  # 339 steps: 113 validations, where once an epoch are 15
    for label, top1 in (("baseB", 0.8), ("A3B", 0.75)):
        finish(runs, label, top1)
        finish(runs, label, top1 - 0.1, long)
    finish(runs, "A5B", 0.7)

    loaded = results.load(runs)
    table = results.table(loaded, "figure2", "top1_best10")
    assert table[["series", "n", "count"]].to_numpy().tolist() == [["baseB", 0, 1], ["AnB", 3, 1]]
    assert list(table["mean"]) == pytest.approx([0.71, 0.66])
    missing = "top1_best10 is missing for 3 of 5 finished runs: it needs 100 validations or more"
    for name in ("figure2", "decomposition", "runs"):
        assert missing in results.table(loaded, name, "top1_best10").attrs["notes"]
        assert "is missing for" not in notes(results.table(loaded, name))
    short = replace(loaded, table=loaded.table[loaded.table["train.val_every"].isna()])
    table = results.table(short, "figure2", "top1_best10")
    assert table.empty
    assert (
        "of the runs that have top1_best10, no finished run has halves or two other tasks"
        in notes(table)
    )


@pytest.mark.parametrize("name", catalogue.table_names())
def test_a_store_with_nothing_finished_gives_an_empty_table_that_says_so(name: str, runs: Path):
    finish(runs, "A3B", 0.7).result_file.write_text("{")

    table = results.table(results.load(runs), name)
    if name == "left_out":
        assert len(table) == 1
    else:
        assert table.empty
        assert "the table is empty" in notes(table)
        assert "of the expected runs: 1 damaged" in notes(table)


def test_an_unknown_metric_is_refused_with_the_known_ones(published: Results):
    for name in catalogue.table_names():
        with pytest.raises(UserError, match="metric=loss is unknown: choose one of top1_final"):
            results.table(published, name, "loss")
