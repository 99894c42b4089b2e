"""Functions and classes of a user's own, which a config names as `package.module:attribute`.

Whatever they raise ends the command with a message that names them, and what they print goes to
stderr: stdout is for results.
"""

import contextlib
import importlib
import sys
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from transferlab.errors import RunFailed, UserError


def is_own(name: str) -> bool:
    """Whether the name is that of a user's own function or class, which has to be imported."""
    return ":" in name


def function(key: str, name: str, *, known: Iterable[str]) -> Any:
    """The function or class that `name`, the value of `key`, names; `known`: the short names.

    Raises: UserError if it has another form, cannot be imported, or cannot be called.
    """
    module, colon, attribute = name.partition(":")
    if not colon:
        raise UserError(
            f"{key}={name} is unknown: choose one of {' '.join(known)}, "
            "or name your own as package.module:attribute"
        )
    try:
        with contextlib.redirect_stdout(sys.stderr):
            return getattr(importlib.import_module(module), attribute)
    except (Exception, SystemExit) as error:
        raise UserError(f"{key}={name} cannot be imported: {_described(error)}") from error


@contextlib.contextmanager
def guarded(key: str, name: str, *, known: Collection[str]) -> Iterator[None]:
    """Around calls of what `name`, the value of `key`, names, unless it is one of ours, `known`.

    Raises: UserError for every error of it but Ctrl-C, and but those that are messages already.
    """
    if name in known:
        yield
        return
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    except (UserError, RunFailed):
        raise
    except (Exception, SystemExit) as error:
        raise UserError(f"{key}={name} raised {_described(error)}") from error


def require(kind: type, value: object, key: str, name: str) -> Any:
    """What a plug-in returned. Raises: UserError if it is of another type than `kind`."""
    if not isinstance(value, kind):
        raise UserError(
            f"{key}={name} returned {type(value).__name__}: it must return {kind.__name__}"
        )
    return value


def _described(error: BaseException) -> str:
    """`ZeroDivisionError: division by zero`."""
    message = " ".join(str(error).split())
    return f"{type(error).__name__}: {message}" if message else type(error).__name__
