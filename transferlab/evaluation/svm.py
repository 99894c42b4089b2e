"""Linear SVMs of one class against the rest, and their constant C.

Chatfield et al. 2014, Sec. 3.1: scikit-learn's LinearSVC (squared hinge, L2 penalty), one C for
all classes, the one with the best result on images that are not learned meanwhile. Images whose
label is open (0) are part of no SVM of that class. Features are divided by the mean norm of those
that are learned, one number, so that the same values of C suit features of any size.

Shapes: M samples, D features, K classes.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from transferlab.evaluation.features import Samples
from transferlab.experiment import average_precision

CONSTANTS = (0.01, 0.1, 1.0, 10.0, 100.0)
ITERATIONS = 10_000  # of liblinear


@dataclass(frozen=True)
class Classifiers:
    """weights: (K, D), bias: (K,), both 0 for a class whose samples are all of it, or none is.

    `untrained` are the positions of these classes; `converged`, whether every SVM did.
    """

    weights: np.ndarray
    bias: np.ndarray
    untrained: tuple[int, ...]
    converged: bool

    def scores(self, features: np.ndarray) -> np.ndarray:
        """(M, K) of features (M, D)."""
        return np.asarray(features @ self.weights.T + self.bias)


def trained(samples: Samples, classes: int, constant: float) -> Classifiers:
    """One SVM a class on all samples."""
    from sklearn.exceptions import ConvergenceWarning  # seconds, which a recorded answer saves
    from sklearn.svm import LinearSVC

    labels = targets(samples.labels, classes)
    norm = float(np.linalg.norm(samples.features, axis=1).mean()) or 1.0
    scaled = samples.features / norm
    weights, bias = np.zeros((classes, scaled.shape[1])), np.zeros(classes)
    untrained: list[int] = []
    converged = True
    for k in range(classes):
        known = labels[:, k] != 0
        if len({*labels[known, k].tolist()}) < 2:
            untrained.append(k)
            continue
        svm = LinearSVC(C=constant, random_state=0, max_iter=ITERATIONS)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            svm.fit(scaled[known], labels[known, k])
        converged &= int(np.max(svm.n_iter_)) < ITERATIONS
        weights[k], bias[k] = svm.coef_[0] / norm, svm.intercept_[0]
    return Classifiers(weights, bias, tuple(untrained), converged)


def chosen(fit: Samples, choice: Samples, classes: int) -> tuple[float, dict[str, float]]:
    """The C that is best on `choice` after learning `fit`, the smaller of equals, and the result of
    each C by its leading metric, 11-point mAP or top-1."""
    results: dict[str, float] = {}
    best, constant = -1.0, CONSTANTS[0]
    for each in CONSTANTS:
        scores = trained(fit, classes, each).scores(choice.features)
        value = next(iter(metrics(scores, choice.labels).values()))
        results[f"{each:g}"] = value
        if value > best:
            best, constant = value, each
    return constant, results


def metrics(scores: np.ndarray, labels: np.ndarray) -> Mapping[str, float]:
    """Of scores (N, K): `map11` and `map` for labels (N, K), `top1` for labels (N,)."""
    if labels.ndim == 2:
        return average_precision.means(scores, labels)
    return {"top1": float((scores.argmax(axis=1) == labels).mean())}


def targets(labels: np.ndarray, classes: int) -> np.ndarray:
    """1, -1 and 0 (M, K) of labels (M,) or (M, K)."""
    if labels.ndim == 2:
        return labels
    found = np.full((len(labels), classes), -1, np.int8)
    found[np.arange(len(labels)), labels] = 1
    return found


def precisions(
    scores: np.ndarray, labels: np.ndarray, classes: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Class -> both average precisions, of the classes where they are defined."""
    found = average_precision.of_classes(scores, labels)
    return {
        name: {form: float(values[k]) for form, values in found.items()}
        for k, name in enumerate(classes)
        if not np.isnan(found["map"][k])
    }
