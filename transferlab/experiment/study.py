"""Studies: the runs that a figure or a table needs, as a union of grids over config keys.

A study is `conf/study/NAME.yaml` or a YAML file of the user's: a list of grids, each of which maps
groups (`split`, `data`, ...) and keys (`transfer.n`, ...) to a value or a list of values and stands
for all combinations. Overrides on the command line take precedence, and may be lists. A value may
be an interpolation, which is resolved in each run.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transferlab.errors import UserError
from transferlab.experiment import (
    compose,
    cuts,
    interpolation,
    pretrained,
    study_file,
    usage,
    variables,
)
from transferlab.experiment.build import build_config, vary_config
from transferlab.experiment.conf import CONF, Conf
from transferlab.experiment.config import RunConfig
from transferlab.experiment.keys import LISTS, PATHS, flatten
from transferlab.experiment.splits import missing_split
from transferlab.experiment.variations import Variations
from transferlab.models import libraries
from transferlab.runtime import paths
from transferlab.runtime.garbage import uncollected

SUFFIXES = (".yaml", ".yml")

Axes = Mapping[str, tuple[Any, ...]]


@dataclass(frozen=True)
class Study:
    """A union of grids, each given by its axes: group or key -> values."""

    name: str
    grids: tuple[Axes, ...]


def load(name: str, conf: Conf = CONF) -> Study:
    """The study of that name in conf/study/, in a folder of `conf`, or in a YAML file.

    Raises: UserError if it does not exist or is not a list of grids over groups and keys of a run.
    """
    if name.endswith(SUFFIXES):
        path = paths.expand(name)
    else:
        known = conf.choices("study")
        if name not in known:
            raise UserError(
                f"unknown study={name}: {compose.nearest(name, known)}choose one of "
                f"{', '.join(known)} (conf/study/), or name a YAML file of your own"
            )
        compose.check_choice("study", name, conf)
        path = conf.files("study", name)[0]
    grids = tuple(
        _grid(path, number, raw, conf) for number, raw in enumerate(study_file.read(path), start=1)
    )
    return Study(path.stem, grids)


@uncollected()
def expand(study: Study, overrides: Sequence[str], conf: Conf = CONF) -> tuple[RunConfig, ...]:
    """The configs of all points of the study's grids, duplicates included.

    An override replaces the values that the grids have for its key. `transfer.*` only where a grid
    names the key: `transfer.n=3` does not make a base network of another kind.

    Raises: UserError as composing and building do, and for a key that none of its runs uses.
    """
    overriding = _axes(overrides, conf)
    for key in overriding:
        if key.startswith("transfer.") and not any(key in grid for grid in study.grids):
            raise UserError(f"{key} is in no grid of study={study.name}: write a study of your own")
    composed: dict[tuple[str, ...], dict[str, Any]] = {}
    configs: list[RunConfig] = []
    for grid in study.grids:
        begin = len(configs)
        for axes in _with_models({**grid, **_of_grid(overriding, grid)}):
            configs += _points_of_grid(study, axes, composed, conf)
        own = {key: values for key, values in grid.items() if key not in overriding}
        usage.check(own, configs[begin:], overridden=overriding)
    usage.check(overriding, configs)
    return tuple(configs)


def _with_models(axes: Axes) -> Iterator[Axes]:
    """The axes; those of weights, of which each names its network by itself, one after another."""
    if compose.WEIGHTS not in axes or {"model", "model.name"} & axes.keys():
        yield axes
        return
    for weights in axes[compose.WEIGHTS]:
        model = pretrained.model_of_all([weights])
        named = {} if model is None else {"model.name": (model,)}
        yield {**axes, compose.WEIGHTS: (weights,), **named}


def _points_of_grid(
    study: Study, axes: Axes, composed: dict[tuple[str, ...], dict[str, Any]], conf: Conf
) -> Iterator[RunConfig]:
    """The config of every combination of the axes. `composed`: what Hydra has composed before, to
    which this adds, in place."""
    choices = {key: values for key, values in axes.items() if compose.group_of(key, conf)}
    keys = {key: values for key, values in axes.items() if key not in choices}
    for combination in _points(choices):
        if "split" not in combination:
            raise UserError(f"study={study.name}: {missing_split()}")
        group_overrides = tuple(
            compose.as_typed(f"{key}={name}") for key, name in combination.items()
        )
        if group_overrides not in composed:
            composed[group_overrides] = _unresolved(conf.composed(group_overrides))
        yield from _vary(composed[group_overrides], keys)


def _of_grid(overriding: Axes, grid: Axes) -> Axes:
    """The overrides that apply to a grid."""
    return {k: v for k, v in overriding.items() if not k.startswith("transfer.") or k in grid}


def absolute(config: RunConfig) -> RunConfig:
    """The config with all its paths made absolute: a job may start in another folder."""
    flat = flatten(config)
    paths = {key: flat[key] for key in PATHS if isinstance(flat[key], str)}
    weights = config.split.weights
    if weights is not None and not libraries.is_library(weights):
        paths[compose.WEIGHTS] = weights
    return vary_config(config, {key: variables.absolute(path) for key, path in paths.items()})


def _unresolved(composed: Any) -> dict[str, Any]:
    """What Hydra composed as a dict, with interpolations as they are written."""
    from omegaconf import OmegaConf

    raw: dict[str, Any] = OmegaConf.to_container(compose.without_hydra(composed))  # type: ignore[assignment]
    return raw


def _resolved(raw: dict[str, Any]) -> dict[str, Any]:
    from omegaconf import OmegaConf

    return interpolation.plain(OmegaConf.create(raw))


def _vary(raw: dict[str, Any], keys: Axes) -> Iterator[RunConfig]:
    """The composed config at every point of the keys."""
    constants = {key: values[0] for key, values in keys.items() if len(values) == 1}
    raw = _with(raw, constants)
    varied = (value for key in keys.keys() - constants for value in keys[key])
    dependent = any(map(interpolation.depends, _leaves(raw))) or any("${" in str(v) for v in varied)
    if dependent or any(map(cuts.is_name, keys.get("transfer.n", ()))):
        for point in _points({key: keys[key] for key in keys if key not in constants}):
            for numbered in cuts.each(_resolved(_with(raw, point))):
                yield absolute(build_config(numbered))
        return
    yield from _product(_resolved(raw), {k: v for k, v in keys.items() if k not in constants})


def _product(raw: dict[str, Any], axes: Axes) -> Iterator[RunConfig]:
    """The config at every point of the axes, none of which asks for another."""
    # A canonical config has keys of `transfer` that were not written
    transfer = {f"transfer.{leaf}": value for leaf, value in raw["transfer"].items()}
    written = {key: value for key, value in transfer.items() if key not in axes}
    axes = {key: _absolute(values) if key in PATHS else values for key, values in axes.items()}
    keys, constant = (*written, *axes), tuple(written.values())
    variations: Variations | None = None
    for point in itertools.product(*axes.values()):
        if variations is None:
            values = dict(zip(keys, constant + point, strict=True))
            variations = Variations(absolute(build_config(_with(raw, values))), keys)
        yield variations.at(constant + point)


def _absolute(paths: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(variables.absolute(path) if isinstance(path, str) else path for path in paths)


def _points(axes: Axes) -> Iterator[dict[str, Any]]:
    for values in itertools.product(*axes.values()):
        yield dict(zip(axes, values, strict=True))


def _with(raw: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    changed = {
        key: _with(value, {}) if isinstance(value, dict) else value for key, value in raw.items()
    }
    for key, value in values.items():
        *sections, leaf = key.split(".")
        within = changed
        for name in sections:
            if not isinstance(within[name], dict):
                raise UserError(f"{key}={value} has no effect: {'.'.join(sections)} is null")
            within = within[name]
        within[leaf] = value
    return changed


def _leaves(raw: Mapping[str, Any]) -> Iterable[Any]:
    for value in raw.values():
        yield from _leaves(value) if isinstance(value, Mapping) else (value,)


# --- reading ------------------------------------------------------------------------------------


def _axes(overrides: Sequence[str], conf: Conf) -> Axes:
    """The overrides of a command line as axes."""
    axes: dict[str, tuple[Any, ...]] = {}
    for override in overrides:
        parsed = compose.parse(override)
        key = compose.key_of(parsed)
        if parsed.is_delete() or (parsed.package is not None and key == parsed.key_or_group):
            raise UserError(f"{override} cannot be part of a study: write KEY=VALUE")
        if parsed.is_interval_sweep():
            raise UserError(f"{override} has no values to choose from: write a list or a range")
        axes[key] = _values(override, parsed, conf)
        _check(key, axes[key], conf)
    return axes


def _check(key: str, values: tuple[Any, ...], conf: Conf) -> None:
    if compose.group_of(key, conf) is None:
        compose.check_key(key, conf)
        return
    for value in values:
        compose.check_choice(key, str(value), conf)


def _values(override: str, parsed: Any, conf: Conf) -> tuple[Any, ...]:
    values = compose.values(parsed, conf)
    if not _are_values(compose.key_of(parsed), values):
        raise UserError(f"{override} must be a value or a list of values, as KEY=1,2")
    return values


def _are_values(key: str, values: tuple[Any, ...]) -> bool:
    """Whether each is a value of the key: a list only where it takes one."""
    kinds = str | int | float | list if key in LISTS else str | int | float
    return all(value is None or isinstance(value, kinds) for value in values)


def _grid(path: Path, number: int, raw: Any, conf: Conf) -> Axes:
    source = f"{path}, grid {number}"
    if not isinstance(raw, dict) or not raw:
        raise UserError(f"{source} must map keys to values: see conf/study/quick.yaml")
    axes: dict[str, tuple[Any, ...]] = {}
    for key, raw_values in raw.items():
        values = tuple(raw_values) if isinstance(raw_values, list) else (raw_values,)
        key, values = compose.named(key, values)
        if not values or not _are_values(str(key), values):
            raise UserError(f"{source}: {key} must be a value or a list of values")
        try:
            _check(str(key), values, conf)
        except UserError as error:
            raise UserError(f"{source}: {error}") from error
        axes[str(key)] = values
    return axes
