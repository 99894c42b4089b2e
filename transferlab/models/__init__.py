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
    """The network `name`, from images (B, 3, image_size, image_size) to logits (B, num_outputs).

    Its weights are undefined until `initialise` is called or a `state_dict` is loaded. `name` is a
    key of `NETWORKS`, or a builder of one's own as `package.module:function`.

    Raises: UserError for an unknown name, and an image size that the network cannot take.
    """
    from transferlab.models.stages import StagedNetwork

    builder = plugins.function("model.name", NETWORKS.get(name, name), known=NETWORKS)
    network = builder(num_outputs=num_outputs, image_size=image_size)
    if not isinstance(network, StagedNetwork):
        raise UserError(
            f"model.name={name} returned {type(network).__name__}: it must return a StagedNetwork"
        )
    return network
