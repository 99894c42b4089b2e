"""The losses against sums written out, for several labels an image and for one against the rest."""

import math

import pytest
import torch

from transferlab.training.losses import LOSSES, binary, hinge, ranking

LOGITS = torch.tensor([[2.0, -1.0, 0.5], [0.0, 3.0, -2.0], [1.0, 0.5, 0.0], [-0.5, 1.0, 1.0]])
LABELS = torch.tensor([[1, -1, 0], [-1, 1, -1], [1, 0, -1], [-1, 1, -1]], dtype=torch.int8)


def pairs() -> list[tuple[int, int, int]]:
    """Image, class and label of those that are not 0."""
    labels = LABELS.tolist()
    return [(b, k, labels[b][k]) for b in range(4) for k in range(3) if labels[b][k]]


def test_binary_and_hinge_are_means_over_images_and_classes():
    s = LOGITS.tolist()
    logistic = sum(math.log1p(math.exp(-t * s[b][k])) for b, k, t in pairs()) / 12
    margins = sum(max(0.0, 1 - t * s[b][k]) for b, k, t in pairs()) / 12

    assert binary(LOGITS, LABELS).item() == pytest.approx(logistic, rel=1e-6)
    assert hinge(LOGITS, LABELS).item() == pytest.approx(margins, rel=1e-6)


def test_ranking_is_the_mean_over_the_pairs_of_a_class_and_then_over_classes_with_one():
    s = LOGITS.tolist()
    # class 0: images 0, 2 against 1, 3; class 1: 1, 3 against 0; class 2: no image shows it
    first = [max(0.0, 1 - s[i][0] + s[j][0]) for i in (0, 2) for j in (1, 3)]
    second = [max(0.0, 1 - s[i][1] + s[0][1]) for i in (1, 3)]

    mean = (sum(first) / 4 + sum(second) / 2) / 2
    assert ranking(LOGITS, LABELS).item() == pytest.approx(mean)


def test_an_open_label_has_no_gradient():
    for loss in (binary, hinge, ranking):
        logits = torch.zeros(4, 3, requires_grad=True)
        loss(logits, LABELS).backward()
        assert logits.grad is not None
        assert (logits.grad[0, 2], logits.grad[2, 1]) == (0, 0)
        assert logits.grad[0, 0] < 0 < logits.grad[1, 0]


def test_a_batch_without_a_pair_has_a_loss_of_zero_with_a_gradient():
    for labels in (torch.full((4, 3), -1), torch.ones(4, 3), torch.zeros(4, 3)):
        logits = LOGITS.clone().requires_grad_()
        loss = ranking(logits, labels.to(torch.int8))
        loss.backward()
        assert loss.item() == 0
        assert logits.grad is not None and logits.grad.abs().sum() == 0


def test_one_label_an_image_is_its_class_against_the_rest():
    """With more outputs than classes the others are of no image, as in cross-entropy."""
    one = torch.tensor([0, 1, 0, 2])
    several = torch.full((4, 3), -1, dtype=torch.int8)
    several[torch.arange(4), one] = 1
    wider = torch.cat([LOGITS, LOGITS[:, :1]], dim=1)

    for loss in (binary, hinge, ranking):
        assert torch.equal(loss(LOGITS, one), loss(LOGITS, several))
        assert torch.equal(loss(wider, one), loss(wider, several))
    extra = (1 + LOGITS[:, 0]).clamp(min=0).mean()
    assert hinge(wider, one).item() == pytest.approx((3 * hinge(LOGITS, one) + extra).item() / 4)


def test_the_gradient_of_a_binary_loss_is_p_minus_y_over_images_and_classes():
    logits = torch.zeros(2, 2, requires_grad=True)
    LOSSES["binary"](logits, torch.tensor([0, 1])).backward()

    assert logits.grad is not None
    assert logits.grad.tolist() == [[-0.125, 0.125], [0.125, -0.125]]
