"""The scores of validation images with several labels: average precision needs all of them at once.

Until then they stay on their device. Of several processes each has its share, and all get the
numbers of the whole.

Shapes: B batch, M networks, N images, K classes; a network may have more outputs than classes.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from transferlab.experiment import average_precision


class ValidationScores:
    """Collects what a validation computes; `take` ends it."""

    def __init__(self) -> None:
        self.parts: list[tuple[Tensor, Tensor, Tensor]] = []

    def add(self, indices: Tensor, labels: Tensor, logits: Sequence[Tensor]) -> None:
        """The batch of the images `indices` (B,) with labels (B, K); logits (B, K) a network."""
        scores = torch.stack([each.detach()[:, : labels.shape[1]] for each in logits], dim=1)
        self.parts.append((indices, labels, scores))

    def take(self) -> list[dict[str, float]]:
        """`val/map11` and `val/map` of each network, over the images of all processes."""
        indices, labels, scores = _of_all_processes(
            [torch.cat(column).cpu().numpy() for column in zip(*self.parts, strict=True)]
        )
        self.parts = []
        order = np.argsort(indices, kind="stable")  # that of the list, by which ties are broken
        reached = [
            average_precision.means(each, labels[order]) for each in scores[order].swapaxes(0, 1)
        ]
        return [{f"val/{name}": value for name, value in each.items()} for each in reached]


def _of_all_processes(mine: list[np.ndarray]) -> list[np.ndarray]:
    """The arrays of every process, one below the other."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return mine
    shares: list[list[np.ndarray]] = [mine] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(shares, mine)
    return [np.concatenate(column) for column in zip(*shares, strict=True)]
