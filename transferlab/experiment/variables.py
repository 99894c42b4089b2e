"""Paths from the environment: used with their value, recorded as they were written.

`data.root=${oc.env:DATA}/x` is recorded as that text, never with the value of DATA. A process that
uses the record, on another node for instance, reads its own environment. A record is a stranger's
text: nothing but this one form is read in it, and Hydra does not see it.
"""

import json
import re
from collections.abc import Iterable
from pathlib import Path

from transferlab.errors import UserError
from transferlab.runtime import environment, paths

_PLAIN = r"[\w./-]+"  # a default value without quotes
REFERENCE = re.compile(rf'\$\{{oc\.env:([A-Za-z_]\w*)(?:,("(?:[^"\\]|\\.)*"|{_PLAIN}))?\}}', re.A)
_START = "${oc.env:"
NULL = "null"


class FromEnvironment(str):
    """A text with its value; `written` is the text that stands for it in every record."""

    written: str

    def __new__(cls, value: str, written: str) -> "FromEnvironment":
        text = super().__new__(cls, value)
        text.written = written
        return text

    def __getnewargs__(self) -> tuple[str, str]:  # type: ignore[override]
        return str(self), self.written


def written(value: object) -> object:
    """The value as a record has it."""
    return value.written if isinstance(value, FromEnvironment) else value


def reference(name: str, *default: str | None) -> str:
    """`${oc.env:NAME}`, with its default value if it has one; None is written as null."""
    if not default:
        return f"{_START}{name}}}"
    text = NULL if default[0] is None else default[0]
    plain = re.fullmatch(_PLAIN, text, re.A) and (text != NULL or default[0] is None)
    return f"{_START}{name},{text if plain else json.dumps(text)}}}"


def expand(key: str, text: str) -> str | None:
    """The value here of a text from a record. `key` is named in messages.

    Raises: UserError if a variable is not set and has no default.
    """
    if _START not in text or isinstance(text, FromEnvironment):
        return text
    whole = REFERENCE.fullmatch(text)
    if whole is not None and whole[2] == NULL and environment.value(whole[1]) is None:
        return None

    def value(match: re.Match[str]) -> str:
        name, default = match.groups()
        if (set_to := environment.value(name)) is not None:
            return set_to
        if default is None:
            raise missing(key, text, name)
        return str(json.loads(default)) if default.startswith('"') else str(default)

    return FromEnvironment(REFERENCE.sub(value, text), text)


def missing(key: str, text: object, name: str) -> UserError:
    return UserError(
        f"{key}={text} needs the environment variable {name}, which is not set here: set it, on "
        "the nodes of a cluster as well, or write the value out"
    )


def absolute(path: str) -> str:
    """The path below the working directory, as a job needs it, which may start in another one."""
    value = str(paths.expand(str(path)).absolute())
    if not isinstance(path, FromEnvironment):
        return value
    relative = not path.startswith(("/", "~"))
    return FromEnvironment(value, f"{Path.cwd()}/{path.written}" if relative else path.written)


def displayed(path: str) -> str:
    """The path for people: `$DATA/x` where it comes from the environment."""
    return REFERENCE.sub(r"$\1", str(written(path)))


def conceal(message: str, values: Iterable[object]) -> str:
    """The message with those of the values that come from the environment as they were written."""
    for value in values:
        if isinstance(value, FromEnvironment):
            for form in {str(value), str(Path(value)), absolute(str(value))}:
                pattern = rf"(?<![\w./-]){re.escape(form)}(?![\w.-])"
                message = re.sub(pattern, lambda _, text=value.written: text, message)  # type: ignore[misc]
    return message
