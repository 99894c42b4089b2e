"""Average precision against the hand-made lists of the reference, and what a guess reaches."""

import numpy as np
import pytest

from transferlab.experiment import average_precision as ap
from transferlab.experiment import chance

# Case: scores, labels, 11-point, area, by exact rational arithmetic from the devkit's definition.
# None where no image is positive: undefined, though the devkit says 0 and nan
GOLDEN = {
    "perfect_ranking": ("0.9 0.8 0.7 0.3 0.2", "1 1 1 -1 -1", 1.0, 1.0),
    "alternating": (
        "0.95 0.85 0.75 0.65 0.55 0.45", "1 -1 1 -1 1 -1", 0.7636363636363637, 0.7555555555555555,
    ),
    "envelope_matters": (
        "0.9 0.8 0.7 0.6 0.5 0.4", "-1 1 1 1 -1 1", 0.7272727272727273, 0.7291666666666666,
    ),
    "positives_last": ("5.0 4.0 3.0 -1.5 -2.5", "-1 -1 -1 1 1", 0.4, 0.4),
    "unsorted_input": ("0.2 0.9 0.5 0.1 0.7 0.3", "1 -1 1 -1 1 1", 0.8, 0.8),
    "ties_positive_listed_first": ("0.5 0.5 0.5 0.5", "1 1 -1 -1", 1.0, 1.0),
    "ties_negative_listed_first": ("0.5 0.5 0.5 0.5", "-1 -1 1 1", 0.5, 0.5),
    "ties_partial": (
        "0.9 0.6 0.6 0.6 0.3 0.3", "1 -1 1 0 -1 1", 0.7636363636363637, 0.7555555555555555,
    ),
    "difficult_ignored": (
        "0.95 0.9 0.8 0.7 0.6 0.5 0.4", "1 0 -1 1 0 -1 1", 0.7636363636363637, 0.7555555555555555,
    ),
    "difficult_on_top": (
        "0.99 0.98 0.6 0.5 0.4", "0 0 1 -1 1", 0.8484848484848485, 0.8333333333333334,
    ),
    "all_positives": ("0.1 0.7 0.4", "1 1 1", 1.0, 1.0),
    "single_positive_of_ten": (
        "1.0 0.9 0.8 0.7 0.6 0.5 0.4 0.3 0.2 0.1", "-1 -1 -1 1 -1 -1 -1 -1 -1 -1", 0.25, 0.25,
    ),
    "no_positives": ("0.9 0.5 0.1", "-1 -1 -1", None, None),
    "no_positives_only_difficult": ("0.9 0.5 0.1", "0 -1 0", None, None),
    "missing_scores_minus_inf": (
        "0.9 -inf 0.5 -inf", "-1 1 1 -1", 0.6666666666666666, 0.6666666666666666,
    ),
}  # fmt: skip


def column(scores: str, labels: str) -> tuple[np.ndarray, np.ndarray]:
    """(N, 1) of each."""
    return (
        np.array([[float(score)] for score in scores.split()]),
        np.array([[int(label)] for label in labels.split()], np.int8),
    )


def test_both_forms_are_those_of_the_devkit():
    for case, (scores, labels, eleven, area) in GOLDEN.items():
        found = ap.of_classes(*column(scores, labels))
        expected = [np.nan if value is None else value for value in (eleven, area)]
        assert [found["map11"][0], found["map"][0]] == pytest.approx(
            expected, abs=1e-9, nan_ok=True
        ), case
    assert len(GOLDEN) == 15


def test_a_recall_of_three_tenths_is_one_whatever_its_floating_point():
    """10 positives among 30 images, where numpy's steps of 0.1 give 0.5553 and Matlab's 0.5660."""
    labels = "1 1 1 -1 -1 -1 -1 -1 -1 -1 1 1 1 -1 -1 -1 -1 -1 -1 -1 1 -1 -1 -1 -1 -1 1 1 1 -1"
    scores = " ".join(str(1 - place / 100) for place in range(30))

    found = ap.of_classes(*column(scores, labels))
    assert found["map11"][0] == pytest.approx(0.61490233904027, abs=1e-9)
    assert found["map"][0] == pytest.approx(0.5763925729442971, abs=1e-9)


def test_a_mean_is_over_the_classes_with_a_positive_image_and_the_others_are_named():
    scores = np.array([[0.9, 0.1, 0.5], [0.8, 0.2, 0.4], [0.1, 0.3, 0.3]])
    labels = np.array([[-1, -1, 1], [1, 0, -1], [-1, -1, -1]], np.int8)

    assert ap.means(scores, labels) == pytest.approx({"map11": 0.75, "map": 0.75})
    assert ap.undefined(labels, ("ant", "bee", "cat")) == ("bee",)
    assert ap.chance(labels) == pytest.approx((1 / 3 + 1 / 3) / 2)


def test_learned_is_what_no_random_order_of_740_reaches():
    labels = np.full((40, 3), -1, np.int8)
    labels[:10, 0], labels[5:15, 1], labels[30:, 2] = 1, 1, 1
    guess = chance.of_labels(labels)

    assert guess["chance"] == 0.25
    orders = [ap.means(np.random.default_rng(seed).random((40, 3)), labels) for seed in range(400)]
    for name in ("map11", "map"):
        values, bound = [order[name] for order in orders], guess[f"{name}_guess"]
        assert np.mean(values) < bound < 0.65
        assert sum(chance.above(v, f"{name}_final", guess, images=40) for v in values) <= 3
    assert chance.above(0.9, "map11_peak", guess, images=40)
    assert not chance.above(guess["map_guess"], "map_final", guess, images=40)
    assert chance.of_labels(np.array([0, 0, 1])) == {"chance": 2 / 3}
