"""Means over repetitions and their intervals, against values worked out by hand."""

import math

import pandas as pd
import pytest

from transferlab.results import intervals


def values(rows: str) -> pd.DataFrame:
    """`repetition n value` of every line."""
    cells = [line.split() for line in rows.strip().splitlines()]
    frame = pd.DataFrame(cells, columns=["repetition", "n", "value"])
    return frame.astype({"n": int, "value": float}).assign(series="AnB")


def over_repetitions(rows: str, by: str = "series", **more: tuple[float, float]) -> pd.Series:
    (row,) = (row for _, row in intervals.over_repetitions(values(rows), [by], **more).iterrows())
    return row


def interval(row: pd.Series) -> tuple[float, float]:
    return row["low"], row["high"]


def test_the_interval_of_three_splits_equals_a_calculation_by_hand():
    # Deviations -0.01, 0, 0.01: variance 0.0002 / 2, sd 0.01. t of 2 degrees of freedom at 0.975
    # is 4.302653, and 4.302653 x 0.01 / sqrt(3) = 0.0248414
    row = over_repetitions("a 3 0.02 \n b 3 0.03 \n c 3 0.01")

    assert (row["mean"], row["sd"], row["repetitions"]) == (
        pytest.approx(0.02),
        pytest.approx(0.01),
        3,
    )
    assert interval(row) == pytest.approx((0.02 - 0.0248414, 0.02 + 0.0248414), abs=1e-7)


def test_a_further_split_lies_in_the_prediction_interval_of_a_calculation_by_hand():
    # As above, but 4.302653 x 0.01 x sqrt(1 + 1/3) = 0.0496828
    row = over_repetitions("a 3 0.02 \n b 3 0.03 \n c 3 0.01")
    high = over_repetitions("a 3 0.97 \n b 3 0.98 \n c 3 0.96", bounds=intervals.ACCURACY)

    assert (row["further_low"], row["further_high"]) == pytest.approx(
        (0.02 - 0.0496828, 0.02 + 0.0496828), abs=1e-7
    )
    assert (high["further_low"], high["further_high"]) == pytest.approx((0.9203172, 1.0))
    assert math.isnan(over_repetitions("a 3 0.02")["further_low"])


def test_runs_of_one_split_are_averaged_before_the_interval():
    # Splits 0.50 and 0.52, whatever the runs within them: sd = 0.02 / sqrt(2), t of 1 degree of
    # freedom is 12.7062, so half = 12.7062 x 0.02 / sqrt(2) / sqrt(2) = 0.127062
    row = over_repetitions("a 1 0.40 \n a 1 0.60 \n b 1 0.51 \n b 1 0.53")

    assert (row["mean"], row["repetitions"]) == (pytest.approx(0.51), 2)
    assert interval(row) == pytest.approx((0.51 - 0.127062, 0.51 + 0.127062), abs=1e-6)


def test_seeds_and_directions_of_an_n_weigh_as_much_as_one():
    # Split a: 0.2 at n = 1 from three runs, 0.4 at n = 2 from one, so 0.3; split b: 0.5
    row = over_repetitions("a 1 0.1\n a 1 0.2\n a 1 0.3\n a 2 0.4\n b 1 0.4\n b 2 0.6")

    assert row["mean"] == pytest.approx(0.4)


def test_splits_with_different_n_are_compared_at_equal_n():
    # At n = 1 and 2, which both have, b is 0.02 below a (0.11, 0.19 against 0.12, 0.22). The mean
    # of a over n = 1, 2, 3 is 0.22, so that of b is 0.20, not the 0.15 of its two n
    row = over_repetitions("a 1 0.12\n a 2 0.22\n a 3 0.32\n b 1 0.11\n b 2 0.19")

    assert row["uneven"]
    assert (row["mean"], row["sd"]) == pytest.approx((0.21, 0.02 / math.sqrt(2)))
    assert not over_repetitions("a 1 0.12\n b 1 0.11")["uneven"]


def test_splits_that_share_no_n_have_a_mean_and_no_interval():
    row = over_repetitions("a 1 0.1\n a 2 0.3\n b 3 0.4")

    assert (row["mean"], row["repetitions"]) == (pytest.approx(0.3), 2)
    assert all(map(math.isnan, (row["sd"], *interval(row))))


def test_one_split_has_no_interval_however_many_runs_it_has():
    row = over_repetitions("a 1 0.1\n a 1 0.3\n a 2 0.5")

    assert (row["mean"], row["repetitions"]) == (pytest.approx(0.35), 1)
    assert all(map(math.isnan, (row["sd"], *interval(row))))


def test_an_interval_is_cut_off_where_no_true_mean_can_be():
    # Half is 0.127062, as above: 0.97 + 0.127062 is above 1
    rows = "a 1 0.96 \n b 1 0.98"

    assert interval(over_repetitions(rows, bounds=intervals.ACCURACY)) == pytest.approx(
        (0.97 - 0.127062, 1.0), abs=1e-6
    )
    assert interval(over_repetitions(rows))[1] == pytest.approx(0.97 + 0.127062, abs=1e-6)


def test_every_group_has_a_row():
    table = intervals.over_repetitions(values("a 1 0.1\n b 1 0.3\n a 2 0.5"), ["series", "n"])

    assert table["mean"].to_dict() == pytest.approx({("AnB", 1): 0.2, ("AnB", 2): 0.5})
    assert table["repetitions"].to_dict() == {("AnB", 1): 2, ("AnB", 2): 1}
    assert intervals.over_repetitions(values("a 1 0.1").head(0), ["series", "n"]).empty
