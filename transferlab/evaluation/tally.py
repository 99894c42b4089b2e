"""Metrics of the scores of images, batch by batch, of one label an image or of several.

Shapes: B images of a batch, N of all, K outputs or classes.
"""

from typing import Protocol as Interface

import numpy as np
import torch
from torch import Tensor

from transferlab.experiment import average_precision

TOP = 5
LEAST = np.finfo(np.float64).tiny  # of a probability, so that its logarithm is finite


class Tally(Interface):
    """Counts batches; `metrics` are of the `images` counted, at least one."""

    images: int

    def add(self, scores: Tensor, labels: np.ndarray) -> None:
        """Count a batch: scores (B, K) float64, on the processor, and labels."""
        ...

    def metrics(self) -> dict[str, float | None]:
        """Metric -> value, None where it is not defined."""
        ...


class TopAccuracies:
    """Of labels (B,): `top1` and `top5`, the shares of images whose class is the one with the
    highest score, or one of the five; `loss`, the mean of -log of its probability.

    `top5` is None for five outputs or fewer, of which it says nothing; `loss` where scores are no
    probabilities of one class out of all.
    """

    def __init__(self, *, probabilities: bool) -> None:
        self.probabilities = probabilities
        self.images = self.top1 = self.top5 = self.outputs = 0
        self.loss = 0.0

    def add(self, scores: Tensor, labels: np.ndarray) -> None:
        target = torch.from_numpy(labels)[:, None]  # (B, 1)
        self.images += len(labels)
        self.outputs = scores.shape[1]
        self.top1 += int((scores.argmax(dim=1, keepdim=True) == target).sum())
        self.top5 += int((scores.topk(min(TOP, self.outputs)).indices == target).sum())
        self.loss -= float(scores.gather(1, target).clamp(min=LEAST).log().sum())

    def metrics(self) -> dict[str, float | None]:
        return {
            "top1": self.top1 / self.images,
            "top5": self.top5 / self.images if self.outputs > TOP else None,
            "loss": self.loss / self.images if self.probabilities else None,
        }


class MeanPrecisions:
    """Of labels (B, K) of 1, -1 and 0: `map11` and `map`, both means of average precisions.

    Keeps all scores: a precision is of all images at once.
    """

    def __init__(self) -> None:
        self.images = 0
        self.scores: list[np.ndarray] = []
        self.labels: list[np.ndarray] = []

    def add(self, scores: Tensor, labels: np.ndarray) -> None:
        self.images += len(labels)
        self.scores.append(scores[:, : labels.shape[1]].numpy())
        self.labels.append(labels)

    def metrics(self) -> dict[str, float | None]:
        scores, labels = np.concatenate(self.scores), np.concatenate(self.labels)
        return {**average_precision.means(scores, labels)}
