"""The network of Yosinski et al. 2014: Caffe's reference AlexNet, 60,965,224 parameters.

Pooling comes before normalisation, unlike in Krizhevsky et al. 2012, and LRN has k = 1.
Source: yosinski/convnet_transfer, half0A/train_val.prototxt, for every number below.
Shapes: B batch, K outputs; input (B, 3, 227, 227), grey levels minus their mean.
"""

from torch import nn

from transferlab.models.dropout import Dropout
from transferlab.models.initial import gaussian
from transferlab.models.normalisation import LocalResponseNorm
from transferlab.models.stages import Stage, StagedNetwork


def build(*, num_outputs: int, image_size: int) -> StagedNetwork:
    """The eight stages conv1..fc8 for `num_outputs` classes, weights not yet drawn."""
    return StagedNetwork(
        {
            "conv1": Stage(
                {
                    "conv": nn.Conv2d(3, 96, 11, stride=4),  # (B, 96, 55, 55)
                    "relu": nn.ReLU(),
                    "pool": _pool(),  # (B, 96, 27, 27)
                    "norm": _norm(),
                },
                gaussian(0.01, bias=0.0),
            ),
            "conv2": Stage(
                {
                    "conv": nn.Conv2d(96, 256, 5, padding=2, groups=2),  # (B, 256, 27, 27)
                    "relu": nn.ReLU(),
                    "pool": _pool(),  # (B, 256, 13, 13)
                    "norm": _norm(),
                },
                gaussian(0.01, bias=1.0),
            ),
            "conv3": Stage(
                {
                    "conv": nn.Conv2d(256, 384, 3, padding=1),  # (B, 384, 13, 13)
                    "relu": nn.ReLU(),
                },
                gaussian(0.01, bias=0.0),
            ),
            "conv4": Stage(
                {
                    "conv": nn.Conv2d(384, 384, 3, padding=1, groups=2),  # (B, 384, 13, 13)
                    "relu": nn.ReLU(),
                },
                gaussian(0.01, bias=1.0),
            ),
            "conv5": Stage(
                {
                    "conv": nn.Conv2d(384, 256, 3, padding=1, groups=2),  # (B, 256, 13, 13)
                    "relu": nn.ReLU(),
                    "pool": _pool(),  # (B, 256, 6, 6)
                },
                gaussian(0.01, bias=1.0),
            ),
            "fc6": Stage(
                {
                    "flatten": nn.Flatten(),  # (B, 9216), channel, row, column
                    "fc": nn.Linear(256 * 6 * 6, 4096),
                    "relu": nn.ReLU(),
                },
                gaussian(0.005, bias=1.0),
            ),
            "fc7": Stage(
                {"dropout": Dropout(0.5), "fc": nn.Linear(4096, 4096), "relu": nn.ReLU()},
                gaussian(0.005, bias=1.0),
            ),
            "fc8": Stage(
                {"dropout": Dropout(0.5), "fc": nn.Linear(4096, num_outputs)},  # (B, K)
                gaussian(0.01, bias=0.0),
            ),
        }
    )


def _pool() -> nn.Module:
    return nn.MaxPool2d(3, stride=2, ceil_mode=True)  # Caffe rounds up; no difference at 227


def _norm() -> nn.Module:
    return LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1.0)  # alpha is divided by the size
