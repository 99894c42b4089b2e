"""Architectures as ordered named stages, one file each.

To add one: a file with a function `build(*, num_outputs, image_size) -> StagedNetwork`, a line in
`BUILDERS`, and conf/model/NAME.yaml. A user's own is named as `package.module:function`.
"""

from transferlab import own
from transferlab.errors import UserError
from transferlab.models import alexnet, alexnet_small
from transferlab.models.stages import StagedNetwork

BUILDERS = {"alexnet": alexnet.build, "alexnet_small": alexnet_small.build}


def build(name: str, *, num_outputs: int, image_size: int) -> StagedNetwork:
    """The network `name`; its weights are memory as it was found until `initialise` is called.

    Raises: UserError for an unknown name or an image size that the network does not take.
    """
    builder = BUILDERS.get(name) or own.function("model.name", name, known=BUILDERS)
    network = builder(num_outputs=num_outputs, image_size=image_size)
    if not isinstance(network, StagedNetwork):
        raise UserError(f"model.name={name} returned {type(network).__name__}, no StagedNetwork")
    return network
