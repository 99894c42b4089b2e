"""Networks as ordered named stages: built by name, cut, grafted and frozen.

May import: errors, runtime. `facts` and `zoo/__init__` are free of torch, and so is this file until
it builds.
"""

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from transferlab.errors import UserError
from transferlab.models import libraries
from transferlab.models.facts import check_image_size
from transferlab.models.zoo import NETWORKS
from transferlab.runtime import plugins

if TYPE_CHECKING:
    from transferlab.models.stages import Cuts, StagedNetwork


def build(
    name: str,
    *,
    num_outputs: int,
    image_size: int,
    cuts: "Cuts" = "stage",
    reduction: str | None = None,
) -> "StagedNetwork":
    """The network `name`, from images (B, 3, image_size, image_size) to logits (B, num_outputs).

    Its weights are undefined until `initialise` is called or a `state_dict` is loaded. `name` is a
    key of `NETWORKS`, a network of a library as `timm:convnext_tiny` (see `libraries`), or a
    builder of one's own as `package.module:function`. `reduction` is how a network that has the
    choice halves its feature maps: see `zoo.reduction`.

    Raises: UserError for an unknown name, an image size or a reduction that the network cannot
        take, a network of a library that cannot be cut, and one of one's own that does not compute
        those logits.
    """
    from transferlab.models.stages import StagedNetwork

    _check_size(name, image_size)
    entry = NETWORKS.get(name)
    builder: Callable[..., Any]
    if libraries.is_library(name):
        builder = functools.partial(libraries.build, name)
    else:
        builder = plugins.function("model.name", entry.function if entry else name, known=NETWORKS)
    options: dict[str, Any] = dict(entry.options) if entry else {}
    if reduction is not None:
        if "reduction" not in inspect.signature(builder).parameters:
            raise UserError(f"model.reduction={reduction} has no effect on {name}: set it to null")
        options["reduction"] = reduction
    with plugins.guarded("model.name", name, known=NETWORKS):
        network = builder(num_outputs=num_outputs, image_size=image_size, **options)
    network = plugins.require(StagedNetwork, network, "model.name", name)
    if is_own(name):
        _check_own(name, network, num_outputs=num_outputs, image_size=image_size)
    network.cuts = cuts
    return network


def is_own(name: str) -> bool:
    """Whether the network is code of a user's own, which has to be imported."""
    return plugins.is_own(name) and not libraries.is_library(name)


def _check_size(name: str, image_size: int) -> None:
    """Raises: UserError for images that the network refuses; it names the stage in which nothing is
    left of smaller ones."""
    import torch

    from transferlab.models import vanishing

    try:
        check_image_size(name, image_size)
    except UserError as error:
        least, _ = NETWORKS[name].images
        if image_size > least:
            raise
        with torch.device("meta"):
            place = vanishing.where(build(name, num_outputs=2, image_size=least), image_size)
        raise UserError(f"{error}: {place}" if place else str(error)) from error


def _check_own(name: str, network: "StagedNetwork", *, num_outputs: int, image_size: int) -> None:
    """Raises: UserError unless its stages compute logits (1, num_outputs) of an image."""
    import torch

    from transferlab.models import vanishing
    from transferlab.models.stages import Group, Stage

    if not len(network) or not all(isinstance(stage, Stage | Group) for stage in network):
        raise UserError(f"model.name={name} returned a network of something else than stages")
    images = torch.zeros(1, 3, image_size, image_size)
    guarded = plugins.guarded("model.name", name, known=NETWORKS)
    with guarded, torch.no_grad(), vanishing.explained(network, image_size):
        shape = tuple(network.eval()(images).shape)
        network.train()
    if shape != (1, num_outputs):
        raise UserError(
            f"model.name={name} has outputs of shape {shape} for an image of {image_size} pixels: "
            f"need (1, {num_outputs})"
        )
