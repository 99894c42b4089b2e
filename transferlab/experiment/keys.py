"""The keys of a run: every field of its config under its full name, `train.lr` for instance."""

import difflib
from collections.abc import Mapping
from typing import Any, get_origin

from transferlab.experiment.config import RunConfig, Section
from transferlab.experiment.schema import alternatives, field_types, section_of
from transferlab.experiment.variables import written
from transferlab.runtime import commands

OPTIONAL = "split.a"  # the section that not every run has


def _types(kind: type, prefix: str = "") -> dict[str, Any]:
    types: dict[str, Any] = {}
    for name, hint in field_types(kind).items():
        section = section_of(hint)
        if section is None:
            types[f"{prefix}{name}"] = hint
        else:
            types |= _types(section, f"{prefix}{name}.")
    return types


SWEEP_KEYS = ("study", "launcher", "sweep", "dry_run")  # of the command sweep, not of a run
# Keys of any text, and those of them that are paths on this machine
PATHS = ("runtime.store", "runtime.cache", "data.root", "split.a.root", "split.groups")
TEXTS = (
    *PATHS, "split.weights", "data.val", "split.a.val", "runtime.wandb_project", "study",
    "launcher.template",
)  # fmt: skip
TYPES: Mapping[str, Any] = _types(RunConfig)  # key -> type, in the order of the fields
# Keys whose values may be lists
LISTS = tuple(
    key
    for key, hint in TYPES.items()
    if any(get_origin(kind) is tuple for kind, _ in alternatives(hint))
)
_SECTIONS = {
    name: tuple(key for key in TYPES if key.partition(".")[0] == name)
    for name in field_types(RunConfig)
}
_IN_OPTIONAL = tuple(key for key in TYPES if key.startswith(f"{OPTIONAL}."))


def known_keys() -> list[str]:
    """All keys of a run, in the order of the fields."""
    return list(TYPES)


def keys_of(section: str) -> tuple[str, ...]:
    """The keys of a section, or the one that is in none, in the order of the fields."""
    return _SECTIONS[section]


def flatten(config: RunConfig) -> dict[str, Any]:
    """Key -> value of a config, in the order of the fields; None for a section that it lacks."""
    values: dict[str, Any] = {}
    for name, section in vars(config).items():
        values |= _flat(name, section)
    return values


def image_paths(config: RunConfig) -> tuple[str | None, ...]:
    """The values of those of PATHS that say where images and their groups lie."""
    second = config.split.a
    return (config.data.root, config.split.groups, None if second is None else second.root)


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """The sections of a flat config, from which `build_config` makes it again."""
    tree: dict[str, Any] = {}
    for key, value in flat.items():
        *sections, leaf = key.split(".")
        within = tree
        for name in sections:
            within = within.setdefault(name, {})
        within[leaf] = value
    if tree.get("split", {}).get("a", {}).get("name") is None:
        tree.setdefault("split", {})["a"] = None
    return tree


def recorded(config: RunConfig) -> dict[str, Any]:
    """Key -> value as every record has it, a path from the environment as it was written."""
    values: dict[str, Any] = {}
    for name, section in vars(config).items():
        values |= recorded_section(name, section)
    return values


def recorded_section(name: str, section: Any) -> dict[str, Any]:
    """As `recorded`, of one section."""
    flat = _flat(name, section)
    return flat | {key: written(flat[key]) for key in PATHS if key in flat}


def unknown_key(key: str) -> str:
    """The message for an unknown key, with the nearest known one and the folder of its files."""
    if key.partition(".")[0] in SWEEP_KEYS:
        return (
            f"{key} belongs to a sweep, not to a run: "
            f"{commands.line('sweep', commands.override('+study', 'NAME'))}"
        )
    near = _nearest(key)
    if near is None:
        return f"unknown key {key}: {commands.line('--cfg', 'job')} lists all keys"
    group = near.rpartition(".")[0]
    source = f"conf/{group}/" if group else "conf/config.yaml"
    return f"unknown key {key}: did you mean {near} ({source})?"


def _flat(name: str, section: Any) -> dict[str, Any]:
    """Key -> value of a section, or of the one key of that name."""
    if not isinstance(section, Section):
        return {name: section} if name in TYPES else dict.fromkeys(_IN_OPTIONAL)
    values = {f"{name}.{leaf}": value for leaf, value in vars(section).items()}
    if OPTIONAL in values:
        values |= _flat(OPTIONAL, values.pop(OPTIONAL))
    return values


def _nearest(key: str) -> str | None:
    """A key with the same last part, or of a similar name, or with a similar last part."""
    leaves = {name: name.rpartition(".")[2] for name in TYPES}
    leaf = key.rpartition(".")[2]
    similar = difflib.get_close_matches(leaf, leaves.values(), n=1, cutoff=0.6)
    near = [name for name in leaves if leaves[name] == leaf]
    near += difflib.get_close_matches(key, leaves, n=1, cutoff=0.5)
    near += [name for name in leaves if leaves[name] in similar]
    return near[0] if near else None
