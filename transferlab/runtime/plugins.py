"""A user's own model or data set, named in a config as `package.module:function`."""

import importlib
from collections.abc import Callable, Iterable
from typing import Any

from transferlab.errors import UserError


def function(key: str, name: str, *, known: Iterable[str]) -> Callable[..., Any]:
    """The function that `name`, the value of `key`, says; `known` are the names of our own.

    Raises: UserError if it has not that form or cannot be imported.
    """
    module, colon, attribute = name.partition(":")
    if not colon:
        raise UserError(
            f"{key}={name} is not there: choose one of {' '.join(known)}, "
            "or name a function of yours as package.module:function"
        )
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise UserError(f"{key}={name} cannot be imported: {error}") from error
