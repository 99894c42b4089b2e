"""From a plain dict to the config of a run: strict, canonical, and checked for contradictions.

`config` has the types and bounds of single fields. This module checks fields that must agree, one
function for each condition, and reduces all spellings of a run to one canonical form.
"""

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

from transferlab.errors import UserError
from transferlab.experiment import schema, variables, variants, views
from transferlab.experiment.config import (
    DataConfig,
    RunConfig,
    SplitConfig,
    TrainConfig,
    TransferConfig,
)
from transferlab.experiment.identity import CACHED, DROPS_OF, NEUTRAL, uncut
from transferlab.experiment.keys import OPTIONAL, PATHS, TYPES, unknown_key
from transferlab.experiment.splits import missing_split, second_unused, split_rule
from transferlab.runtime import commands, plugins

# Key -> its section, empty for one in none, and its name there: `a.size` of `split.a.size`
_PARTS = {
    key: (section, leaf) if leaf else ("", section)
    for key in TYPES
    for section, _, leaf in [key.partition(".")]
}


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
    sections = {name: _canonical(name, part, recorded) for name, part in vars(config).items()}
    return Variations(RunConfig(**sections), recorded=recorded).at({})


def vary_config(
    config: RunConfig, values: Mapping[str, Any], *, recorded: bool = False
) -> RunConfig:
    """The config with some keys, given by their full names, changed: as strict as `build_config`.

    Raises: UserError as `build_config` does.
    """
    return Variations(config, recorded=recorded).at(values)


class Variations:
    """The config with some keys changed, again and again, as in a grid: see `vary_config`.

    What many of these configs have in common is built and checked once: a study of 100,000 runs has
    few sections, and few combinations of what is checked together.
    """

    def __init__(self, config: RunConfig, *, recorded: bool = False) -> None:
        self._original, self._recorded = vars(config), recorded
        self._built: dict[tuple[str, str], Any] = {}
        self._agreed: set[tuple[Any, ...]] = set()

    def at(self, values: Mapping[str, Any]) -> RunConfig:
        """The config with these values of keys. Raises: UserError as `build_config` does."""
        changes: dict[str, dict[str, Any]] = {}
        for key, value in values.items():
            if key not in _PARTS:
                raise UserError(unknown_key(key))
            section, leaf = _PARTS[key]
            changes.setdefault(section, {})[leaf] = value
        sections = dict(self._original)
        for section, changed in changes.items():
            same = (section, repr(changed))  # which differs for 1, 1.0 and true
            if same not in self._built:
                self._built[same] = self._with(section, changed)
            sections |= self._built[same]
        if sections["transfer"].n == 0:  # a base network has no cut
            sections["model"] = uncut(sections["model"])
        outline = _outline(sections)
        if (same_checks := tuple(outline.values())) not in self._agreed:
            _check(RunConfig(**outline), self._recorded)
            self._agreed.add(same_checks)
        return RunConfig(**sections)

    def _with(self, section: str, changed: Mapping[str, Any]) -> dict[str, Any]:
        """The section with changes, by its name; keys that are in none, by theirs."""
        if not section:
            return _typed("", changed)
        original = self._original[section]
        own = {leaf: value for leaf, value in changed.items() if "." not in leaf}
        second = {leaf.partition(".")[2]: v for leaf, v in changed.items() if "." in leaf}
        typed = _typed(section, own)
        if second:
            typed["a"] = _second(original.a, second)
        changed_section = replace(original, **typed)
        return {section: _canonical(section, changed_section, self._recorded)}


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


def _typed(section: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of keys of a section, each of its type. Raises: UserError."""
    keys = {leaf: f"{section}.{leaf}" if section else leaf for leaf in values}
    return {leaf: schema.value(TYPES[keys[leaf]], v, keys[leaf]) for leaf, v in values.items()}


def _second(data: DataConfig | None, changes: Mapping[str, Any]) -> DataConfig | None:
    """The data set of A with changes: made of them where there was none, None without a name."""
    values = {**({} if data is None else vars(data)), **changes}
    if values.get("name") is None:
        return None
    return schema.build(DataConfig, values, unknown=unknown_key, prefix=f"{OPTIONAL}.")


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


# --- canonical form -----------------------------------------------------------------------------


def _canonical(name: str, section: Any, recorded: bool) -> Any:
    """The section of that name in its canonical form."""
    if name == "transfer":
        return _canonical_transfer(section)
    if name == "data":
        return _canonical_data(section)
    return _canonical_split(section, recorded) if name == "split" else section


@lru_cache(maxsize=CACHED)
def _canonical_transfer(transfer: TransferConfig) -> TransferConfig:
    variant = variants.parse(transfer.variant, n=transfer.n, target=transfer.target)
    pattern = "base" if variant.n == 0 else re.sub(r"\d+", "n", variants.label(variant))
    return TransferConfig(pattern, variant.n, variant.target, transfer.keep)


def _canonical_data(data: DataConfig) -> DataConfig:
    """The data, with the same factor of all channels as one number, and no mean of zeros."""
    scale = data.scale
    if isinstance(scale, tuple) and len({*scale}) == 1:
        data = replace(data, scale=scale[0])
    return replace(data, mean="none") if data.mean == (0, 0, 0) else data


def _canonical_split(split: SplitConfig, recorded: bool) -> SplitConfig:
    """The split, without the seed if its rule is not seeded."""
    if split.a is not None:
        split = replace(split, a=_canonical_data(split.a))
    if split.seed is None or _is_unknown(split, recorded) or split_rule(split.name).seeded:
        return split
    return replace(split, seed=None)


def _is_unknown(split: SplitConfig, recorded: bool) -> bool:
    """Whether its rule is code that a record names, which is not imported."""
    return recorded and plugins.is_own(split.name)


# --- fields that must agree ---------------------------------------------------------------------


def _outline(sections: Mapping[str, Any]) -> dict[str, Any]:
    """The sections without what no check asks for: which seed, halves and images these are."""
    return {**sections, "seed": 0, "split": _outlined(sections["split"])}


@lru_cache(maxsize=CACHED)
def _outlined(split: SplitConfig) -> SplitConfig:
    return replace(split, seed=None if split.seed is None else 0, digest=None)


def _check(config: RunConfig, recorded: bool) -> None:
    """Raises: UserError if sections contradict one another."""
    if not _is_unknown(config.split, recorded):
        _check_split_seed(config.split)
        _check_halves(config)
        _check_second(config)
    _check_images(config.data, "data")
    if config.split.a is not None:
        _check_images(config.split.a, OPTIONAL)
    _check_augmentation(config)
    _check_length(config.train)
    _check_momentum(config.train)
    _check_schedule(config.train)
    _check_devices(config)
    _check_kept_stages(config)


def _check_split_seed(split: SplitConfig) -> None:
    if split.seed is None and split_rule(split.name).seeded:
        raise UserError(
            f"missing split.seed: split={split.name} needs it, as "
            f"{commands.setting('split.seed', 0)}"
        )


def _check_images(data: DataConfig, group: str) -> None:
    if data.crop > data.size:
        raise UserError(f"{group}.crop={data.crop} must be at most {group}.size={data.size}")
    if 0 in (data.scale if isinstance(data.scale, tuple) else (data.scale,)):
        raise UserError(
            f"{group}.scale={_yaml(data.scale)} makes all images the same: choose another number"
        )
    if data.val is not None and (not data.val or data.val in (".", "..") or "/" in data.val):
        raise UserError(
            f"{group}.val={data.val} must be the plain name of a folder in {group}.root"
        )


def _check_augmentation(config: RunConfig) -> None:
    images = views.inputs(config)
    group = views.section(config, config.variant.target)
    seen = views.section(config, views.letter(config))
    if images.scales is not None and not images.crop <= images.scales[0] <= images.scales[1]:
        raise UserError(
            f"{group}.scales={_yaml(images.scales)} must be two sides in ascending order, both at "
            f"least {seen}.crop={images.crop}"
        )
    if images.pad and not images.one_size:
        raise UserError(
            f"{group}.pad={images.pad} surrounds images of one size: set {seen}.resize to warp or "
            f"crop, and {group}.scales to null"
        )
    if images.pad >= images.crop:
        raise UserError(
            f"{group}.pad={images.pad} must be below {seen}.crop={images.crop}: some crops would "
            "show nothing of their image"
        )


def _check_length(train: TrainConfig) -> None:
    if (train.total_steps is None) == (train.epochs is None):
        raise UserError(
            f"train.total_steps={_yaml(train.total_steps)} and train.epochs={_yaml(train.epochs)}: "
            "set exactly one of them, and the other to null"
        )


def _check_momentum(train: TrainConfig) -> None:
    if train.nesterov and train.momentum == 0:
        raise UserError("train.nesterov=true needs train.momentum above 0")


def _check_schedule(train: TrainConfig) -> None:
    check_drops(vars(train), "train")


def check_drops(train: Mapping[str, Any], group: str) -> None:
    """Raises: UserError for a schedule without the keys of its drops, or with drops out of order.

    `group` is where messages find the keys.
    """
    schedule, steps = train["schedule"], train["lr_steps"]
    needed = DROPS_OF[schedule]
    if any(train[key] is None for key in needed):
        keys = " and ".join(f"{group}.{key}" for key in needed)
        raise UserError(f"{group}.schedule={schedule} needs {keys}")
    if steps is not None and (not steps or list(steps) != sorted(set(steps))):
        shown = ",".join(map(str, steps))
        raise UserError(f"{group}.lr_steps=[{shown}] must be steps in ascending order")


def _check_devices(config: RunConfig) -> None:
    batch, devices = config.train.batch_size, config.runtime.devices
    if config.train.loss == "ranking" and devices > 1:
        raise UserError(
            f"train.loss={config.train.loss} compares the images of a batch with one another, "
            f"which runtime.devices={devices} would divide: set "
            f"{commands.setting('runtime.devices', 1)}"
        )
    if batch % devices:
        raise UserError(
            f"train.batch_size={batch} is the global batch and must be a multiple of "
            f"runtime.devices={devices}"
        )


def _check_kept_stages(config: RunConfig) -> None:
    if config.transfer.keep and config.variant.base not in variants.HALVES:
        raise UserError(
            f"transfer.keep={config.transfer.keep} copies stages after the cut, and "
            f"{variants.label(config.variant)} has no base network to copy from: choose AnB, BnB, "
            "AnB+ or BnB+"
        )


def _check_halves(config: RunConfig) -> None:
    halves = split_rule(config.split.name).halves
    for letter in variants.HALVES:
        if letter not in halves and letter in (config.variant.base, config.variant.target):
            raise UserError(
                f"split={config.split.name} has no half {letter}, which "
                f"{variants.label(config.variant)} needs: choose one of "
                f"{' '.join(variants.patterns_of(halves))}"
            )


def _check_second(config: RunConfig) -> None:
    rule, weights = split_rule(config.split.name), config.split.weights
    if rule.weights and weights is None:
        raise UserError(
            f"missing split.weights: split={config.split.name} needs the network that A is, as "
            f"{commands.setting('split.weights', 'torchvision:ResNet18_Weights.IMAGENET1K_V1')}, a "
            "file, or the folder of a finished run"
        )
    if rule.weights and config.variant.target == "A" and config.variant.n:
        raise UserError(
            f"{variants.label(config.variant)} has no images to learn: A of split="
            f"{config.split.name} is a network; choose one of base AnB BnB AnB+ BnB+ RnB"
        )
    if weights is not None and not rule.weights:
        raise UserError(
            f"split.weights={weights} is used only by split=pretrained: choose it, or omit "
            "split.weights"
        )
    needed = rule.second
    if needed and config.split.a is None:
        raise UserError(
            f"missing {OPTIONAL}: split={config.split.name} needs the data set of A, as "
            f"{commands.setting(OPTIONAL, 'cifar10')}"
        )
    if not needed and not rule.weights and config.split.a is not None:
        raise UserError(second_unused())


def _yaml(value: float | tuple[float, ...] | None) -> str:
    if isinstance(value, tuple):
        return f"[{','.join(map(str, value))}]"
    return "null" if value is None else str(value)
