"""One run as frozen dataclasses, built strictly from a plain dict, and the run id.

The fields mirror `conf/`, group by group; every default lives there and none here. Strings that
name a thing on disk (`data.root`, `data.val`, `split.groups`) say where it lies on this machine;
the `digest` fields beside them, filled in by `resolve`, say what it is, and only they count.
"""

import dataclasses
import difflib
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_type_hints

from transferlab import strict, variants
from transferlab.errors import UserError
from transferlab.variants import Variant

FORMAT = 1  # of config.json and result.json; raised when an older reader would misread them
ID_DIGITS = 12
# field -> the value that reproduces the runs made before the field existed (style, section 3)
NEUTRAL: dict[str, object] = {}
# Where a thing lies on this machine, or what to do about a bad file: a finished run's numbers do
# not depend on it. What they do depend on is in data.digest and split.digest.
PLACES = ("split.groups", "data.root", "data.val", "data.unreadable")

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
        chosen = self.transfer
        return variants.parse(chosen.variant, n=chosen.n, target=chosen.target)

    @property
    def label(self) -> str:
        """`A3B`; with stages kept behind the cut `A3B-keep2`."""
        keep = f"-keep{self.transfer.keep}" if self.transfer.keep else ""
        return variants.label(self.variant) + keep

    @property
    def split_label(self) -> str:
        """`random0`, `manmade_natural`."""
        return self.split.name + ("" if self.split.seed is None else str(self.split.seed))


def build(raw: Mapping[str, Any]) -> RunConfig:
    """The frozen, canonical config of one run.

    Raises: UserError for a key that is unknown, missing or of the wrong type, with the full key,
    and for values that contradict one another.
    """
    if not raw.get("split"):
        raise UserError("no split is given: choose +split=random or +split=manmade_natural")
    config = strict.build(RunConfig, _with_neutral_values(raw), unknown=unknown_key)
    _check(config)
    return _canonical(config)


def known_keys() -> list[str]:
    """Every field of a run's config under its full name, `train.lr` for instance."""
    keys = []
    for name, kind in get_type_hints(RunConfig).items():
        if dataclasses.is_dataclass(kind):
            keys += [f"{name}.{field.name}" for field in dataclasses.fields(kind)]
        else:
            keys.append(name)
    return keys


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


def base_of(config: RunConfig) -> RunConfig | None:
    """The run whose network gives this run its prefix; None for base networks and for `random`."""
    base = config.variant.base
    if base is None or base == variants.RANDOM:
        return None
    transfer = TransferConfig(variant="base", n=0, target=base, keep=0)
    return _canonical(replace(config, transfer=transfer))


def run_id(config: RunConfig) -> str:
    """12 hexadecimal digits: one id for all spellings of one run, another for every other run.

    A sha256 over the canonical JSON of everything but `runtime` and `PLACES`, and over the id of
    the base run. A field with its value in `NEUTRAL` is left out, so that a new field does not
    rename old runs. Needs a resolved config: both digests must be there.
    """
    assert config.data.digest and config.split.digest, "an unresolved config has no id"
    base = base_of(config)
    science = {
        key: value
        for key, value in flat(_collapsed(config)).items()
        if not key.startswith("runtime.") and key not in PLACES
        if not (key in NEUTRAL and NEUTRAL[key] == value)
    }
    science["base_id"] = None if base is None else run_id(base)
    text = json.dumps(science, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:ID_DIGITS]


def flat(config: RunConfig) -> dict[str, Any]:
    """Every field under its full name."""
    return dict(_items(dataclasses.asdict(config)))


def to_dict(config: RunConfig) -> dict[str, Any]:
    """The nested dict from which `build` makes the same config again."""
    return dataclasses.asdict(config)


# --- canonical form and checks ------------------------------------------------------------------


def _collapsed(config: RunConfig) -> RunConfig:
    """The config with one value for settings that come to the same, or to nothing."""
    data, train = config.data, config.train
    if data.mean == "base" and config.variant.base in (
        None,
        variants.RANDOM,
        config.variant.target,
    ):
        data = replace(data, mean="target")  # there is but one half
    if train.schedule == "cosine":
        train = replace(train, lr_step=None, lr_factor=None)
    return replace(config, data=data, train=train)


def _canonical(config: RunConfig) -> RunConfig:
    variant = config.variant
    pattern = "base" if variant.n == 0 else re.sub(r"\d+", "n", variants.label(variant))
    transfer = TransferConfig(pattern, variant.n, variant.target, config.transfer.keep)
    split = config.split
    if split.name == "manmade_natural":
        split = replace(split, seed=None)
    return replace(config, transfer=transfer, split=split)


def _check(config: RunConfig) -> None:
    data, train, transfer, runtime = config.data, config.train, config.transfer, config.runtime
    if config.split.name == "random" and config.split.seed is None:
        raise UserError("split.seed is not given: split=random needs one, split.seed=0")
    values = flat(config)
    for key, least in LEAST.items():
        number = values[key]
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


def _items(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _items(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _with_neutral_values(raw: Mapping[str, Any]) -> dict[str, Any]:
    filled = {k: dict(v) if isinstance(v, Mapping) else v for k, v in raw.items()}
    for key, value in NEUTRAL.items():
        group, _, leaf = key.rpartition(".")
        place = filled.get(group) if group else filled
        if isinstance(place, dict):
            place.setdefault(leaf, value)
    return filled
