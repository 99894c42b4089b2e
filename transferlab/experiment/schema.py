"""Frozen dataclasses from plain dicts, strictly: every key there, none unknown, each of its type.

The errors name the full key and say what would do. Knows nothing of what the fields mean.
"""

import dataclasses
import math
import types
from collections.abc import Callable, Mapping
from functools import cache
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
    hints = _hints(kind)  # type: ignore[arg-type]
    for name in raw:
        if name not in hints:
            raise UserError(unknown(f"{prefix}{name}"))
    missing = [f"{prefix}{name}" for name in hints if name not in raw]
    if missing:
        raise UserError(f"{missing[0]} is missing")
    values = {
        name: build(hint, raw[name], unknown=unknown, prefix=f"{prefix}{name}.")
        if isinstance(hint, type) and dataclasses.is_dataclass(hint)
        else value(hint, raw[name], f"{prefix}{name}")
        for name, hint in hints.items()
    }
    return kind(**values)


def value(hint: Any, given: object, key: str) -> object:
    """`given` if it has the type `hint`; a whole number passes as a float.

    Raises: UserError, with the full `key`, if it has another type.
    """
    options = _options(hint)
    if type(given) in options and type(given) is not float:
        return given
    for option in options:
        if get_origin(option) is Literal:
            if given in get_args(option):
                return given
        elif option is float and type(given) in (int, float):
            number = _finite(given)  # type: ignore[arg-type]
            if number is not None:
                return number
        elif get_origin(option) is tuple:
            if isinstance(given, list | tuple):
                inner = get_args(option)[0]
                return tuple(value(inner, item, f"{key}[{i}]") for i, item in enumerate(given))
    shown = "null" if given is None else given
    raise UserError(f"{key}={shown} is {_a(given)}: need {_words(options)}")


@cache
def _options(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


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
        elif get_origin(option) is tuple:
            parts.append("a list")
        else:
            parts.append(words[option])
    return " or ".join(parts)
