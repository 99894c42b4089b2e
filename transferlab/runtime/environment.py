"""Environment variables: one that is empty, or white space, counts as unset everywhere."""

import os

from transferlab.errors import UserError

PREFIX = "TRANSFERLAB_"  # of ours
STORE = "TRANSFERLAB_STORE"  # the default of `runtime.store` and --store
DEBUG = "TRANSFERLAB_DEBUG"  # traces of errors that are messages
CORES = "TRANSFERLAB_CORES"  # that a process may use; set by the local launcher


def value(name: str) -> str | None:
    """The value of a variable, None if it is unset or empty."""
    text = os.environ.get(name, "")
    return text if text.strip() else None


def number(name: str) -> int | None:
    """The count that is the value of a variable. Raises: UserError for another value."""
    text = value(name)
    if text is not None and not (text.isascii() and text.isdigit()):
        raise UserError(f"{name}={text} in the environment must be an integer of at least 0")
    return None if text is None else int(text)


def drop_empty() -> None:
    """Unset those of ours that are empty, for what reads the environment itself, as conf/ does."""
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        if value(name) is None:
            del os.environ[name]
