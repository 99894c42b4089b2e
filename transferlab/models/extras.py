"""Libraries that are extras of the package: imported when a network needs them."""

import importlib
from typing import Any

from transferlab.errors import UserError


def imported(module: str, library: str, *, network: str) -> Any:
    """The module, which needs a library that the extra of the same name installs.

    Raises: UserError that names `network` and the extra, if the library is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != library:
            raise
        raise UserError(
            f"model.name={network} needs {library}: "
            f"install it with pip install transferlab[{library}]"
        ) from error
