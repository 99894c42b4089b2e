"""Inception-ResNet-v2 as the figures of its paper draw it: 32,433,928 parameters.

Another network than the released one, `inception_resnet_v2`, to which the published accuracies
belong: the stem of Inception-v4, 5, 10 and 5 blocks, no last 1x1 convolution. Source: Szegedy et
al. 2016, arXiv:1602.07261, Figs. 3, 7 and 15 to 20, read literally, but for the labels 1154 and
2048: the branches of both reductions concatenate to 1152 and 2144 channels. The scales of the
residuals and the initial values are those of the released network.
Shapes: B batch, K outputs; input (B, 3, 299, 299), of about unit variance.
"""

from torch import Tensor, nn

from transferlab.models.stages import Auxiliary, Stage, StagedNetwork
from transferlab.models.zoo.branches import Branches, Size, convolution
from transferlab.models.zoo.inception_resnet_v2 import blocks
from transferlab.models.zoo.inception_v3 import auxiliary_head, tap_side
from transferlab.models.zoo.inception_v4 import AUXILIARY_WEIGHT, INITIAL, classifier

Step = tuple[int, Size, int, Size]  # width, kernel, stride, padding


class ScaledResidual(nn.Module):
    """x + scale * up(branches(x)), rectified. Source: Szegedy et al. 2016, Fig. 20."""

    def __init__(self, branches: Branches, mixed: int, channels: int, scale: float) -> None:
        super().__init__()
        self.branches = branches
        self.up = nn.Conv2d(mixed, channels, 1)  # linear: no batch norm, no activation
        self.scale = scale
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        rectified: Tensor = self.act(x + self.scale * self.up(self.branches(x)))
        return rectified


def build(*, num_outputs: int, image_size: int) -> StagedNetwork:
    """The twelve stages Conv2d_1a_3x3..logits, 29 with cuts=fine, which parts the blocks.

    The auxiliary classifier is on the last 17x17 block, as in the released network.
    """
    head = auxiliary_head(1152, tap_side(image_size), num_outputs, INITIAL)
    return StagedNetwork(
        {
            **_stem(),
            "repeat_block35": blocks("block35", (_block35() for _ in range(5))),
            "Mixed_6a": Stage({"mixed": _mixed_6a()}, INITIAL),
            "repeat_block17": blocks("block17", (_block17() for _ in range(10))),
            "Mixed_7a": Stage({"mixed": _mixed_7a()}, INITIAL),
            "repeat_block8": blocks("block8", (_block8() for _ in range(5))),
            "logits": classifier(nn.Linear(2144, num_outputs)),
        },
        auxiliary={"AuxLogits": Auxiliary(head, "repeat_block17", AUXILIARY_WEIGHT)},
    )


def _stem() -> dict[str, Stage]:
    """Source: Szegedy et al. 2016, Fig. 3; (B, 384, 35, 35) at 299."""
    mixed_3a = {"pool": nn.MaxPool2d(3, stride=2), "conv": _path(64, _valid(96, stride=2))}
    mixed_4a = {
        "b0": _path(160, _same(64, 1), _valid(96)),
        "b1": _path(160, _same(64, 1), _same(64, (7, 1)), _same(64, (1, 7)), _valid(96)),
    }
    mixed_5a = {"conv": _path(192, _valid(192, stride=2)), "pool": nn.MaxPool2d(3, stride=2)}
    return {
        "Conv2d_1a_3x3": Stage({"conv": _path(3, _valid(32, stride=2))}, INITIAL),
        "Conv2d_2a_3x3": Stage({"conv": _path(32, _valid(32))}, INITIAL),
        "Conv2d_2b_3x3": Stage({"conv": _path(32, _same(64, 3))}, INITIAL),
        "Mixed_3a": Stage({"mixed": Branches(mixed_3a)}, INITIAL),
        "Mixed_4a": Stage({"mixed": Branches(mixed_4a)}, INITIAL),
        "Mixed_5a": Stage({"mixed": Branches(mixed_5a)}, INITIAL),
    }


def _block35() -> ScaledResidual:
    """Source: Szegedy et al. 2016, Fig. 16."""
    branches = {
        "b0": _path(384, _same(32, 1)),
        "b1": _path(384, _same(32, 1), _same(32, 3)),
        "b2": _path(384, _same(32, 1), _same(48, 3), _same(64, 3)),
    }
    return ScaledResidual(Branches(branches), mixed=128, channels=384, scale=0.17)


def _mixed_6a() -> Branches:
    """Source: Szegedy et al. 2016, Fig. 7 with the widths of Table 1."""
    return Branches(
        {
            "b0": _path(384, _valid(384, stride=2)),
            "b1": _path(384, _same(256, 1), _same(256, 3), _valid(384, stride=2)),
            "pool": nn.MaxPool2d(3, stride=2),
        }
    )


def _block17() -> ScaledResidual:
    """Source: Szegedy et al. 2016, Fig. 17."""
    branches = {
        "b0": _path(1152, _same(192, 1)),
        "b1": _path(1152, _same(128, 1), _same(160, (1, 7)), _same(192, (7, 1))),
    }
    return ScaledResidual(Branches(branches), mixed=384, channels=1152, scale=0.1)


def _mixed_7a() -> Branches:
    """Source: Szegedy et al. 2016, Fig. 18."""
    return Branches(
        {
            "b0": _path(1152, _same(256, 1), _valid(384, stride=2)),
            "b1": _path(1152, _same(256, 1), _valid(288, stride=2)),
            "b2": _path(1152, _same(256, 1), _same(288, 3), _valid(320, stride=2)),
            "pool": nn.MaxPool2d(3, stride=2),
        }
    )


def _block8() -> ScaledResidual:
    """Source: Szegedy et al. 2016, Fig. 19."""
    branches = {
        "b0": _path(2144, _same(192, 1)),
        "b1": _path(2144, _same(192, 1), _same(224, (1, 3)), _same(256, (3, 1))),
    }
    return ScaledResidual(Branches(branches), mixed=448, channels=2144, scale=0.2)


def _path(channels: int, *steps: Step) -> nn.Sequential:
    """Convolutions with batch norm, one after the other."""
    layers = []
    for width, kernel, stride, padding in steps:
        layers.append(convolution(channels, width, kernel, stride=stride, padding=padding))
        channels = width
    return nn.Sequential(*layers)


def _same(width: int, kernel: Size) -> Step:
    """A step that keeps the size of the maps."""
    padding = kernel // 2 if isinstance(kernel, int) else (kernel[0] // 2, kernel[1] // 2)
    return width, kernel, 1, padding


def _valid(width: int, *, stride: int = 1) -> Step:
    """A 3x3 step without padding."""
    return width, 3, stride, 0
