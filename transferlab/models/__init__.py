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

    Raises: UserError for an unknown name, an image size that the network cannot take, and a network
        of one's own that does not compute those logits.
    """
    from transferlab.models.stages import StagedNetwork

    builder = plugins.function("model.name", NETWORKS.get(name, name), known=NETWORKS)
    with plugins.guarded("model.name", name, known=NETWORKS):
        network = builder(num_outputs=num_outputs, image_size=image_size)
    network = plugins.require(StagedNetwork, network, "model.name", name)
    if name not in NETWORKS:
        _check_own(name, network, num_outputs=num_outputs, image_size=image_size)
    return network


def _check_own(name: str, network: "StagedNetwork", *, num_outputs: int, image_size: int) -> None:
    """Raises: UserError unless its stages compute logits (1, num_outputs) of an image."""
    import torch

    from transferlab.models.stages import Stage

    if not len(network) or not all(isinstance(stage, Stage) for stage in network):
        raise UserError(f"model.name={name} returned a network of something else than stages")
    with plugins.guarded("model.name", name, known=NETWORKS), torch.no_grad():
        shape = tuple(network.eval()(torch.zeros(1, 3, image_size, image_size)).shape)
        network.train()
    if shape != (1, num_outputs):
        raise UserError(
            f"model.name={name} has outputs of shape {shape} for an image of {image_size} pixels: "
            f"need (1, {num_outputs})"
        )
