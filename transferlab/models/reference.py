"""A library's own network, as it is there: what a network of ours is compared with."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from transferlab.errors import UserError
from transferlab.models import operations
from transferlab.models.operations import Table

IMAGE_SIZE = 224  # where the library has no other
INITIALISED = {"googlenet", "inception_v3"}  # torchvision warns unless told whether to draw weights


@dataclass(frozen=True)
class Reference:
    """The operations of a library's network for images of the size that its authors test with."""

    table: Table
    image_size: int


def network(library: str, name: str, *, num_outputs: int) -> Reference:
    """The network `name` of torchvision or timm.

    Raises: UserError if the library is not installed or has no network of that name.
    """
    build = {"torchvision": _torchvision, "timm": _timm}[library]
    with torch.device("meta"):
        module, image_size = build(name, num_outputs)
    return Reference(operations.table(module, image_size), image_size)


def _torchvision(name: str, num_outputs: int) -> tuple[nn.Module, int]:
    from torchvision import models

    options: dict[str, Any] = {"init_weights": False} if name in INITIALISED else {}
    try:
        weights = models.get_model_weights(name).DEFAULT
        module = models.get_model(name, weights=None, num_classes=num_outputs, **options)
    except ValueError as error:
        raise UserError(f"torchvision has no network of the name {name}") from error
    return module, int(weights.transforms().crop_size[0])


def _timm(name: str, num_outputs: int) -> tuple[nn.Module, int]:
    try:
        import timm
    except ImportError as error:
        raise UserError(
            "--against timm needs timm: install it with pip install transferlab[timm]"
        ) from error
    if not timm.is_model(name):
        raise UserError(f"timm has no network of the name {name}")
    module = timm.create_model(name, pretrained=False, num_classes=num_outputs)
    config = timm.get_pretrained_cfg(name)
    return module, int(config.input_size[-1]) if config else IMAGE_SIZE
