"""Frozen dataclasses from plain dicts, strictly: every key there, none unknown, each of its type.

The errors name the full key and say what would do. Knows nothing of what the fields mean.
"""

import dataclasses
import math
import types
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from transferlab.errors import UserError

T = TypeVar("T")


def build(kind: type[T], raw: object, *, unknown: Callable[[str], str], prefix: str = "") -> T:
    """An instance of `kind` from a nested dict with exactly its fields.

    `unknown` gives the message for a key, under its full name, that `kind` does not have.

    Raises: UserError for a key that is unknown, missing or of the wrong type.
    """
    if not isinstance(raw, Mapping):
        shown = "null" if raw is None else raw
        raise UserError(f"{prefix.rstrip('.')}={shown} is not a group of keys")
    hints = get_type_hints(kind)
    for name in raw:
        if name not in hints:
            raise UserError(unknown(f"{prefix}{name}"))
    missing = [f"{prefix}{name}" for name in hints if name not in raw]
    if missing:
        raise UserError(f"{missing[0]} is missing")
    values = {
        name: build(hint, raw[name], unknown=unknown, prefix=f"{prefix}{name}.")
        if isinstance(hint, type) and dataclasses.is_dataclass(hint)
        else _value(hint, raw[name], f"{prefix}{name}")
        for name, hint in hints.items()
    }
    return kind(**values)


def _value(hint: Any, value: object, key: str) -> object:
    """`value` if it has the type `hint`; a whole number passes as a float."""
    options = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    for option in options:
        if option is types.NoneType:
            if value is None:
                return None
        elif get_origin(option) is Literal:
            if value in get_args(option):
                return value
        elif option is float and type(value) in (int, float):
            number = _finite(value)  # type: ignore[arg-type]
            if number is not None:
                return number
        elif type(value) is option:
            return value
    shown = "null" if value is None else value
    raise UserError(f"{key}={shown} is {_a(value)}: need {_words(options)}")


def _finite(value: int | float) -> float | None:
    try:
        number = float(value) + 0.0  # no -0.0, which is the same number written otherwise
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _a(value: object) -> str:
    words = {str: "text", bool: "true or false", type(None): "null"}
    return words.get(type(value), f"of type {type(value).__name__}")


def _words(options: tuple[Any, ...]) -> str:
    words = {int: "an integer", float: "a number", str: "text", bool: "true or false"}
    parts = []
    for option in options:
        if option is types.NoneType:
            parts.append("null")
        elif get_origin(option) is Literal:
            parts.extend(str(choice) for choice in get_args(option))
        else:
            parts.append(words[option])
    return " or ".join(parts)
