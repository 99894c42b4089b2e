"""Inception-v4: 42,679,816 parameters, 46,039,280 with its auxiliary classifier. Needs timm.

Of timm's modules. Source: Szegedy et al. 2016, arXiv:1602.07261, Figs. 3 to 9; for initial values,
the auxiliary classifier and dropout Google's slim (tensorflow/models, slim/nets/inception_v4.py,
inception_utils.py), for the weight of the auxiliary loss slim/train_image_classifier.py.
Differs: running statistics have torch's momentum of 0.1 (slim: 0.0003), which shorter trainings
need.
Shapes: B batch, K outputs; input (B, 3, 299, 299), of about unit variance.
"""

from torch import nn

from transferlab.models import extras
from transferlab.models.dropout import Dropout
from transferlab.models.initial import by_kind, glorot, truncated_he
from transferlab.models.stages import Auxiliary, Stage, StagedNetwork
from transferlab.models.zoo.inception_v3 import auxiliary_head, tap_side

NAMES = (
    "Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "Mixed_3a", "Mixed_4a", "Mixed_5a",
    "Mixed_5b", "Mixed_5c", "Mixed_5d", "Mixed_5e", "Mixed_6a", "Mixed_6b", "Mixed_6c", "Mixed_6d",
    "Mixed_6e", "Mixed_6f", "Mixed_6g", "Mixed_6h", "Mixed_7a", "Mixed_7b", "Mixed_7c", "Mixed_7d",
)  # fmt: skip
DROPOUT = 0.2
AUXILIARY_WEIGHT = 0.4
INITIAL = by_kind({nn.Conv2d: truncated_he(), nn.Linear: glorot()})


def build(*, num_outputs: int, image_size: int) -> StagedNetwork:
    """The 23 stages Conv2d_1a_3x3..logits, with an auxiliary classifier on Mixed_6h.

    Raises: UserError without timm.
    """
    timm = extras.imported("timm.models", "timm", network="inception_v4")
    library = timm.InceptionV4(num_classes=num_outputs)
    stages = {
        name: Stage({"conv" if name.startswith("Conv2d") else "mixed": module}, INITIAL)
        for name, module in zip(NAMES, library.features, strict=True)
    }
    stages["logits"] = classifier(library.last_linear)
    head = auxiliary_head(1024, tap_side(image_size), num_outputs, INITIAL)
    return StagedNetwork(
        stages, auxiliary={"AuxLogits": Auxiliary(head, "Mixed_6h", AUXILIARY_WEIGHT)}
    )


def classifier(linear: nn.Module) -> Stage:
    """The last stage of Inception-v4 and Inception-ResNet-v2, around its layer."""
    return Stage(
        {
            "avgpool": nn.AdaptiveAvgPool2d(1),  # over the whole map: 8x8 at 299
            "flatten": nn.Flatten(),
            "dropout": Dropout(DROPOUT),
            "fc": linear,  # (B, K)
        },
        INITIAL,
    )
