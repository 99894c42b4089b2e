"""Average precision, in both forms of PASCAL VOC, and what a guess reaches.

The images are ordered by falling score, equal ones as in the list (the devkit's sort is stable);
those with the label 0 are left out. `map11` is the 11-point form of VOC 2007 (and of Chatfield et
al. 2014), the mean over recalls 0, 0.1, ..., 1 of the highest precision at that recall or above;
`map` the area form of VOC 2010 and later, below the precision made non-increasing. They differ by
several points: neither is named without its form. Recalls are compared as counts, so that 3 of 10
positives are a recall of 0.3 whatever its floating point.

A class without a positive image has no average precision, where the devkit says 0 or nan: means
are over the other classes.
Source: VOCdevkit, VOCevalcls.m of 2007 and VOCap.m of 2010; Everingham et al. 2010, Sec. 4.2.

Shapes: N images, K classes, P positive images of a class.
"""

from collections.abc import Mapping, Sequence

import numpy as np

POINTS = 11
# That a guess is above as many others has the probability 1 / 741 = 0.00135: that of `chance.LEVEL`
ORDERS = 740
SEED = 2007  # fixed, so that the same labels always have the same bound


def of_classes(scores: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    """`map11` and `map` -> the average precision of each class, (K,), nan where it is undefined.

    scores: (N, K), -inf for an image without one. labels: (N, K) of 1, -1 and 0.
    """
    columns = range(labels.shape[1])
    each = [_of_ranks(_ranks(scores[:, k], labels[:, k])) for k in columns]
    return {name: np.array([float(ap[name]) for ap in each]) for name in ("map11", "map")}


def means(scores: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """`map11` and `map` -> the mean over the classes with a positive image, at least one."""
    return {name: float(np.nanmean(ap)) for name, ap in of_classes(scores, labels).items()}


def undefined(labels: np.ndarray, classes: Sequence[str]) -> tuple[str, ...]:
    """The classes without a positive image in labels (N, K)."""
    without = np.flatnonzero(~(labels > 0).any(axis=0))
    return tuple(classes[k] for k in without.tolist())


def chance(labels: np.ndarray) -> float:
    """The mean share of positive images, over the classes that have one: the precision of a guess.

    labels: (N, K).
    """
    positive, counted = (labels > 0).sum(axis=0), (labels != 0).sum(axis=0)
    defined = positive > 0
    return float((positive[defined] / counted[defined]).mean())


def guesses(labels: np.ndarray) -> dict[str, float]:
    """`map11` and `map` -> the highest mean of `ORDERS` guesses, each in a random order of its own
    for every class. A network above it learned something of the labels (N, K)."""
    generator = np.random.default_rng(SEED)
    totals = {"map11": np.zeros(ORDERS), "map": np.zeros(ORDERS)}
    defined = 0
    for column in labels.T:
        positive, counted = int((column > 0).sum()), int((column != 0).sum())
        if positive:
            drawn = [generator.choice(counted, positive, replace=False) for _ in range(ORDERS)]
            for name, ap in _of_ranks(np.sort(drawn, axis=1) + 1).items():
                totals[name] += ap
            defined += 1
    return {name: float(total.max() / defined) for name, total in totals.items()}


def _ranks(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The ranks from 1 on, ascending, of the P positive images among those with a label (N,)."""
    ordered = labels[np.argsort(-scores, kind="stable")]
    return np.flatnonzero(ordered[ordered != 0] > 0) + 1


def _of_ranks(ranks: np.ndarray) -> Mapping[str, np.ndarray]:
    """Both average precisions (...) of positive images at these ranks (..., P), ascending."""
    count = ranks.shape[-1]
    if not count:
        return dict.fromkeys(("map11", "map"), np.full(ranks.shape[:-1], np.nan))
    precisions = np.arange(1, count + 1) / ranks  # where the recall rises
    # Between two positives the precision only falls: the highest from here on is at a positive
    highest = np.maximum.accumulate(precisions[..., ::-1], axis=-1)[..., ::-1]
    steps = POINTS - 1
    first = [max(-(-count * point // steps), 1) - 1 for point in range(POINTS)]
    return {"map11": highest[..., first].mean(axis=-1), "map": highest.mean(axis=-1)}
