"""The run id: a digest of everything in a config that affects a result.

`runtime` never does. Neither a field that is added later nor a value without effect may change the
id of an earlier run.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import fields, replace
from functools import lru_cache
from typing import Any

from transferlab.experiment import variants, views
from transferlab.experiment.config import (
    DataConfig,
    ModelConfig,
    RunConfig,
    SplitConfig,
    TrainConfig,
    TransferConfig,
)

ID_DIGITS = 12
# Of the rules by which a config becomes numbers. A change that gives the same config other weights
# or accuracies increases it, here and in conf/config.yaml: ids change, so that no earlier run is
# taken for one of the new rules, and no table averages the two
REVISION = 2
# Key -> the value that reproduces the runs made before the key existed. A default in conf/ may
# change; a neutral value never does
NEUTRAL: dict[str, object] = {
    "revision": 1,
    "data.decode": "exact",
    "data.scales": None,
    "data.pad": 0,
    "data.pca": 0.0,
    "data.grey": False,
    "model.cuts": "stage",
    "model.reduction": None,
    "split.a": None,
    "split.weights": None,
    "train.lr_steps": None,
    "train.norm_lr_factor": 1.0,
    "train.norm_decay_factor": 1.0,
    "train.loss": "cross_entropy",
    "runtime.compile": False,
    "runtime.memory_gb": None,
    "runtime.features_gb": None,
}
# Paths on this machine, and the handling of damaged files: the content is identified by data.digest
# and split.digest
_OF_DATA = ("root", "val", "unreadable")
NOT_IN_ID = (
    "split.groups",
    "split.weights",  # identified by split.a.digest, wherever they come from
    *(f"data.{key}" for key in _OF_DATA),
    *(f"split.a.{key}" for key in _OF_DATA),
)

# The keys of a drop of the learning rate, and those that each schedule uses
DROPS_OF: dict[str, tuple[str, ...]] = {
    "cosine": (),
    "step": ("lr_step", "lr_factor"),
    "steps": ("lr_steps", "lr_factor"),
}
DROPS = ("lr_step", "lr_steps", "lr_factor")

CACHED = 65_536  # sections, or configs, of which something is remembered


def base_of(config: RunConfig) -> RunConfig | None:
    """The run from whose network this one copies; None for base networks and random prefixes."""
    base = config.variant.base
    if base is None or base == variants.RANDOM:
        return None
    sections = {"transfer": _base_network(base), "model": uncut(config.model)}
    of_base = config.with_sections(sections)
    return of_weights(of_base) if of_base.is_pretrained else of_base


@lru_cache(maxsize=CACHED)
def _base_network(letter: str) -> TransferConfig:
    return TransferConfig(variant="base", n=0, target=letter, keep=0)


@lru_cache(maxsize=CACHED)
def uncut(model: ModelConfig) -> ModelConfig:
    """The model of a base network, which has no cut."""
    return replace(model, cuts="stage")


def of_weights(config: RunConfig) -> RunConfig:
    """The config of a network that is given, without what only its dependents have."""
    split, seen = config.split, config.split.a
    if seen is None or seen.digest is None:
        return config
    model = replace(config.model, num_outputs=None, cuts="stage")
    return replace(config, seed=0, data=seen, model=model, split=replace(split, digest=seen.digest))


def run_id(config: RunConfig) -> str:
    """12 hexadecimal digits, equal for all spellings of a run, different for different runs.

    A sha256 over the canonical JSON of everything but `runtime` and `NOT_IN_ID`, and over the id of
    the base run. A field at its value in `NEUTRAL` is left out, so that a new field does not change
    the ids of old runs. Needs a resolved config, with both digests.
    """
    return Identity(config).run_id(config.transfer)


class Identity:
    """The ids of a run and of all that differ from it in `transfer` only, with the same halves as
    base and target: as `run_id`. `base` has the id and config of their base network, if any."""

    def __init__(self, config: RunConfig) -> None:
        assert config.data.digest and config.split.digest, "an unresolved config has no id"
        # Weights that are given are the identity of their network: no recipe made it here
        self._is_given = config.is_pretrained
        base = None if self._is_given else base_of(config)
        self.base = None if base is None else (_base_id(base), base)
        parts = _parts_of_weights(of_weights(config)) if self._is_given else self._parts(config)
        self._digest = hashlib.sha256(("{" + ",".join(filter(None, parts))).encode())

    def run_id(self, transfer: TransferConfig) -> str:
        """The id of the run with this section."""
        digest = self._digest.copy()
        rest = "" if self._is_given else f",{_section_json('transfer', transfer)}"
        digest.update(f"{rest}}}".encode())
        return digest.hexdigest()[:ID_DIGITS]

    def _parts(self, config: RunConfig) -> list[str]:
        """In the order of their names, so that with `transfer` this is one sorted object."""
        split, data, train = _collapsed(config)
        return [
            f'"base_id":{json.dumps(self.base and self.base[0])}',
            _section_json("data", data),
            _section_json("model", config.model),
            _value_json("revision", config.revision),
            _value_json("seed", config.seed),
            _section_json("split", split),
            _section_json("train", train),
        ]


def _parts_of_weights(config: RunConfig) -> list[str]:
    return [
        _section_json("model", config.model),
        _value_json("revision", config.revision),
        _section_json("split", _collapsed(config)[0]),
    ]


@lru_cache(maxsize=CACHED)
def _base_id(base: RunConfig) -> str:
    return run_id(base)


@lru_cache(maxsize=CACHED)
def _section_json(name: str, section: Any) -> str:
    return _canonical_json(_items(name, section))


@lru_cache(maxsize=CACHED)
def _value_json(key: str, value: int) -> str:
    return _canonical_json([(key, value)])


def _items(name: str, section: Any) -> Iterator[tuple[str, Any]]:
    """Key -> value of a section, and of a section in it, without what is not part of the id."""
    for field in fields(section):
        key, value = f"{name}.{field.name}", getattr(section, field.name)
        if isinstance(value, DataConfig):
            yield from _items(key, value)
        elif key not in NOT_IN_ID:
            yield key, value


def _canonical_json(items: Iterable[tuple[str, Any]]) -> str:
    """A part of the JSON that the id is a digest of: no braces, keys sorted, no neutral values."""
    neutral = NEUTRAL.items()
    kept = {key: value for key, value in items if (_twin(key), value) not in neutral}
    return json.dumps(kept, sort_keys=True, separators=(",", ":"), allow_nan=False)[1:-1]


def _collapsed(config: RunConfig) -> tuple[SplitConfig, DataConfig, TrainConfig]:
    """Its split, data and training, with one value for settings that have the same effect, or
    none."""
    split, data, train = config.split, config.data, config.train
    data = _seen(config, data)
    if split.a is not None:
        split = replace(split, a=_seen(config, split.a))
    return split, data, _without_unused_drops(train)


@lru_cache(maxsize=CACHED)
def _without_unused_drops(train: TrainConfig) -> TrainConfig:
    unused: dict[str, Any] = {key: None for key in DROPS if key not in DROPS_OF[train.schedule]}
    return replace(train, **unused)


def _twin(key: str) -> str:
    """The key of `data` of one of the data set of A, whose neutral values it has."""
    return key.replace("split.a.", "data.", 1)


def _seen(config: RunConfig, data: DataConfig) -> DataConfig:
    """A data config of the run. Whose mean is subtracted is a question only of a target with a base
    of another letter."""
    if data.mean != "base":
        return data
    variant = config.variant
    crosses = variant.base not in (None, variants.RANDOM, variant.target)
    if not (crosses and data is views.data_of(config, variant.target)):
        return _with_own_mean(data)  # no other half has a mean
    return data


@lru_cache(maxsize=CACHED)
def _with_own_mean(data: DataConfig) -> DataConfig:
    return replace(data, mean="target")
