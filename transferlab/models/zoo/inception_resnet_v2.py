"""Inception-ResNet-v2: 55,843,464 parameters, 59,211,120 with its auxiliary classifier. Needs timm.

The released network, whose accuracies the paper quotes, of timm's modules; the one of the paper's
figures is `inception_resnet_v2_paper`. Source: Szegedy et al. 2016, arXiv:1602.07261, and Google's
slim (tensorflow/models, slim/nets/inception_resnet_v2.py); initial values, dropout and the
auxiliary loss as in `inception_v4`.
Shapes: B batch, K outputs; input (B, 3, 299, 299), of about unit variance.
"""

from collections.abc import Iterable

from torch import nn

from transferlab.models import extras
from transferlab.models.stages import Auxiliary, Group, Stage, StagedNetwork
from transferlab.models.zoo.inception_v3 import auxiliary_head, tap_side
from transferlab.models.zoo.inception_v4 import AUXILIARY_WEIGHT, INITIAL, classifier


def build(*, num_outputs: int, image_size: int) -> StagedNetwork:
    """The 13 stages Conv2d_1a_3x3..logits, 50 with cuts=fine, which parts the blocks.

    The auxiliary classifier is on the last 17x17 block.

    Raises: UserError without timm.
    """
    timm = extras.imported("timm.models", "timm", network="inception_resnet_v2")
    library = timm.InceptionResnetV2(num_classes=num_outputs)
    stages: dict[str, Stage | Group] = {
        "Conv2d_1a_3x3": Stage({"conv": library.conv2d_1a}, INITIAL),
        "Conv2d_2a_3x3": Stage({"conv": library.conv2d_2a}, INITIAL),
        "Conv2d_2b_3x3": Stage({"conv": library.conv2d_2b, "pool": library.maxpool_3a}, INITIAL),
        "Conv2d_3b_1x1": Stage({"conv": library.conv2d_3b}, INITIAL),
        "Conv2d_4a_3x3": Stage({"conv": library.conv2d_4a, "pool": library.maxpool_5a}, INITIAL),
        "Mixed_5b": Stage({"mixed": library.mixed_5b}, INITIAL),
        "repeat_block35": blocks("block35", library.repeat),
        "Mixed_6a": Stage({"mixed": library.mixed_6a}, INITIAL),
        "repeat_block17": blocks("block17", library.repeat_1),
        "Mixed_7a": Stage({"mixed": library.mixed_7a}, INITIAL),
        "repeat_block8": blocks("block8", [*library.repeat_2, library.block8]),
        "Conv2d_7b_1x1": Stage({"conv": library.conv2d_7b}, INITIAL),
        "logits": classifier(library.classif),
    }
    head = auxiliary_head(1088, tap_side(image_size), num_outputs, INITIAL)
    return StagedNetwork(
        stages, auxiliary={"AuxLogits": Auxiliary(head, "repeat_block17", AUXILIARY_WEIGHT)}
    )


def blocks(name: str, modules: Iterable[nn.Module]) -> Group:
    """Residual blocks in order, stages NAME_1, NAME_2, ..."""
    return Group(
        {
            f"{name}_{number}": Stage({"block": module}, INITIAL)
            for number, module in enumerate(modules, start=1)
        }
    )
