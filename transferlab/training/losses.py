"""The losses that a network may learn by: of logits (B, K) and labels, a scalar.

Labels are (B,) int64 for one class an image, or (B, K) int8 for several, 1, -1 and 0, where 0 is
part of no loss. All but cross-entropy judge each class against the rest, for either kind of labels:
per class a mean over the images, or pairs of images, of the batch, then the mean over the classes.
With the sum, networks of 20 classes diverged at the rates of our recipes: at the start each image
pulls at every output, where in cross-entropy it pulls at its own.

Outputs beyond the classes (`model.num_outputs`) are of no image, as in cross-entropy.
"""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

Loss = Callable[[Tensor, Tensor], Tensor]


def binary(logits: Tensor, labels: Tensor) -> Tensor:
    """Logistic loss of every class: log(1 + exp(-t s)), t = 1 or -1."""
    targets = one_vs_rest(labels, logits)
    return (F.softplus(-targets * logits) * targets.abs()).mean()


def hinge(logits: Tensor, labels: Tensor) -> Tensor:
    """max(0, 1 - t s) of every class, t = 1 or -1. Source: Chatfield et al. 2014, TUNE-CLS."""
    targets = one_vs_rest(labels, logits)
    return (F.relu(1 - targets * logits) * targets.abs()).mean()


def ranking(logits: Tensor, labels: Tensor) -> Tensor:
    """max(0, 1 - s_pos + s_neg) over the pairs of an image of a class and one that is not of it.

    The mean is over the classes that have such a pair in the batch; without any the loss is 0.
    Source: Chatfield et al. 2014, TUNE-RNK.
    """
    targets = one_vs_rest(labels, logits)
    present, absent = targets > 0, targets < 0
    images, classes = torch.nonzero(present, as_tuple=True)  # each label 1: (L,)
    margins = F.relu(1 - logits[images, classes][:, None] + logits.T[classes])  # (L, B)
    pairs = present.sum(dim=0) * absent.sum(dim=0)  # of each class: (K,)
    each = (margins * absent.T[classes]).sum(dim=1) / pairs[classes].clamp(min=1)
    return each.sum() / (pairs > 0).sum().clamp(min=1)


def posteriors(loss: str) -> Callable[[Tensor], Tensor]:
    """From logits (B, K) to posteriors, or to the logits where a loss makes none."""
    return POSTERIORS.get(loss, lambda logits: logits)


def one_vs_rest(labels: Tensor, logits: Tensor) -> Tensor:
    """1 for the classes of each image, -1 for the others, 0 for open ones: as the logits (B, K)."""
    targets = torch.full_like(logits, -1, requires_grad=False)
    if labels.ndim == 1:
        return targets.scatter_(1, labels[:, None], 1)
    targets[:, : labels.shape[1]] = labels.to(logits.dtype)
    return targets


# The losses by which logits are probabilities: hinge and ranking only order images
POSTERIORS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "cross_entropy": lambda logits: logits.softmax(dim=1),
    "binary": torch.sigmoid,
}
LOSSES: Mapping[str, Loss] = {
    "cross_entropy": F.cross_entropy,
    "binary": binary,
    "hinge": hinge,
    "ranking": ranking,
}
