"""Architectures as ordered named stages, one file each.

To add one: a file with a function `build(*, num_outputs, image_size) -> StagedNetwork`, a line in
`BUILDERS`, and conf/model/NAME.yaml. A user's own is named as `package.module:function`.
"""

import importlib

from transferlab.errors import UserError
from transferlab.models import alexnet, alexnet_small
from transferlab.models.stages import StagedNetwork

BUILDERS = {"alexnet": alexnet.build, "alexnet_small": alexnet_small.build}


def build(name: str, *, num_outputs: int, image_size: int) -> StagedNetwork:
    """The network `name`; its weights are memory as it was found until `initialise` is called.

    Raises: UserError for an unknown name or an image size that the network does not take.
    """
    builder = BUILDERS[name] if name in BUILDERS else _own(name)
    network = builder(num_outputs=num_outputs, image_size=image_size)
    if not isinstance(network, StagedNetwork):
        raise UserError(f"model.name={name} returned {type(network).__name__}, no StagedNetwork")
    return network


def _own(name: str):  # type: ignore[no-untyped-def]
    module, colon, function = name.partition(":")
    if not colon:
        raise UserError(
            f"model.name={name} is not a model: choose one of {' '.join(BUILDERS)}, "
            "or name a function of yours as package.module:function"
        )
    try:
        return getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise UserError(f"model.name={name} cannot be imported: {error}") from error
