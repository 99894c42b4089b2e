"""Functions and classes that a config names as `package.module:attribute`."""

import importlib
from collections.abc import Iterable
from typing import Any

from transferlab.errors import UserError


def function(key: str, name: str, *, known: Iterable[str]) -> Any:
    """The function or class that `name`, the value of `key`, names; `known`: the short names.

    Raises: UserError if it has another form or cannot be imported.
    """
    module, colon, attribute = name.partition(":")
    if not colon:
        raise UserError(
            f"{key}={name} is unknown: choose one of {' '.join(known)}, "
            "or name your own as package.module:attribute"
        )
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise UserError(f"{key}={name} cannot be imported: {error}") from error
