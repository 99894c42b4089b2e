"""How many validations a run has, and the mean of the ten best of enough of them."""

import pytest

from transferlab.experiment import validations


@pytest.mark.parametrize(
    ("steps", "every", "number"),
    [(450_000, 1000, 450), (339, None, 15), (340, None, 15), (90, 30, 3), (91, 30, 4), (7, 100, 1)],
)
def test_validations_are_at_intervals_and_at_the_end(steps: int, every: int | None, number: int):
    # 722 images in batches of 32 are an epoch of 22.56 steps, so 23 between validations
    result = validations.count(steps=steps, every=every, images=722, batch_size=32)

    assert result == number


def test_the_mean_of_the_ten_best_needs_ten_times_as_many_validations():
    curve = [0.1] * 45 + [0.5] * 10 + [0.2] * 45

    assert validations.mean_of_best(curve) == pytest.approx(0.5)
    assert validations.mean_of_best(curve[:99]) is None
    assert validations.mean_of_best(curve[50:59]) is None
