"""Learning rates by step: the release's drops, warm-up and cosine."""

import pytest

from transferlab.training.schedule import Cosine, Drops, StepDecay


@pytest.mark.parametrize(
    ("iteration", "rate"),
    [
        (1, 0.01),
        (99_999, 0.01),
        (100_000, 0.001),
        (199_999, 0.001),
        (200_000, 1e-4),
        (300_000, 1e-5),
        (400_000, 1e-6),
        (450_000, 1e-6),
    ],
)
def test_the_releases_rate_drops_at_every_100000(iteration: int, rate: float):
    schedule = StepDecay(lr=0.01, every=100_000, factor=0.1, warmup_steps=0)
    assert schedule(iteration) == pytest.approx(rate, rel=1e-12)


@pytest.mark.parametrize(
    ("iteration", "rate"),
    [
        (1, 0.0125),
        (63_999, 0.0125),
        (64_000, 0.00125),
        (128_000, 1.25e-4),
        (192_000, 1.25e-5),
        (200_000, 1.25e-5),
    ],
)
def test_the_rate_of_the_reduced_runs_drops_at_every_64000(iteration: int, rate: float):
    schedule = StepDecay(lr=0.0125, every=64_000, factor=0.1, warmup_steps=0)
    assert schedule(iteration) == pytest.approx(rate, rel=1e-12)


def test_the_rate_drops_at_each_of_the_steps_that_are_named():
    schedule = Drops(lr=0.1, steps=(3, 5), factor=0.1, warmup_steps=0)
    assert [schedule(i) for i in range(1, 7)] == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001, 0.001])
    warm = Drops(lr=0.4, steps=(3,), factor=0.5, warmup_steps=4)
    assert [warm(i) for i in (1, 2, 3, 4)] == pytest.approx([0.1, 0.2, 0.15, 0.2])


def test_warm_up_rises_in_equal_parts_to_the_rate():
    schedule = StepDecay(lr=0.4, every=100, factor=0.5, warmup_steps=4)
    assert [schedule(i) for i in (1, 2, 3, 4, 5)] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.4])
    assert schedule(100) == pytest.approx(0.2)


def test_the_cosine_rises_and_falls_to_zero_at_the_last_step():
    schedule = Cosine(lr=0.8, total_steps=110, warmup_steps=10)
    assert [schedule(i) for i in (1, 5, 10)] == pytest.approx([0.08, 0.4, 0.8])
    assert schedule(35) == pytest.approx(0.4 * (1 + 0.5**0.5))  # a quarter of the way
    assert schedule(60) == pytest.approx(0.4)  # half of the way
    assert schedule(85) == pytest.approx(0.4 * (1 - 0.5**0.5))
    assert schedule(110) == pytest.approx(0, abs=1e-15)


def test_the_cosine_without_warm_up_begins_just_below_the_rate():
    schedule = Cosine(lr=1.0, total_steps=4, warmup_steps=0)
    quarter = 0.5 * (1 + 0.5**0.5)
    assert [schedule(i) for i in (1, 2, 3, 4)] == pytest.approx(
        [quarter, 0.5, 1 - quarter, 0], abs=1e-15
    )


def test_a_cosine_that_is_all_warm_up_ends_at_the_rate():
    schedule = Cosine(lr=1.0, total_steps=4, warmup_steps=4)
    assert [schedule(i) for i in (1, 2, 3, 4)] == [0.25, 0.5, 0.75, 1.0]


@pytest.mark.parametrize("warmup_steps", [0, 2, 4])
def test_the_cosine_is_zero_after_the_last_step(warmup_steps: int):
    schedule = Cosine(lr=1.0, total_steps=4, warmup_steps=warmup_steps)
    assert [schedule(i) for i in (5, 6, 8)] == [0, 0, 0]
