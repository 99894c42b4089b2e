"""Whether a network learned: against the share of the largest class, by a binomial bound."""

import pytest
from scipy.stats import binom

from transferlab.experiment.chance import LEVEL, learned, share_of_largest


def test_chance_is_the_share_of_the_largest_class():
    assert share_of_largest([36, 35, 36, 36]) == 36 / 143
    assert share_of_largest([90, 10]) == 0.9
    assert share_of_largest([7]) == 1.0


@pytest.mark.parametrize(
    ("images", "chance", "hits"),
    [(179, 0.2, 54), (100, 0.9, 99), (20, 0.5, 17), (5000, 0.01, 73), (50_000, 0.001, 73)],
)
def test_a_network_learned_from_the_first_number_of_hits_that_a_guess_hardly_has(
    images: int, chance: float, hits: int
):
    assert learned(hits / images, chance=chance, images=images)
    assert not learned((hits - 1) / images, chance=chance, images=images)
    assert binom.sf(hits - 1, images, chance) < LEVEL < binom.sf(hits - 2, images, chance)


@pytest.mark.parametrize("accuracy", [0.0, 0.1, 0.9])
def test_always_the_larger_of_two_unequal_classes_is_no_learning(accuracy: float):
    assert not learned(accuracy, chance=0.9, images=1000)


def test_one_class_alone_teaches_nothing():
    assert not learned(1.0, chance=1.0, images=50)
