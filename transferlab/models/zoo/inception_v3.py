"""Inception-v3: 23,834,568 parameters, 27,161,264 with its auxiliary classifier.

The released network, of torchvision's modules; Table 1 of the paper has another stem and other
modules at 35x35. Source: Szegedy et al. 2015, arXiv:1512.00567; for initial values, dropout and the
weight of the auxiliary loss the authors' training code, tensorflow/models, inception/inception/
(inception_model.py, slim/inception_model.py, slim/ops.py).
Differs: the average pooling inside of modules counts the padding, as torchvision's does; running
statistics have torch's momentum of 0.1 (theirs: 0.0003), which shorter trainings need.
Shapes: B batch, C channels, K outputs; input (B, 3, 299, 299), of about unit variance.
"""

from torch import nn
from torchvision.models import inception

from transferlab.models.dropout import Dropout
from transferlab.models.initial import Initial, by_kind, truncated
from transferlab.models.stages import Auxiliary, Stage, StagedNetwork
from transferlab.models.zoo.branches import EPSILON, chain, convolution

CONVOLUTIONS = ("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "Conv2d_3b_1x1", "Conv2d_4a_3x3")
POOLED = {"Conv2d_2b_3x3": "maxpool1", "Conv2d_4a_3x3": "maxpool2"}
MODULES = (
    "Mixed_5b", "Mixed_5c", "Mixed_5d", "Mixed_6a", "Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e",
    "Mixed_7a", "Mixed_7b", "Mixed_7c",
)  # fmt: skip
DROPOUT = 0.2  # torchvision's is 0.5
AUXILIARY_WEIGHT = 0.4


class WholeMap(nn.Conv2d):
    """The convolution over the whole map of an auxiliary classifier: its fully connected layer."""


def build(*, num_outputs: int, image_size: int) -> StagedNetwork:
    """The seventeen stages Conv2d_1a_3x3..fc, with an auxiliary classifier on Mixed_6e."""
    library = inception.Inception3(num_classes=num_outputs, aux_logits=False, init_weights=False)
    initial = by_kind({nn.Conv2d: truncated(0.1), nn.Linear: truncated(0.01)})
    stages = {}
    for name in CONVOLUTIONS:
        unit = library.get_submodule(name)
        pool = {"pool": library.get_submodule(POOLED[name])} if name in POOLED else {}
        stages[name] = Stage(
            {"conv": unit.conv, "bn": unit.bn, "relu": nn.ReLU(), **pool},  # type: ignore[dict-item]
            initial,
        )
    for name in MODULES:
        stages[name] = Stage({"mixed": library.get_submodule(name)}, initial)
    stages["fc"] = Stage(
        {
            "avgpool": library.avgpool,
            "flatten": nn.Flatten(),
            "dropout": Dropout(DROPOUT),
            "fc": library.fc,  # (B, K)
        },
        initial,
    )
    head = auxiliary_head(
        768,
        tap_side(image_size),
        num_outputs,
        by_kind(
            {WholeMap: truncated(0.01), nn.Conv2d: truncated(0.1), nn.Linear: truncated(0.001)}
        ),
    )
    return StagedNetwork(
        stages, auxiliary={"AuxLogits": Auxiliary(head, "Mixed_6e", AUXILIARY_WEIGHT)}
    )


def tap_side(image_size: int) -> int:
    """The side of the maps that the auxiliary classifier of Inception-v3 and -v4 takes."""
    side = _reduced(_reduced(image_size) - 2)
    return _reduced(_reduced(side - 2))  # 17 at 299


def auxiliary_head(channels: int, side: int, num_outputs: int, initial: Initial) -> Stage:
    """From maps (B, channels, side, side) to logits; torchvision's layers, by its names.

    Where a map is smaller than a window the window is the map, as in tensorflow/models,
    slim/nets/inception_v3.py.
    """
    window = min(5, side)
    pooled = (side - window) // 3 + 1
    whole = min(5, pooled)
    connected = {
        "conv": WholeMap(128, 768, whole, bias=False),
        "bn": nn.BatchNorm2d(768, eps=EPSILON),
        "act": nn.ReLU(),
    }
    return Stage(
        {
            "pool": nn.AvgPool2d(window, stride=3),  # (B, C, 5, 5) at 299
            "conv0": convolution(channels, 128),  # (B, 128, 5, 5)
            "conv1": chain(connected),  # (B, 768, 1, 1)
            "avgpool": nn.AdaptiveAvgPool2d(1),  # beyond 299
            "flatten": nn.Flatten(),
            "fc": nn.Linear(768, num_outputs),
        },
        initial,
    )


def _reduced(side: int) -> int:
    """After a window of 3 with stride 2 and no padding."""
    return (side - 1) // 2
