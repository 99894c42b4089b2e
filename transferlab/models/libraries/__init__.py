"""Networks of torchvision and timm as ordered stages, by the name `LIBRARY:NETWORK`.

Only their graphs are taken, not their weights (see `models.pretrained`): initial values are those
of the library's own constructor. `cutting` says where the cuts are. No torch until a network is
built.
"""

import difflib
from typing import TYPE_CHECKING

from transferlab.errors import UserError
from transferlab.models import extras

if TYPE_CHECKING:
    from transferlab.models.libraries.network import Library
    from transferlab.models.stages import StagedNetwork

LIBRARIES = {
    "torchvision": "transferlab.models.libraries.torchvision",
    "timm": "transferlab.models.libraries.timm",
}
NEAREST = 3


def is_library(name: str) -> bool:
    """Whether the name is `LIBRARY:NETWORK`, with one of the libraries."""
    return name.partition(":")[0] in LIBRARIES and ":" in name


def names(library: str) -> list[str]:
    """The networks of a library, as `LIBRARY:NETWORK`. Raises: UserError if it is not installed."""
    return [f"{library}:{name}" for name in _library(f"{library}:").names]


def build(name: str, *, num_outputs: int, image_size: int) -> "StagedNetwork":
    """The network `LIBRARY:NETWORK`, from images (B, 3, P, P) to logits (B, num_outputs).

    Raises: UserError for a library that is not installed, an unknown network, an image size that it
    does not take, and a network that cannot be cut.
    """
    library_name, _, network = name.partition(":")
    library = _library(name)
    known = library.names
    if network not in known:
        nearest = difflib.get_close_matches(network, known, NEAREST) or known[:NEAREST]
        raise UserError(
            f"model.name={name} is unknown: {library_name} has "
            + " ".join(f"{library_name}:{each}" for each in nearest)
            + f" and {len(known) - len(nearest)} more"
        )
    from transferlab.models.libraries.network import staged
    from transferlab.models.libraries.tracing import Unfit, Untraceable

    try:
        return staged(library, network, num_outputs, image_size)
    except Unfit as error:
        raise UserError(
            f"model.name={name} does not take images of {image_size} pixels: {error}"
        ) from error
    except Untraceable as error:
        raise UserError(f"model.name={name} cannot be cut: {error}") from error


def _library(network: str) -> "Library":
    name = network.partition(":")[0]
    library: Library = extras.imported(LIBRARIES[name], name, network=network).LIBRARY
    return library
