"""Images that are too small for a network: in which stage nothing is left of the map."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from transferlab.errors import UserError
from transferlab.models import operations
from transferlab.models.recording import MapVanished


def where(network: nn.Module, image_size: int) -> str | None:
    """The operation whose window does not fit into its map, and both sizes; None if all fit.

    The network is unchanged.
    """
    try:
        operations.table(copy.deepcopy(network), image_size)
    except MapVanished as error:
        return str(error)
    except RuntimeError:  # something else does not fit, a fully connected layer for instance
        return None
    return None


@contextmanager
def explained(network: nn.Module, image_size: int) -> Iterator[None]:
    """Around forward passes of images of `image_size` pixels a side.

    Raises: UserError that names the stage in which the map vanishes, in place of torch's error.
    """
    try:
        yield
    except RuntimeError as error:
        place = where(network, image_size)
        if place is None:
            raise
        raise UserError(f"data.crop={image_size} is too small: {place}") from error
