"""The order of what is measured, and ratios, with clocks that say what they are told."""

import pytest

from transferlab.bench import turns
from transferlab.bench.turns import Comparison, Ratio, Side, Spread


def side(name: str, times: list[float], calls: list[str], count: int = 1) -> Side:
    """A side that takes these times, one after the other, and notes in `calls` that it is asked."""
    left = iter(times)

    def measure() -> float:
        calls.append(name)
        return next(left)

    return Side(name, measure, count, "steps")


def test_sides_are_measured_in_turn_after_one_round_that_does_not_count():
    calls: list[str] = []
    sides = [side("a", [9.0, 1.0, 3.0], calls), side("b", [9.0, 2.0, 4.0], calls)]

    times = turns.in_turn(sides, repetitions=2, warm=True)

    assert calls == ["a", "b", "a", "b", "a", "b"]
    assert times == {"a": (1.0, 3.0), "b": (2.0, 4.0)}


def test_without_warming_up_every_round_counts():
    calls: list[str] = []

    times = turns.in_turn([side("a", [9.0, 1.0], calls)], repetitions=2, warm=False)

    assert calls == ["a", "a"] and times == {"a": (9.0, 1.0)}


def test_a_speed_is_the_others_time_over_ones_own_and_a_time_the_other_way_round():
    sides = [side("a", [], []), side("b", [], [])]
    times = {"a": (1.0, 2.0, 4.0), "b": (8.0, 6.0, 8.0)}
    comparisons = [Comparison("a", "b", "speed", 3.0), Comparison("a", "b", "time", 0.25)]

    speed, time = turns.ratios(comparisons, sides, times)

    assert speed == Ratio(comparisons[0], Spread(3.0, 2.0, 8.0))
    assert time == Ratio(comparisons[1], Spread(1 / 3, 0.125, 0.5))
    assert (speed.met, time.met) == (True, False)


def test_ratios_are_those_of_pairs_not_of_medians():
    sides = [side("a", [], []), side("b", [], [])]
    times = {"a": (1.0, 10.0, 100.0), "b": (100.0, 10.0, 2.0)}

    (ratio,) = turns.ratios([Comparison("a", "b", "time", None)], sides, times)

    assert ratio.spread == Spread(1.0, 0.01, 50.0)


def test_sides_that_do_a_different_number_are_compared_by_one_of_them():
    sides = [side("a", [], [], count=10), side("b", [], [], count=2)]

    (ratio,) = turns.ratios(
        [Comparison("a", "b", "speed", None)], sides, {"a": (1.0,), "b": (1.0,)}
    )

    assert ratio.spread == Spread(5.0, 5.0, 5.0)


@pytest.mark.parametrize(
    ("kind", "median", "met"),
    [("speed", 1.7, True), ("speed", 1.69, False), ("time", 1.7, True), ("time", 1.71, False)],
)
def test_a_target_is_the_least_speed_and_the_most_time(kind: str, median: float, met: bool):
    comparison = Comparison("a", "b", kind, 1.7)  # type: ignore[arg-type]

    assert Ratio(comparison, Spread(median, 0.0, 9.0)).met is met


def test_without_a_target_there_is_nothing_to_meet():
    assert Ratio(Comparison("a", "b", "speed", None), Spread(1.0, 1.0, 1.0)).met is None


def test_the_spread_of_an_even_number_has_its_median_between_two():
    assert turns.spread([4.0, 1.0, 2.0, 9.0]) == Spread(3.0, 1.0, 9.0)


def test_what_takes_time_is_timed_from_its_start_to_its_end():
    now = iter([10.0, 12.5])

    assert turns.timed(lambda: None, clock=lambda: next(now)) == 2.5
