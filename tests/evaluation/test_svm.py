"""One-vs-rest SVMs on points that a line separates, and the choice of C."""

import numpy as np
import pytest

from transferlab.evaluation import svm
from transferlab.evaluation.features import Samples


def samples(features: np.ndarray, labels: np.ndarray) -> Samples:
    return Samples(features.astype(np.float32), labels, len(labels), {})


def corners(count: int, *, noise: float, seed: int) -> Samples:
    """Three classes around three corners of a triangle."""
    draw = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    centres = np.array([[0, 4], [4, 0], [-3, -3]])
    return samples(centres[labels] + draw.normal(0, noise, (count, 2)), labels)


def test_classes_are_learned_one_against_the_rest():
    fit, test = corners(60, noise=0.5, seed=0), corners(30, noise=0.5, seed=1)

    found = svm.trained(fit, 3, 1.0)
    scores = found.scores(test.features)
    assert svm.metrics(scores, test.labels) == {"top1": 1.0}
    assert (found.weights.shape, found.untrained, found.converged) == ((3, 2), (), True)
    expected = test.features @ found.weights.T + found.bias
    assert np.array_equal(scores, expected)


def test_features_of_any_size_have_the_same_svms():
    """Up to the size: the same scores of every image."""
    fit = corners(60, noise=1.5, seed=0)
    larger = samples(1000 * fit.features, fit.labels)

    scores = svm.trained(fit, 3, 1.0).scores(fit.features)
    assert svm.trained(larger, 3, 1.0).scores(larger.features) == pytest.approx(scores, abs=1e-3)


def test_open_labels_are_part_of_no_svm_and_a_class_without_both_kinds_has_none():
    features = np.array([[2.0, 0], [1.5, 0.5], [-2, 0], [-1, 0.5], [-9, 0], [9, 0]])
    labels = np.array([[1, -1], [1, -1], [-1, -1], [-1, -1], [0, -1], [0, -1]], np.int8)

    found = svm.trained(samples(features, labels), 2, 1.0)
    assert found.untrained == (1,)
    assert found.scores(features)[:, 1].tolist() == [0.0] * 6
    assert (found.scores(features[:4])[:, 0] > 0).tolist() == [True, True, False, False]
    norm = np.linalg.norm(features, axis=1).mean()  # of all six
    known = svm.trained(samples(features[:4] / norm, labels[:4]), 2, 1.0)
    assert len(known.weights) == 2
    swapped = labels.copy()
    swapped[4:, 0] = [1, -1]  # the far ones now count, and are on the wrong side
    other = svm.trained(samples(features, swapped), 2, 1.0)
    assert abs(other.weights[0, 0]) < abs(found.weights[0, 0]) / 2


def test_c_is_the_best_on_images_that_are_not_learned():
    """The labels of the others are wrong in every third image: fitting them costs."""
    fit, choice = corners(90, noise=1.0, seed=0), corners(90, noise=1.0, seed=1)
    constant, results = svm.chosen(fit, choice, 3)

    assert list(results) == ["0.01", "0.1", "1", "10", "100"]
    best = max(results.values())
    assert results[f"{constant:g}"] == best
    first = next(name for name, value in results.items() if value == best)
    assert f"{constant:g}" == first  # the smaller of equals
    by_hand = svm.trained(fit, 3, 0.01).scores(choice.features)
    assert results["0.01"] == (by_hand.argmax(axis=1) == choice.labels).mean()


def test_several_labels_have_both_average_precisions_and_those_of_each_class():
    scores = np.array([[0.9, 0.1, 0.5], [0.8, 0.2, 0.4], [0.1, 0.3, 0.3]])
    labels = np.array([[-1, -1, 1], [1, 0, -1], [-1, -1, -1]], np.int8)

    assert svm.metrics(scores, labels) == {"map11": 0.75, "map": 0.75}
    assert svm.precisions(scores, labels, ("ant", "bee", "cat")) == {
        "ant": {"map11": 0.5, "map": 0.5}, "cat": {"map11": 1.0, "map": 1.0},
    }  # fmt: skip
