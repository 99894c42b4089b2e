"""Frozen dataclasses from plain dicts, strictly: exactly their fields, each of its type and range.

The bound of a field is metadata of its type: `momentum: Annotated[float, at_least(0), below(1)]`.
Errors name the full key, its value and what is required. This module does not know what the fields
mean, or which of them must agree.
"""

import dataclasses
import math
import operator
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from transferlab.errors import UserError

T = TypeVar("T")
MISMATCH = object()  # what a conversion returns for a value of another type
TYPE_NAMES = {int: "an integer", float: "a number", str: "a string", bool: "true or false"}


@dataclass(frozen=True)
class Bound:
    """A limit of a number, as metadata of the field's type."""

    phrase: str
    limit: float
    holds: Callable[[float, float], bool]

    def check(self, number: float, key: str) -> None:
        """Raises: UserError if the number, the value of `key`, is out of bounds."""
        if not self.holds(number, self.limit):
            raise UserError(f"{key}={number} must be {self.phrase} {self.limit}")


def at_least(limit: float) -> Bound:
    return Bound("at least", limit, operator.ge)


def at_most(limit: float) -> Bound:
    return Bound("at most", limit, operator.le)


def above(limit: float) -> Bound:
    return Bound("above", limit, operator.gt)


def below(limit: float) -> Bound:
    return Bound("below", limit, operator.lt)


WHOLE = below(2**63)  # of every integer, which torch, numpy and every table can hold then


def build(kind: type[T], raw: object, *, unknown: Callable[[str], str], prefix: str = "") -> T:
    """An instance of the dataclass `kind` from a nested dict with exactly its fields.

    `unknown` gives the message for a key, under its full name, that `kind` does not have.

    Raises: UserError for a key that is unknown or missing, of the wrong type or out of bounds.
    """
    if not isinstance(raw, Mapping):
        raise UserError(f"{prefix.rstrip('.')}={_shown(raw)} must be a group of keys and values")
    hints = field_types(kind)  # type: ignore[arg-type]
    for name in raw:
        if name not in hints:
            raise UserError(unknown(f"{prefix}{name}"))
    missing = [f"{prefix}{name}" for name in hints if name not in raw]
    if missing:
        raise UserError(f"missing key {missing[0]}")
    values: dict[str, Any] = {}
    for name, hint in hints.items():
        section = section_of(hint)
        if section is None or (raw[name] is None and section is not hint):
            values[name] = value(hint, raw[name], f"{prefix}{name}") if section is None else None
        else:
            values[name] = build(section, raw[name], unknown=unknown, prefix=f"{prefix}{name}.")
    return kind(**values)


@cache
def section_of(hint: Any) -> type | None:
    """The dataclass that a field holds, or may hold instead of None; None for any other field."""
    kinds = [kind for kind, _ in alternatives(hint) if dataclasses.is_dataclass(kind)]
    return kinds[0] if kinds else None  # type: ignore[return-value]


@cache
def field_types(kind: type) -> dict[str, Any]:
    """Field of a dataclass -> its type, with its bounds."""
    return get_type_hints(kind, include_extras=True)


def value(hint: Any, given: object, key: str) -> object:
    """`given` as a value of the type `hint`; an integer passes as a float.

    Raises: UserError, with the full `key`, for another type and for a number out of bounds.
    """
    kinds_allowed = alternatives(hint)
    for kind, bounds in kinds_allowed:
        converted = _convert(kind, given, key)
        if converted is not MISMATCH:
            if kind is str:
                _require_text(key, str(converted))
            elif kind is int:
                WHOLE.check(converted, key)  # type: ignore[arg-type]
            for bound in bounds:
                bound.check(converted, key)  # type: ignore[arg-type]
            return converted
    kinds = [kind for kind, _ in kinds_allowed]
    needed = " or ".join(_name(kind) for kind in kinds)
    raise UserError(f"{key}={_shown(given)} must be {needed}{_mismatch(given, kinds)}")


def _require_text(key: str, text: str) -> None:
    """Raises: UserError for a text with bytes of a path that is not UTF-8, as no record holds."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UserError(
            f"{key}={text} is not UTF-8: rename the file or folder, or use a link of another name"
        ) from error


@cache
def alternatives(hint: Any) -> tuple[tuple[Any, tuple[Bound, ...]], ...]:
    """The types of a field, each with its bounds: those of a union, or one."""
    parts = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    return tuple(
        (part.__origin__, part.__metadata__) if get_origin(part) is Annotated else (part, ())
        for part in parts
    )


def _convert(kind: Any, given: object, key: str) -> object:
    """`given` as a value of one type; MISMATCH if it is of another."""
    if kind is float:
        return _finite(given) if type(given) in (int, float) else MISMATCH  # type: ignore[arg-type]
    if type(given) is kind or (kind is str and isinstance(given, str)):
        return given
    if get_origin(kind) is Literal:
        return given if given in get_args(kind) else MISMATCH
    if get_origin(kind) is tuple and isinstance(given, list | tuple):
        item, *rest = get_args(kind)
        if rest != [...] and len(given) != 1 + len(rest):
            return MISMATCH
        return tuple(value(item, each, f"{key}[{i}]") for i, each in enumerate(given))
    return MISMATCH


def _finite(number: int | float) -> object:
    """The number as a float; MISMATCH for nan, infinity, and an integer that no float holds."""
    try:
        converted = float(number) + 0.0  # -0.0 becomes 0.0: two spellings of one number
    except OverflowError:
        return MISMATCH
    return converted if math.isfinite(converted) else MISMATCH


def _shown(given: object) -> object:
    """The value as YAML."""
    if given is None or isinstance(given, bool):
        return {None: "null", True: "true", False: "false"}[given]
    return given


def _mismatch(given: object, kinds: Sequence[Any]) -> str:
    """The type of the value, where its spelling does not show it."""
    lists = isinstance(given, list) and any(get_origin(kind) is tuple for kind in kinds)
    if (
        given is None
        or lists
        or any(  # a list of another length shows it
            type(choice) is type(given) for kind in kinds for choice in _choices(kind)
        )
    ):
        return ""
    if type(given) in (int, float) and float in kinds:
        return ", and finite"
    names = {**TYPE_NAMES, bool: "a boolean", float: "a float", list: "a list", dict: "a mapping"}
    return f", not {names.get(type(given), type(given).__name__)}"


def _choices(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) is Literal else ()


def _name(kind: Any) -> str:
    """What a message calls a type."""
    if kind is types.NoneType:
        return "null"
    if _choices(kind):
        return " or ".join(map(str, _choices(kind)))
    if get_origin(kind) is tuple:
        item, *rest = get_args(kind)
        return "a list" if rest == [...] else f"a list of {1 + len(rest)} numbers"
    return TYPE_NAMES[kind]
