"""Commands and settings that messages suggest, written so that they can be pasted.

A value passes through a shell and through Hydra's grammar of overrides: both quotings are made
here, and no other module writes a command line.
"""

import os
import re
import shlex
from pathlib import Path

from transferlab.runtime.escapes import escaped

PROGRAM = "python -m transferlab"
# What Hydra reads as the same text without quotes, unless it is a number or a word of its own
_PLAIN = re.compile(r"[A-Za-z0-9_/.:@%+-]+")
_NUMBER = re.compile(r"[+-]?(\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(e[+-]?\d+)?|[+-]?(inf|nan)", re.I)
_KEPT = re.compile(r"[^\x00-\x1f\\'\x7f-\xff]")  # inside $'...'
_WORDS = {"null", "true", "false"}


def override(key: str, value: object) -> str:
    """`key=value` in Hydra's grammar; a text with other characters is in double quotes."""
    return f"{key}={_text(value) if isinstance(value, str) else _shown(value)}"


def interpolation(key: str, text: str) -> str:
    """`key="${...}"`, which Hydra's grammar reads without quotes only in simple cases."""
    return f"{key}='{text}'" if '"' in text else f'{key}="{text}"'


def setting(key: str, value: object) -> str:
    """`key=value` as it is typed in a shell: `data.size=64`, `'data.root="/lr=0.1"'`."""
    return quoted(override(key, value))


def settings(values: dict[str, object]) -> str:
    """Several settings, as they are typed one after the other."""
    return " ".join(setting(key, value) for key, value in values.items())


def line(*words: str, program: str = PROGRAM) -> str:
    """The command line of a program with these arguments, each quoted for the shell."""
    return f"{program} {' '.join(map(quoted, words))}"


def unquoted(value: str) -> str:
    """The text that `override` has quoted, from the value that Hydra reads, where OmegaConf, which
    undoes the rest, does not get to see it."""
    return re.sub(r"(\\*)\\\$\{", lambda match: match[1][: len(match[1]) // 2] + "${", value)


def quoted(word: str) -> str:
    """A word as it is typed in a shell, in one line.

    Bytes that are not printed are in `$'...'`, which bash, zsh, ksh and POSIX 2024 (2.2.4) have.
    """
    if escaped(word) == word:
        return shlex.quote(word)
    letters = map(chr, os.fsencode(word))
    return "$'" + "".join(c if _KEPT.match(c) else rf"\x{ord(c):02x}" for c in letters) + "'"


def study(name: str, store: Path | str | None) -> str:
    """The command line that trains a study into a store; None: the default one."""
    place = [] if store is None else [override("runtime.store", str(store))]
    return line("sweep", override("+study", name), *place)


def _shown(value: object) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)


def _text(text: str) -> str:
    if _PLAIN.fullmatch(text) and not _NUMBER.fullmatch(text) and text.lower() not in _WORDS:
        return text
    text = re.sub(r"(\\*)\$\{", r"\1\1\\${", text)  # else OmegaConf takes it for an interpolation
    text = re.sub(r'(\\*)"', r'\1\1\\"', text)
    backslashes = len(text) - len(text.rstrip("\\"))
    return f'"{text}{backslashes * chr(92)}"'
