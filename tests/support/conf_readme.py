"""The tables of conf/README.md, made from conf/ and from the dataclasses that its keys fill.

python tests/support/conf_readme.py rewrites them; tests/test_documents.py fails if they are stale.
Everything outside of the marked tables is written by hand.
"""

import dataclasses
import json
import os
import re
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from transferlab.experiment import compose, launcher
from transferlab.experiment.config import RunConfig

CONF = Path(__file__).parents[2] / "conf"
README = CONF / "README.md"
TABLE = re.compile(r"(<!-- (\w+) (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
COMMENT = re.compile(r"^(?P<key>\w+): .*?  # (?P<text>.+(?:\n *# .+)*)", re.MULTILINE)
TYPES = {
    int: "integer",
    float: "number",
    str: "string",
    bool: "`true`, `false`",
    type(None): "`null`",
}
UNUSED = "not used here"
Rows = Iterator[tuple[str, ...]]


def main() -> None:
    README.write_text(complete(README.read_text()))


def complete(text: str) -> str:
    """The document with every marked table written anew."""
    return TABLE.sub(lambda found: found[1] + MAKERS[found[2]](found[3]) + found[4], text)


def choices(group: str) -> str:
    """The files of a group, each with the first sentence of its head."""
    rows = (
        (f"`{path.stem}`", plain(summary(path)))
        for path in sorted(CONF.glob(f"{group}/[!_]*.yaml"))
    )
    return table(("choice", "what it is"), rows)


def keys(group: str) -> str:
    """The keys of a group of a run's config: `run` for those of no group."""
    hints = typing.get_type_hints(RunConfig, include_extras=True)
    if group == "run":
        leaves = {key: hint for key, hint in hints.items() if not dataclasses.is_dataclass(hint)}
        return _keys(leaves, "", _defaults(), comments("config"))
    section = typing.get_type_hints(hints[group], include_extras=True)
    return _keys(section, f"{group}.", _defaults()[group], comments(group))


def launchers(name: str) -> str:
    """The keys of `launcher=local` or `launcher=slurm`."""
    kind = launcher.KINDS[name]
    hints = {
        key: hint
        for key, hint in typing.get_type_hints(kind, include_extras=True).items()
        if key != "name"
    }
    defaults = compose.compose("sweep", [f"launcher={name}"])["launcher"]
    return _keys(hints, "launcher.", defaults, comments(f"launcher/{name}"))


MAKERS: Mapping[str, Callable[[str], str]] = {
    "choices": choices,
    "keys": keys,
    "launcher": launchers,
}


def summary(path: Path) -> str:
    """The first sentence of the comment at a file's head."""
    lines = [line for line in path.read_text().splitlines() if not line.startswith("# @")]
    head = " ".join(line.removeprefix("#").strip() for line in _leading_comments(lines))
    return re.split(r"\.(?: (?=[A-Z])| python |$)", head)[0]


def comments(group: str) -> dict[str, str]:
    """Key -> its comment in the files that fill a group: the base first, the default, the rest."""
    first = ("_base", _default_choice(group))
    files = sorted(
        (path for path in CONF.glob("**/*.yaml") if _fills(path, group)),
        key=lambda path: (first.index(path.stem) if path.stem in first else 2, path.stem),
    )
    found: dict[str, str] = {}
    for path in files:
        for match in COMMENT.finditer(path.read_text()):
            text = re.sub(r"\n *# ", " ", match["text"])
            if text != UNUSED:
                found.setdefault(match["key"], text)
    return found


def _fills(path: Path, group: str) -> bool:
    """Whether a file has keys of the group: `train`, `launcher/slurm`, or `config` for no group."""
    name = path.relative_to(CONF).with_suffix("")
    packaged = f"# @package {group}\n" in path.read_text()
    return packaged or group in (str(name), str(name.parent))


def table(head: tuple[str, ...], rows: Rows) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def plain(text: str) -> str:
    """The text with Markdown characters escaped."""
    return re.sub(r"([*|<])", r"\\\1", text)


def _keys(
    hints: Mapping[str, Any], prefix: str, defaults: Mapping[str, Any], meanings: Mapping[str, str]
) -> str:
    rows = (
        (f"`{prefix}{key}`", f"`{_word(defaults[key])}`", _type(hint), plain(meanings[key]))
        for key, hint in hints.items()
        if not isinstance(defaults[key], dict)
    )
    return table(("key", "default", "type", "meaning"), rows)


def _type(hint: Any) -> str:
    """The type of a key as text: `integer or null`."""
    if typing.get_origin(hint) is typing.Annotated:
        kind, *bounds = typing.get_args(hint)
        return f"{_type(kind)} ({', '.join(f'{b.phrase} {b.limit}' for b in bounds)})"
    if typing.get_origin(hint) is typing.Literal:
        return ", ".join(f"`{value}`" for value in typing.get_args(hint))
    if typing.get_origin(hint) is tuple:
        item, *rest = typing.get_args(hint)
        return f"list of {'' if rest == [...] else f'{1 + len(rest)}: '}{_type(item)}"
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return " or ".join(map(_type, typing.get_args(hint)))
    if dataclasses.is_dataclass(hint):  # a section with the keys of another
        return f"the keys of `{hint.__name__.removesuffix('Config').lower()}`"
    return TYPES[hint]


def _word(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _defaults() -> dict[str, Any]:
    """The config of `+split=random`, as it is without the environment variables of this package."""
    kept = {key: os.environ.pop(key) for key in list(os.environ) if key.startswith("TRANSFERLAB")}
    try:
        return compose.compose("config", ["+split=random"])
    finally:
        os.environ |= kept


def _default_choice(group: str) -> str:
    choices = OmegaConf.load(CONF / "config.yaml")["defaults"]
    chosen = {key: value for choice in choices if not isinstance(choice, str)
              for key, value in choice.items()}  # fmt: skip
    return str(chosen.get(group, "random"))


def _leading_comments(lines: list[str]) -> list[str]:
    end = next((i for i, line in enumerate(lines) if not line.startswith("#")), len(lines))
    return lines[:end]


if __name__ == "__main__":
    main()
