"""A JSON value checked against a type: TypedDicts, lists, tuples, unions, and bounds as metadata.

    class Progress(TypedDict):
        step: Annotated[int, Between(0, 10**9)]
        left_s: NotRequired[float | None]

`check` returns what the type names and nothing else, so a key that it lacks goes no further. The
check of a type is built once: a store may have 100,000 records.
"""

import math
import re
import types
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import (
    Annotated,
    Any,
    Literal,
    NotRequired,
    Required,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from transferlab.runtime.reading import shown

Check = Callable[[Any], Any]
NAMES = {
    int: "an integer", float: "a number", str: "a text", bool: "true or false",
    list: "a list", dict: "an object",
}  # fmt: skip


class Mismatch(ValueError):
    """A value of another type or out of bounds; `key` is its full name."""

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(f"{key}{problem}")
        self.key, self.problem = key, problem

    def inside(self, key: str) -> "Mismatch":
        """The same, of a value that is below `key`."""
        dot = "." if self.key and not self.key.startswith("[") else ""
        return Mismatch(f"{key}{dot}{self.key}", self.problem)


@dataclass(frozen=True)
class Between:
    """Bounds of a number, both included."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"between {self.low} and {self.high}"

    def test(self) -> Callable[[float], object]:
        low, high = self.low, self.high
        return lambda value: low <= value <= high


@dataclass(frozen=True)
class Form:
    """What a text must be, as a regular expression and in words."""

    pattern: str
    words: str

    def __str__(self) -> str:
        return self.words

    def test(self) -> Callable[[str], object]:
        return re.compile(self.pattern).fullmatch


def check(kind: Any, value: object, *, key: str = "") -> Any:
    """The value of `key`, if it is of that type, without the keys that the type does not have.

    Raises: Mismatch with the full key, the value and what it must be.
    """
    return checker(kind, key=key)(value)


def checker(kind: Any, *, key: str = "") -> Check:
    """`check` for many values of one type, which is then looked up once."""
    inner = _check(kind)

    def checked(value: Any) -> Any:
        try:
            return inner(value)
        except Mismatch as error:
            raise (error.inside(key) if key else error) from None

    return checked


@cache
def _check(kind: Any) -> Check:
    if is_typeddict(kind):
        return _object(kind)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Required, NotRequired):
        return _check(arguments[0])
    if origin is Annotated:
        return _bounded(_check(arguments[0]), *kind.__metadata__)
    if origin in (Union, types.UnionType):
        return _union(arguments)
    if origin is Literal:
        return _literal(arguments)
    if origin is list:
        return _list(_check(arguments[0]))
    if origin is tuple:
        return _tuple(tuple(map(_check, arguments)))
    if origin is dict:
        return _mapping(_check(arguments[1]))
    if kind is Any:
        return lambda value: value
    return _number if kind is float else _scalar(kind)


def _object(kind: Any) -> Check:
    checks = {key: _check(hint) for key, hint in get_type_hints(kind, include_extras=True).items()}
    required = kind.__required_keys__

    def check(value: Any) -> dict[str, Any]:
        if type(value) is not dict:
            raise _wrong(value, NAMES[dict])
        checked = {}
        for name, inner in checks.items():
            if name in value:
                try:
                    checked[name] = inner(value[name])
                except Mismatch as error:
                    raise error.inside(name) from None
            elif name in required:
                raise Mismatch(name, " is missing")
        return checked

    return check


def _bounded(check: Check, bound: Between | Form) -> Check:
    holds: Callable[[Any], object] = bound.test()

    def bounded(value: Any) -> Any:
        if not holds(check(value)):
            raise _wrong(value, str(bound))
        return value

    return bounded


def _union(parts: tuple[Any, ...]) -> Check:
    """The first part that takes the value; the error is that of the last."""
    *others, last = [_check(part) for part in parts if part is not types.NoneType]
    empty = types.NoneType in parts

    def check(value: Any) -> Any:
        if value is None and empty:
            return None
        for inner in others:
            try:
                return inner(value)
            except Mismatch:
                continue
        return last(value)

    return check


def _literal(choices: tuple[Any, ...]) -> Check:
    def check(value: Any) -> Any:
        if not any(type(value) is type(choice) and value == choice for choice in choices):
            raise _wrong(value, "one of " + ", ".join(map(str, choices)))
        return value

    return check


def _list(item: Check) -> Check:
    def check(value: Any) -> list[Any]:
        if type(value) is not list:
            raise _wrong(value, NAMES[list])
        checked: list[Any] = []
        try:
            for each in value:
                checked.append(item(each))
        except Mismatch as error:
            raise error.inside(f"[{len(checked)}]") from None
        return checked

    return check


def _tuple(items: tuple[Check, ...]) -> Check:
    """A list of so many values, as a tuple."""

    def check(value: Any) -> tuple[Any, ...]:
        if type(value) is not list or len(value) != len(items):
            raise _wrong(value, f"a list of {len(items)} values")
        return tuple(item(each) for item, each in zip(items, value, strict=True))

    return check


def _mapping(item: Check) -> Check:
    def check(value: Any) -> dict[str, Any]:
        if type(value) is not dict:
            raise _wrong(value, NAMES[dict])
        checked = {}
        for name, each in value.items():
            try:
                checked[name] = item(each)
            except Mismatch as error:
                raise error.inside(shown(name)) from None
        return checked

    return check


def _number(value: Any) -> Any:
    if type(value) is float and math.isfinite(value) or type(value) is int:
        return value
    raise _wrong(value, NAMES[float])


def _scalar(kind: type) -> Check:
    def check(value: Any) -> Any:
        if type(value) is not kind:
            raise _wrong(value, NAMES[kind])
        return value

    return check


def _wrong(value: object, needed: str) -> Mismatch:
    return Mismatch("", f"={shown(value)} must be {needed}")
