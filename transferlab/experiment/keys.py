"""The keys of a run: every field of its config under its full name, `train.lr` for instance."""

import dataclasses
import difflib
from collections.abc import Mapping
from operator import attrgetter
from typing import Any

from transferlab.experiment.config import RunConfig
from transferlab.experiment.schema import field_types
from transferlab.experiment.variables import written
from transferlab.runtime import commands


def _types() -> dict[str, Any]:
    types: dict[str, Any] = {}
    for name, kind in field_types(RunConfig).items():
        if dataclasses.is_dataclass(kind):
            fields = field_types(kind)  # type: ignore[arg-type]
            types |= {f"{name}.{leaf}": hint for leaf, hint in fields.items()}
        else:
            types[name] = kind
    return types


SWEEP_KEYS = ("study", "launcher", "sweep", "dry_run")  # of the command sweep, not of a run
# Keys of any text, and those of them that are paths on this machine
PATHS = ("runtime.store", "runtime.cache", "data.root", "split.groups")
TEXTS = (*PATHS, "data.val", "runtime.wandb_project", "study", "launcher.template")
TYPES: Mapping[str, Any] = _types()  # key -> type, in the order of the fields
_VALUES = attrgetter(*TYPES)


def known_keys() -> list[str]:
    """All keys of a run, in the order of the fields."""
    return list(TYPES)


def flatten(config: RunConfig) -> dict[str, Any]:
    """Key -> value of a config."""
    return dict(zip(TYPES, _VALUES(config), strict=True))


def recorded(config: RunConfig) -> dict[str, Any]:
    """Key -> value as every record has it, a path from the environment as it was written."""
    flat = flatten(config)
    return flat | {key: written(flat[key]) for key in PATHS}


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


def _nearest(key: str) -> str | None:
    """A key with the same last part, or of a similar name, or with a similar last part."""
    leaves = {name: name.rpartition(".")[2] for name in TYPES}
    leaf = key.rpartition(".")[2]
    similar = difflib.get_close_matches(leaf, leaves.values(), n=1, cutoff=0.6)
    near = [name for name in leaves if leaves[name] == leaf]
    near += difflib.get_close_matches(key, leaves, n=1, cutoff=0.5)
    near += [name for name in leaves if leaves[name] in similar]
    return near[0] if near else None
