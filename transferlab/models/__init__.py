"""Networks as ordered named stages: built by name, cut, grafted and frozen.

May import: errors, runtime. `facts` is free of torch, and so is this file until it builds.

To add a network: a file in `zoo/` with a function `build(*, num_outputs, image_size) ->
StagedNetwork`, a line in `NETWORKS`, and conf/model/NAME.yaml. A user's own is named as
`package.module:function`.
"""

from typing import TYPE_CHECKING

from transferlab.errors import UserError
from transferlab.runtime import plugins

if TYPE_CHECKING:
    from transferlab.models.stages import StagedNetwork

NETWORKS = {
    "alexnet": "transferlab.models.zoo.alexnet:build",
    "alexnet_small": "transferlab.models.zoo.alexnet_small:build",
}


def build(name: str, *, num_outputs: int, image_size: int) -> "StagedNetwork":
    """The network `name`, its weights uninitialised memory until `initialise` is called.

    Raises: UserError for an unknown name or an image size that the network does not take.
    """
    from transferlab.models.stages import StagedNetwork

    builder = plugins.function("model.name", NETWORKS.get(name, name), known=NETWORKS)
    network = builder(num_outputs=num_outputs, image_size=image_size)
    if not isinstance(network, StagedNetwork):
        raise UserError(f"model.name={name} returned {type(network).__name__}, no StagedNetwork")
    return network
