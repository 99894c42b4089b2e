"""From a plain dict to the config of a run: strict, canonical, and checked for contradictions.

`config` has the types and bounds of single fields, `agreement` what must hold between them, and
`canonical` the one form of all spellings of a run.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from transferlab.errors import UserError
from transferlab.experiment import schema, variables
from transferlab.experiment.canonical import canonical
from transferlab.experiment.config import RunConfig
from transferlab.experiment.identity import NEUTRAL
from transferlab.experiment.keys import PATHS, unknown_key
from transferlab.experiment.splits import missing_split
from transferlab.experiment.variations import Variations


def build_config(raw: Mapping[str, Any], *, recorded: bool = False) -> RunConfig:
    """The frozen, canonical config of one run.

    `recorded`: it comes from a record, which was checked when it was written: a split that it names
    as `package.module:attribute` is not imported to be asked whether it agrees.

    Raises: UserError for a key that is unknown or missing, of the wrong type or out of bounds, with
    its full name, and for values that contradict one another.
    """
    if not raw.get("split"):
        raise UserError(missing_split())
    config = schema.build(RunConfig, _with_neutral_values(raw), unknown=unknown_key)
    sections = {name: canonical(name, part, recorded) for name, part in vars(config).items()}
    return Variations(RunConfig(**sections), (), recorded=recorded).at(())


def vary_config(
    config: RunConfig, values: Mapping[str, Any], *, recorded: bool = False
) -> RunConfig:
    """The config with some keys, given by their full names, changed: as strict as `build_config`.

    Raises: UserError as `build_config` does.
    """
    return Variations(config, tuple(values), recorded=recorded).at(tuple(values.values()))


def config_dict(config: RunConfig) -> dict[str, Any]:
    """The nested dict of a record, from which `build_config` makes the same config again.

    A path from the environment is in it as it was written: see `variables`.
    """
    nested = dataclasses.asdict(config)
    for *sections, leaf in (key.split(".") for key in PATHS):
        within: dict[str, Any] | None = nested
        for name in sections:
            within = None if within is None else within[name]
        if within is not None:
            within[leaf] = variables.written(within[leaf])
    return nested


def _with_neutral_values(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The stored config, completed with newer fields at their neutral values."""
    filled = {k: dict(v) if isinstance(v, Mapping) else v for k, v in raw.items()}
    split = filled["split"]
    if isinstance(split, dict) and isinstance(split.get("a"), Mapping):
        split["a"] = dict(split["a"])
    for key, value in NEUTRAL.items():
        group, _, leaf = key.rpartition(".")
        section = filled.get(group) if group else filled
        if isinstance(section, dict):
            section.setdefault(leaf, value)
        if group == "data" and isinstance(split, dict) and isinstance(split.get("a"), dict):
            split["a"].setdefault(leaf, value)
    return filled
