"""One run as frozen dataclasses, built strictly from a plain dict, and the run id.

The fields mirror `conf/`, group by group; every default lives there and none here. Strings that
name a thing on disk (`data.root`, `data.val`, `split.groups`) say where it lies on this machine;
the `digest` fields beside them, filled in by `resolve`, say what it is, and only they count.
"""

import dataclasses
import difflib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from operator import attrgetter
from pathlib import Path
from typing import Any, Literal, get_type_hints

from transferlab.errors import UserError
from transferlab.experiment import schema, variants
from transferlab.experiment.variants import Variant

FORMAT = 1  # of config.json and result.json; raised when an older reader would misread them
# field -> the value that reproduces the runs made before the field existed (style, section 3)
NEUTRAL: dict[str, object] = {"runtime.compile": False, "runtime.memory_gb": None}
# Where a thing lies on this machine, or what to do about a bad file: a finished run's numbers do
# not depend on it. What they do depend on is in data.digest and split.digest.
PLACES = ("split.groups", "data.root", "data.val", "data.unreadable")
NO_SPLIT = "no split is given: choose +split=random, +split=manmade_natural or +split=whole"

# The least value of a number that is given
LEAST = {
    "seed": 0,
    "split.seed": 0,
    "data.size": 1,
    "data.crop": 1,
    "data.per_class": 1,
    "model.num_outputs": 2,
    "transfer.keep": 0,
    "train.batch_size": 1,
    "train.total_steps": 1,
    "train.lr_step": 1,
    "train.val_every": 1,
    "train.val_batch_size": 1,
    "train.lr": 0,
    "train.momentum": 0,
    "train.weight_decay": 0,
    "train.lr_factor": 0,
    "train.bias_lr_factor": 0,
    "train.bias_decay_factor": 0,
    "train.warmup": 0,
    "runtime.devices": 1,
    "runtime.workers": 0,
    "runtime.threads": 1,
    "runtime.checkpoint_every_s": 0,
    "runtime.checkpoint_least_s": 0,
}


@dataclass(frozen=True)
class SplitConfig:
    name: str
    seed: int | None
    groups: str | None
    digest: str | None


@dataclass(frozen=True)
class DataConfig:
    name: str
    root: str | None
    val: str | None
    holdout: float | None
    per_class: int | None
    size: int
    resize: Literal["warp", "crop"]
    crop: int
    mean: Literal["base", "target", "none"]
    scale: float
    unreadable: Literal["error", "skip"]
    digest: str | None


@dataclass(frozen=True)
class ModelConfig:
    name: str
    num_outputs: int | None


@dataclass(frozen=True)
class TransferConfig:
    variant: str
    n: int | None
    target: str | None
    keep: int


@dataclass(frozen=True)
class TrainConfig:
    batch_size: int
    total_steps: int | None
    epochs: float | None
    lr: float
    schedule: Literal["step", "cosine"]
    warmup: float
    lr_step: int | None
    lr_factor: float | None
    momentum: float
    nesterov: bool
    rate_in_velocity: bool
    weight_decay: float
    bias_lr_factor: float
    bias_decay_factor: float
    reshuffle: bool
    mirror: bool
    precision: Literal["float32", "bfloat16"]
    channels_last: bool
    val_every: int | None
    val_batch_size: int


@dataclass(frozen=True)
class RuntimeConfig:
    store: str
    cache: str
    accelerator: str
    devices: int
    workers: int | None
    threads: int | None
    compile: bool
    memory_gb: float | None
    logger: Literal["csv", "tensorboard", "wandb"]
    wandb_project: str
    checkpoint_every_s: float
    checkpoint_least_s: float


@dataclass(frozen=True)
class RunConfig:
    seed: int
    split: SplitConfig
    data: DataConfig
    model: ModelConfig
    transfer: TransferConfig
    train: TrainConfig
    runtime: RuntimeConfig

    @property
    def variant(self) -> Variant:
        """What `transfer.variant`, `transfer.n` and `transfer.target` say together."""
        return _variant(self.transfer)

    @property
    def label(self) -> str:
        """`A3B`; with stages kept behind the cut `A3B-keep2`."""
        keep = f"-keep{self.transfer.keep}" if self.transfer.keep else ""
        return variants.label(self.variant) + keep

    @property
    def split_label(self) -> str:
        """`random0`, `manmade_natural`."""
        return self.split.name + ("" if self.split.seed is None else str(self.split.seed))


def build_config(raw: Mapping[str, Any]) -> RunConfig:
    """The frozen, canonical config of one run.

    Raises: UserError for a key that is unknown, missing or of the wrong type, with the full key,
    and for values that contradict one another.
    """
    if not raw.get("split"):
        raise UserError(NO_SPLIT)
    config = schema.build(RunConfig, _with_neutral_values(raw), unknown=unknown_key)
    _check(config)
    return _canonical(config)


def vary_config(config: RunConfig, values: Mapping[str, Any]) -> RunConfig:
    """The config with some keys, given by their full names, changed: as strict as `build`.

    Only what changes is looked at and built anew, so that a large grid is quick.

    Raises: UserError as `build` does.
    """
    changes: dict[str, dict[str, Any]] = {}
    for key, value in values.items():
        if key not in _TYPES:
            raise UserError(unknown_key(key))
        group, _, leaf = key.rpartition(".")
        changes.setdefault(group, {})[leaf] = schema.value(_TYPES[key], value, key)
    whole = vars(config) | changes.pop("", {})
    for group, some in changes.items():
        section = whole[group]
        whole[group] = type(section)(**(vars(section) | some))
    varied = RunConfig(**whole)
    _check(varied)
    return _canonical(varied)


def known_keys() -> list[str]:
    """Every field of a run's config under its full name, `train.lr` for instance."""
    return list(_TYPES)


def unknown_key(key: str) -> str:
    """The message for a key that no run has: the nearest one there is, and where it lives."""
    names = known_keys()
    leaf = key.rpartition(".")[2]
    near = [name for name in names if name.rpartition(".")[2] == leaf]
    near = near or difflib.get_close_matches(key, names, n=1, cutoff=0.5)
    near = near or [
        name
        for name in names
        if difflib.get_close_matches(leaf, [name.rpartition(".")[2]], n=1, cutoff=0.6)
    ]
    if not near:
        return f"{key} is not a key of a run: python -m transferlab --cfg job lists them all"
    group = near[0].partition(".")[0]
    place = f"conf/{group}/" if "." in near[0] else "conf/config.yaml"
    return f"{key} is not a key of a run: did you mean {near[0]} (it lives in {place})?"


def total_steps(config: RunConfig, train_images: int) -> int:
    """How many steps the recipe has on so many images."""
    if config.train.total_steps is not None:
        return config.train.total_steps
    assert config.train.epochs is not None
    return math.ceil(config.train.epochs * train_images / config.train.batch_size)


def flatten(config: RunConfig) -> dict[str, Any]:
    """Every field under its full name."""
    return dict(zip(_TYPES, _LEAVES(config), strict=True))


def config_dict(config: RunConfig) -> dict[str, Any]:
    """The nested dict from which `build` makes the same config again."""
    return dataclasses.asdict(config)


# --- canonical form and checks ------------------------------------------------------------------

# What stays the same through a plan is worked out once: a study may have 100,000 runs
_HINTS = get_type_hints(RunConfig)
FIELDS = {
    name: get_type_hints(kind) for name, kind in _HINTS.items() if dataclasses.is_dataclass(kind)
}
_TYPES = {
    f"{name}.{leaf}".rstrip("."): hint
    for name, kind in _HINTS.items()
    for leaf, hint in FIELDS.get(name, {"": kind}).items()
}
_LEAVES = attrgetter(*_TYPES)
_LEAST = tuple((key, attrgetter(key), least) for key, least in LEAST.items())


@lru_cache(maxsize=65_536)
def _variant(chosen: TransferConfig) -> Variant:
    return variants.parse(chosen.variant, n=chosen.n, target=chosen.target)


@lru_cache(maxsize=65_536)
def _canonical_transfer(chosen: TransferConfig) -> TransferConfig:
    variant = _variant(chosen)
    pattern = "base" if variant.n == 0 else re.sub(r"\d+", "n", variants.label(variant))
    return TransferConfig(pattern, variant.n, variant.target, chosen.keep)


def _canonical(config: RunConfig) -> RunConfig:
    transfer, split = _canonical_transfer(config.transfer), config.split
    if split.seed is not None and split.name in ("manmade_natural", "whole"):
        split = replace(split, seed=None)
    if transfer == config.transfer and split is config.split:
        return config
    return replace(config, transfer=transfer, split=split)


def _check(config: RunConfig) -> None:
    data, train, transfer, runtime = config.data, config.train, config.transfer, config.runtime
    if config.split.name == "random" and config.split.seed is None:
        raise UserError("split.seed is not given: split=random needs one, split.seed=0")
    for key, get, least in _LEAST:
        number = get(config)
        if number is not None and number < least:
            raise UserError(f"{key}={number} is too small: {least} or more")
    if data.crop > data.size:
        raise UserError(f"data.crop={data.crop} is larger than data.size={data.size}")
    if data.holdout is not None and not 0 < data.holdout < 1:
        raise UserError(f"data.holdout={data.holdout} is not a part of a class: between 0 and 1")
    if data.val is not None and (not data.val or data.val in (".", "..") or "/" in data.val):
        raise UserError(f"data.val={data.val} is not the plain name of a folder in data.root")
    if (train.total_steps is None) == (train.epochs is None):
        raise UserError("give exactly one of train.total_steps and train.epochs; null the other")
    if train.epochs is not None and train.epochs <= 0:
        raise UserError(f"train.epochs={train.epochs} is too small: more than 0")
    if data.scale == 0:
        raise UserError("data.scale=0 makes every image the same: need another number")
    if train.momentum >= 1:
        raise UserError(f"train.momentum={train.momentum} never forgets: below 1")
    if train.nesterov and train.momentum == 0:
        raise UserError("train.nesterov=true needs train.momentum above 0")
    if train.warmup >= 1:
        raise UserError(f"train.warmup={train.warmup} is not a part of the steps: below 1")
    if train.schedule == "step" and (train.lr_step is None or train.lr_factor is None):
        raise UserError("train.schedule=step needs train.lr_step and train.lr_factor")
    if runtime.memory_gb is not None and runtime.memory_gb <= 0:
        raise UserError(f"runtime.memory_gb={runtime.memory_gb} is too small: more than 0")
    if train.batch_size % runtime.devices:
        raise UserError(
            f"train.batch_size={train.batch_size} is the global batch and cannot be shared out "
            f"evenly over runtime.devices={runtime.devices}"
        )
    if transfer.keep and config.variant.base not in variants.HALVES:
        raise UserError(
            f"transfer.keep={transfer.keep} copies stages behind the cut and "
            f"{variants.label(config.variant)} has none to copy from: use AnB, BnB and the like"
        )
    if config.split.name == "whole" and "A" in (config.variant.base, config.variant.target):
        raise UserError(
            f"split=whole has no half A: {variants.label(config.variant)} needs one; "
            "use baseB, BnB, BnB+ or RnB"
        )


def _with_neutral_values(raw: Mapping[str, Any]) -> dict[str, Any]:
    filled = {k: dict(v) if isinstance(v, Mapping) else v for k, v in raw.items()}
    for key, value in NEUTRAL.items():
        group, _, leaf = key.rpartition(".")
        place = filled.get(group) if group else filled
        if isinstance(place, dict):
            place.setdefault(leaf, value)
    return filled


def cache_folder(config: RunConfig) -> Path:
    """Where mean images and downloads are kept."""
    return Path(config.runtime.cache).expanduser()
