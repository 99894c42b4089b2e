"""Network in Network: `nin` for ImageNet, 7,595,176 parameters with 1,000 outputs; `nin_cifar`,
966,986 with 10; and a small one.

An mlpconv is a convolution and one or two of 1 x 1 kernels (cccp: cascaded cross-channel parametric
pooling), each with a ReLU. The classifier is one more of them, with its ReLU, and the average of
each map: no layer is fully connected, so that images of other sizes need no other weights.
Source: Lin, Chen, Yan 2013, arXiv:1312.4400; the ImageNet network with its initial values from the
authors' Caffe model (gist d802a5849de39225bcc6, train_val.prototxt), the CIFAR network with its
own from mavenlin/cuda-convnet, NIN/cifar-10_def, and its average pool from the authors' Caffe model
(gist e56253735ef32c3c296d). Pools round up.
Shapes: B batch, K outputs, P pixels a side; input (B, 3, P, P).
"""

from collections.abc import Mapping

from torch import nn

from transferlab.models.initial import Initial, gaussian, he
from transferlab.models.stages import Group, Stage, StagedNetwork
from transferlab.models.zoo.layers import DROPOUT, convolution
from transferlab.models.zoo.reduction import Reduction, reduce

NARROW, WIDE = gaussian(0.01), gaussian(0.05)  # the two of the releases


def build(*, num_outputs: int, image_size: int) -> StagedNetwork:
    """The stages mlpconv1..mlpconv4 and classifier; 224 pixels in the release, grey levels."""
    return StagedNetwork(
        {
            "mlpconv1": _mlpconv(
                {
                    "conv1": nn.Conv2d(3, 96, 11, stride=4),
                    "cccp1": nn.Conv2d(96, 96, 1),
                    "cccp2": nn.Conv2d(96, 96, 1),
                },
                (NARROW, WIDE, WIDE),
                pool=_max_pool(),
            ),
            "mlpconv2": _mlpconv(
                {
                    "conv2": nn.Conv2d(96, 256, 5, padding=2),
                    "cccp3": nn.Conv2d(256, 256, 1),
                    "cccp4": nn.Conv2d(256, 256, 1),
                },
                (WIDE, WIDE, WIDE),
                pool=_max_pool(),
            ),
            "mlpconv3": _mlpconv(
                {
                    "conv3": nn.Conv2d(256, 384, 3, padding=1),
                    "cccp5": nn.Conv2d(384, 384, 1),
                    "cccp6": nn.Conv2d(384, 384, 1),
                },
                (NARROW, WIDE, WIDE),
                pool=_max_pool(),
            ),
            "mlpconv4": _mlpconv(
                {
                    "conv4-1024": nn.Conv2d(384, 1024, 3, padding=1),
                    "cccp7-1024": nn.Conv2d(1024, 1024, 1),
                },
                (WIDE, WIDE),
                dropout=DROPOUT,
            ),
            "classifier": _classifier(1024, num_outputs, NARROW),
        }
    )


def cifar(*, num_outputs: int, image_size: int) -> StagedNetwork:
    """The stages mlpconv1..mlpconv3 and classifier; 32 pixels in the paper, unit variance."""
    rules = (WIDE, WIDE, WIDE)
    return StagedNetwork(
        {
            "mlpconv1": _mlpconv(
                {
                    "conv1": nn.Conv2d(3, 192, 5, padding=2),
                    "cccp1": nn.Conv2d(192, 160, 1),
                    "cccp2": nn.Conv2d(160, 96, 1),
                },
                rules,
                pool=_max_pool(),
            ),
            "mlpconv2": _mlpconv(
                {
                    "conv2": nn.Conv2d(96, 192, 5, padding=2),
                    "cccp3": nn.Conv2d(192, 192, 1),
                    "cccp4": nn.Conv2d(192, 192, 1),
                },
                rules,
                dropout=DROPOUT,
                pool=nn.AvgPool2d(3, stride=2, ceil_mode=True),
            ),
            "mlpconv3": _mlpconv(
                {"conv3": nn.Conv2d(192, 192, 3, padding=1), "cccp5": nn.Conv2d(192, 192, 1)},
                rules[:2],
                dropout=DROPOUT,
            ),
            "classifier": _classifier(192, num_outputs, WIDE),
        }
    )


def small(
    *, num_outputs: int, image_size: int, reduction: Reduction | None = None
) -> StagedNetwork:
    """The stages of `cifar` for images of 16 to 96 pixels, narrower; not from the paper.

    18 million multiply-accumulates at 32 pixels. 3 x 3 kernels in conv2, initial values by He et
    al. 2015, no dropout, and no ReLU in the classifier: it leaves all logits at 0 for good where
    the rate is high. A `reduction` stands for conv2 and conv3, and for the pooling before them.
    """
    rules = (he(), he(), he())
    pooled = reduction is None
    return StagedNetwork(
        {
            "mlpconv1": _mlpconv(
                {
                    "conv1": nn.Conv2d(3, 48, 5, padding=2),
                    "cccp1": nn.Conv2d(48, 32, 1),
                    "cccp2": nn.Conv2d(32, 32, 1),
                },
                rules,
                pool=_max_pool() if pooled else None,
            ),
            "mlpconv2": _mlpconv(
                {
                    "conv2": reduce(reduction, 32, 64, bias=True),
                    "cccp3": nn.Conv2d(64, 64, 1),
                    "cccp4": nn.Conv2d(64, 64, 1),
                },
                rules,
                pool=_max_pool() if pooled else None,
            ),
            "mlpconv3": _mlpconv(
                {"conv3": reduce(reduction, 64, 96, bias=True), "cccp5": nn.Conv2d(96, 96, 1)},
                rules[:2],
            ),
            "classifier": _classifier(96, num_outputs, he(), relu=False),
        }
    )


def _mlpconv(
    convolutions: Mapping[str, nn.Module],
    rules: tuple[Initial, ...],
    *,
    dropout: float = 0.0,
    pool: nn.Module | None = None,
) -> Group:
    """Dropout before the first convolution, the pool after the last."""
    stages, last = {}, len(convolutions) - 1
    for place, (name, conv) in enumerate(convolutions.items()):
        after = {"pool": pool} if pool is not None and place == last else {}
        before = 0.0 if place else dropout
        stages[name] = convolution(conv, rules[place], dropout=before, **after)
    return Group(stages)


def _classifier(channels: int, num_outputs: int, initial: Initial, *, relu: bool = True) -> Stage:
    layers: dict[str, nn.Module] = {"conv": nn.Conv2d(channels, num_outputs, 1)}
    if relu:
        layers["relu"] = nn.ReLU()
    layers["pool"] = nn.AdaptiveAvgPool2d(1)  # (B, K, 1, 1): the mean of each map
    layers["flatten"] = nn.Flatten()  # (B, K)
    return Stage(layers, initial)


def _max_pool() -> nn.Module:
    return nn.MaxPool2d(3, stride=2, ceil_mode=True)
