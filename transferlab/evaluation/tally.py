"""Metrics of posteriors and labels, summed batch by batch.

Shapes: B images, K outputs.
"""

import numpy as np
import torch
from torch import Tensor

TOP = 5
LEAST = np.finfo(np.float64).tiny  # of a probability, so that its logarithm is finite


class Tally:
    """Of one label an image: `top1` and `top5`, the shares of images whose class is the most
    probable one, or one of the five; `loss`, the mean of -log of its probability.

    `top5` is None for five outputs or fewer, of which it says nothing.
    """

    def __init__(self) -> None:
        self.images = self.top1 = self.top5 = 0
        self.loss, self.outputs = 0.0, 0

    def add(self, posteriors: Tensor, labels: np.ndarray) -> None:
        """Count a batch: probabilities (B, K) float64 and labels (B,)."""
        target = torch.from_numpy(labels)[:, None]  # (B, 1)
        probability = posteriors.gather(1, target)
        self.images += len(labels)
        self.outputs = posteriors.shape[1]
        self.top1 += int((posteriors.argmax(dim=1, keepdim=True) == target).sum())
        best = posteriors.topk(min(TOP, self.outputs)).indices
        self.top5 += int((best == target).sum())
        self.loss -= float(probability.clamp(min=LEAST).log().sum())

    def metrics(self) -> dict[str, float | None]:
        """Fractions, and the mean loss; of at least one image."""
        return {
            "top1": self.top1 / self.images,
            "top5": self.top5 / self.images if self.outputs > TOP else None,
            "loss": self.loss / self.images,
        }
