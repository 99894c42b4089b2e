"""The published networks as records of a store, for everything that reads one.

Yosinski et al. 2014, from the logs that the authors released; the CSV files beside this one name
their source. Letters follow the paper. A network without a log is missing, and values that the logs
do not contain (seeds, digests, times) are None.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from transferlab.errors import UserError
from transferlab.experiment import variants
from transferlab.experiment.conf import CONF
from transferlab.experiment.keys import known_keys
from transferlab.experiment.metrics import METRICS

PREFIX = "published:"
NAMES = ("yosinski2014",)
METRIC = "top1_best10"  # of the paper's figures
RECIPES = {False: "yosinski2014", True: "yosinski2014_reduced"}
OUTPUTS = 1000  # of every network, also where its half has fewer classes
CLASSES, IMAGES = 1000, 1_281_167  # of ILSVRC 2012 for training, as its network for all classes
BATCH_SIZE = 256


@dataclass(frozen=True)
class PublishedNetwork:
    """A published network. `config` is flat, `record` as in `result.json`: None without a log."""

    id: str
    label: str
    config: Mapping[str, Any]
    target_base_id: str
    record: Mapping[str, Any] | None


def is_published(store: Path | str) -> bool:
    """Whether `store` names published networks, not a folder."""
    return named(store).startswith(PREFIX)


def named(store: Path | str) -> str:
    """`published:NAME`, also if a flag has made an absolute path of it."""
    return Path(store).name


def networks(store: str) -> tuple[PublishedNetwork, ...]:
    """All networks of `published:NAME`. Raises: UserError for an unknown name."""
    rows = _read(_name(store))
    targets = {_group(row): row["network"] for row in rows if row["label"].startswith("base")}
    return tuple(_network(row, targets) for row in rows)


def curves(store: str) -> tuple[dict[str, Any], ...]:
    """The published learning curves, a row a validation: network, step, top1, losses."""
    return tuple(
        {"id": row["network"], "step": int(row["step"])}
        | {"value": _number(row["top1"])}
        | {key: _number(row[key]) for key in ("val_loss", "train_loss")}
        for row in _read(f"{_name(store)}_curves")
    )


def _name(store: str) -> str:
    name = named(store).removeprefix(PREFIX)
    if name not in NAMES:
        known = " or ".join(PREFIX + known for known in NAMES)
        raise UserError(f"--store {named(store)} is unknown: choose {known}")
    return name


def _read(name: str) -> Sequence[Mapping[str, str]]:
    text = (resources.files("transferlab.results") / f"{name}.csv").read_text("utf-8")
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    return tuple(csv.DictReader(lines))


def _group(row: Mapping[str, str]) -> tuple[str, ...]:
    """The key that a network shares with the base network of its own target."""
    target = variants.parse(row["label"]).target
    return (row["split"], row["split_seed"], row["per_class"], target)


def _network(row: Mapping[str, str], targets: Mapping[tuple[str, ...], str]) -> PublishedNetwork:
    record = None if row["log"] == "none" else _record(row)
    return PublishedNetwork(
        row["network"], row["label"], _config(row), targets[_group(row)], record
    )


def _record(row: Mapping[str, str]) -> dict[str, Any]:
    metrics = {key: float(row[key]) for key in METRICS if key in row}
    return {
        "metrics": metrics | {"chance": 1 / int(row["classes"])},
        "learned": row["learned"] == "true",
        "base_id": row["base_network"] or None,
        "num_classes": int(row["classes"]),
        "train_images": int(row["train_images"]),
        "val_images": int(row["val_images"]),
        "data_classes": CLASSES,
        "data_images": IMAGES,
        "steps": int(row["steps"]),
        "images": int(row["steps"]) * BATCH_SIZE,
    }


def _config(row: Mapping[str, str]) -> dict[str, Any]:
    """Every key of a run; the recipe is that of `conf/`, which is taken from the same release."""
    variant = variants.parse(row["label"])
    reduced = bool(row["per_class"])
    plus = "+" if variant.fine_tuned else ""
    of_network = {
        "split.name": row["split"],
        "split.seed": _int(row["split_seed"]),
        "data.per_class": _int(row["per_class"]),
        "model.num_outputs": None if row["split"] == "whole" else OUTPUTS,
        "transfer.variant": f"{variant.base}n{variant.target}{plus}" if variant.n else "base",
        "transfer.n": variant.n,
        "transfer.target": variant.target,
        "transfer.keep": 0,
    }
    return {**dict.fromkeys(known_keys()), **_recipe(RECIPES[reduced]), **of_network}


@cache
def _recipe(train: str) -> Mapping[str, Any]:
    keys: dict[str, Any] = {}
    for group, choice in (("data", "imagenet"), ("model", "alexnet"), ("train", train)):
        section = CONF.section(group, choice)
        keys |= {f"{group}.{leaf}": value for leaf, value in section.items()}
    return keys


def _number(cell: str) -> float | None:
    return float(cell) if cell else None


def _int(cell: str) -> int | None:
    return int(cell) if cell else None
