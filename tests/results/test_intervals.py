"""Means and intervals, against values worked out by hand."""

import math

import pytest

from transferlab.results import intervals


def test_the_t_interval_equals_a_calculation_by_hand():
    # Deviations -0.01, 0, 0.01: variance 0.0002 / 2, sd 0.01. t of 2 degrees of freedom at 0.975
    # is 4.302653, and 4.302653 x 0.01 / sqrt(3) = 0.0248414
    summary = intervals.summary([0.02, 0.03, 0.01])

    assert (summary.mean, summary.sd, summary.count) == (
        pytest.approx(0.02),
        pytest.approx(0.01),
        3,
    )
    assert summary.low == pytest.approx(0.02 - 0.0248414, abs=1e-7)
    assert summary.high == pytest.approx(0.02 + 0.0248414, abs=1e-7)


def test_two_values_have_a_wide_interval():
    # sd = 0.02 / sqrt(2), t of 1 degree of freedom is 12.7062: 12.7062 x 0.02 / sqrt(2) / sqrt(2)
    summary = intervals.summary([0.5, 0.52])

    assert summary.high - summary.mean == pytest.approx(0.127062, abs=1e-6)


def test_one_value_has_no_spread_and_none_has_no_mean():
    single, empty = intervals.summary([0.5]), intervals.summary([])

    assert (single.mean, single.count) == (0.5, 1)
    assert all(map(math.isnan, (single.sd, single.low, single.high)))
    assert empty.count == 0
    assert math.isnan(empty.mean)


def test_the_bootstrap_resamples_whole_groups():
    # Group a has 0.02 twice, b 0.08 once. Drawing two groups: aa with probability 1/4, mean 0.02;
    # ab or ba 1/2, mean 0.12 / 3 = 0.04; bb 1/4, mean 0.08. The quantiles are the outer two.
    assert intervals.bootstrap([0.02, 0.02, 0.08], ["a", "a", "b"]) == pytest.approx((0.02, 0.08))


def test_the_bootstrap_of_values_within_groups_is_that_of_their_sums():
    # Both groups have the mean 0.05, so that every draw of whole groups has it too
    assert intervals.bootstrap([0.01, 0.09, 0.09, 0.01], list("aabb")) == pytest.approx(
        (0.05, 0.05)
    )


def test_the_bootstrap_is_reproducible():
    values = [0.01, 0.05, 0.02, 0.07]
    assert intervals.bootstrap(values, range(4)) == intervals.bootstrap(values, range(4))


def test_one_group_has_no_bootstrap_interval():
    assert all(map(math.isnan, intervals.bootstrap([0.1, 0.2], ["a", "a"])))
    assert all(map(math.isnan, intervals.bootstrap([], [])))
