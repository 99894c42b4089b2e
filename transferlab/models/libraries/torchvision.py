"""torchvision: its classification networks."""

import torchvision
from torch import nn
from torchvision.models import list_models
from torchvision.ops import StochasticDepth as TorchvisionStochasticDepth

from transferlab.models.dropout import StochasticDepth
from transferlab.models.libraries import structure
from transferlab.models.libraries.network import Library

AUXILIARY = "googlenet", "inception_v3"  # with classifiers whose losses are the trainer's


def _construct(name: str, num_outputs: int, image_size: int) -> nn.Module:
    options: dict[str, int] = {}
    if name in AUXILIARY:
        options = {"aux_logits": False, "init_weights": True}
    if name.startswith("vit_"):
        options = {"image_size": image_size}
    return torchvision.models.get_model(name, weights=None, num_classes=num_outputs, **options)


LIBRARY = Library(
    names=list_models(module=torchvision.models),
    construct=_construct,
    groups=structure.groups,
    replacements={
        TorchvisionStochasticDepth: lambda module: StochasticDepth(
            module.p, by=module.mode, rescaled=True
        )
    },
)
