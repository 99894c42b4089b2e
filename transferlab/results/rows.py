"""A finished run as a row: its columns, from a config and a record, with every value checked.

A record with a value of the wrong type, or an accuracy out of range, has no row. Nothing is
compared or averaged here.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from transferlab import store
from transferlab.errors import UserError
from transferlab.experiment import validations
from transferlab.experiment.config import RunConfig, TransferConfig
from transferlab.experiment.identity import run_id
from transferlab.experiment.keys import LISTS, OPTIONAL, TYPES, flatten
from transferlab.experiment.metrics import MEASURES, METRICS, STATISTICS, TOP1, leading, measure_of
from transferlab.experiment.schema import alternatives
from transferlab.experiment.variables import displayed
from transferlab.runtime.provenance import VERSIONS
from transferlab.runtime.reading import shown
from transferlab.store.schemas import LARGEST

OF_ONE_LABEL = tuple(metric for metric in METRICS if measure_of(metric) is TOP1)
OF_SEVERAL = tuple(metric for metric in METRICS if measure_of(metric) is not TOP1)
GUESSES = tuple(measure.guess for measure in MEASURES if measure.guess is not None)
FRACTIONS = (*METRICS, *GUESSES, "chance")
BEST10 = tuple(f"{measure.name}_best10" for measure in MEASURES)
# Data sets whose root is where their archive is unpacked
ARCHIVES = ("cifar10", "cifar100", "voc2007")
HEAD: dict[str, type] = {
    "id": str, "label": str, "variant": str, "base": str, "target": str, "n": int,
    "fine_tuned": bool, "split": str, "split_seed": int, "data": str, "data_set": str, "model": str,
    "seed": int,
    **dict.fromkeys((*OF_ONE_LABEL, "chance"), float), "learned": bool, "target_base_id": str,
}  # fmt: skip
OTHER_METRICS = dict.fromkeys(
    (*OF_SEVERAL, *GUESSES, "val_loss_final", "train_loss_final", "train_accuracy_final"), float
)
PROVENANCE: dict[str, type] = {
    "base_id": str, "prefix_unchanged": bool, "weights_sha256": str, "num_classes": int,
    "train_images": int, "val_images": int, "data_classes": int, "data_images": int, "steps": int,
    "images": int, "time_s": float, "images_per_s": float, "pack_size": int, "finished": str,
    "commit": str, "dirty": bool, "host": str, "device": str, "threads": int, "cpu_count": int,
}  # fmt: skip
COST: dict[str, type] = {  # of a run by itself
    "learning_parameters": int, "training_macs": int, "step_s": float, "peak_bytes": int,
    "step_images": int,
}  # fmt: skip
MAY_BE_EMPTY = ("base", "split_seed", "seed", *OF_ONE_LABEL)  # of HEAD


@lru_cache(maxsize=1)
def kinds() -> Mapping[str, type]:
    """The columns of a row, each with its type; of `HEAD`, only MAY_BE_EMPTY may be empty."""
    fields = {key: kind for key, kind in _config_kinds().items() if key != "seed"}
    versions = {f"versions.{name}": str for name in VERSIONS}
    return {
        **HEAD,
        **fields,
        **OTHER_METRICS,
        **PROVENANCE,
        **COST,
        "skipped": int,
        "validations": int,
        **versions,
        "path": str,
    }


def row(
    config: Mapping[str, Any],
    record: Mapping[str, Any],
    *,
    identity: str,
    label: str,
    target_base_id: str,
    path: str,
) -> dict[str, Any]:
    """One row of the table, from a flat config and the content of `result.json`.

    The metrics are those of one kind of labels: see `experiment.metrics`. `top1_best10` is empty
    where the curve is too short for it, as older records are not.

    Raises: UserError for a value of the wrong kind.
    """
    number = _validations(config, record)
    second = config["transfer.target"] == "A" and config[f"{OPTIONAL}.name"] is not None
    own = OPTIONAL if second else "data"
    variant = str(config["transfer.variant"])
    metrics, versions = record["metrics"], record.get("versions") or {}
    cost = record.get("cost") or {}
    lists = {key: _text(config[key]) for key in LISTS}
    cells = {
        **config,
        **lists,
        "id": identity,
        "label": label,
        "variant": variant,
        "base": None if variant == "base" else variant[0],
        "target": config["transfer.target"],
        "n": config["transfer.n"],
        "fine_tuned": variant.endswith("+"),
        "split": config["split.name"],
        "split_seed": config["split.seed"],
        "data": config[f"{own}.name"],
        "data_set": data_set(config[f"{own}.name"], config[f"{own}.root"]),
        "model": config["model.name"],
        **{key: metrics.get(key) for key in (*METRICS, *OTHER_METRICS, "chance")},
        **({} if (number or 0) >= validations.LEAST else dict.fromkeys(BEST10)),
        "learned": record.get("learned"),
        "target_base_id": target_base_id,
        **{key: record.get(key) for key in PROVENANCE},
        **{key: cost.get(key) for key in COST},
        "skipped": len(record.get("skipped") or ()),
        "validations": number,
        **{f"versions.{name}": versions.get(name) for name in VERSIONS},
        "path": path,
    }
    return _complete({key: _checked(key, kind, cells[key]) for key, kind in kinds().items()})


def from_text(cells: Mapping[str, str | None]) -> dict[str, Any]:
    """A row from text, as CSV has it; a missing or empty cell is None.

    Raises: UserError for a value of the wrong kind.
    """
    return _complete(
        {key: _checked(key, kind, _parsed(kind, cells.get(key))) for key, kind in kinds().items()}
    )


def read(folder: Path) -> dict[str, Any] | None:
    """The row of a finished run; its `path` is the name of the folder. None for a network that was
    trained elsewhere, which has no accuracy.

    Raises: UserError if its record is damaged, or was deleted.
    """
    finished = store.read_finished(folder)
    if finished is None:
        raise UserError("it was deleted while the store was read")
    run, record = finished
    if run.config.is_pretrained:
        return None
    return row(
        flatten(run.config),
        record,
        identity=run.id,
        label=run.label,
        target_base_id=_target_base_id(run.config),
        path=folder.name,
    )


def schema() -> pa.Schema:
    """The columns of a table of rows."""
    types = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
    return pa.schema([(key, types[kind]) for key, kind in kinds().items()])


def table(rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """The rows as a table."""
    return pa.Table.from_pylist(list(rows), schema=schema())


def _validations(config: Mapping[str, Any], record: Mapping[str, Any]) -> int | None:
    """How often the run was validated; None where the record does not tell."""
    steps, images = record.get("steps"), record.get("train_images")
    if type(steps) is not int or type(images) is not int:
        return None
    every, batch_size = config["train.val_every"], config["train.batch_size"]
    return validations.count(steps=steps, every=every, images=images, batch_size=batch_size)


def data_set(name: str, root: str | None) -> str:
    """The name of the folder of images; where it is unknown or only contains the archive, `name`"""
    folder = "" if root is None or name in ARCHIVES else Path(displayed(root)).name.strip(".")
    return folder or name


def _target_base_id(config: RunConfig) -> str:
    """The id of the base network of the run's own target, all else the same."""
    transfer = TransferConfig("base", 0, config.variant.target, 0)
    return _id(replace(config, transfer=transfer))


_id = lru_cache(maxsize=65_536)(run_id)


def _parsed(kind: type, text: str | None) -> object:
    """The value that a cell shows; the text itself if it shows none of that kind."""
    if not text:
        return None
    if kind is bool:
        return {"True": True, "False": False}.get(text, text)
    try:
        return kind(text)
    except ValueError:
        return text


def _complete(cells: dict[str, Any]) -> dict[str, Any]:
    """The row. Raises: UserError if it lacks a metric that all runs of its kind of labels have."""
    measure = leading(cells) or TOP1
    for metric in (f"{measure.name}_{statistic}" for statistic in STATISTICS):
        if metric not in BEST10 and cells[metric] is None:
            raise UserError(f"{metric}=null is not of the type float")
    return cells


def _checked(key: str, kind: type, value: object) -> object:
    if value is None and (key not in HEAD or key in MAY_BE_EMPTY):
        return None
    if kind is float and type(value) is int:
        value = float(value)  # type: ignore[arg-type]
    if type(value) is not kind:
        raise UserError(f"{key}={shown(value)} is not of the type {kind.__name__}")
    if kind is int and abs(value) > LARGEST:  # type: ignore[operator, arg-type]
        raise UserError(f"{key}={value} is beyond 64 bits")
    if kind is float and not math.isfinite(value):  # type: ignore[arg-type]
        raise UserError(f"{key}={value} is not finite")
    if key in FRACTIONS and not 0 <= value <= 1:  # type: ignore[operator]
        raise UserError(f"{key}={value} is not an accuracy: must be between 0 and 1")
    return value


@lru_cache(maxsize=1)
def _config_kinds() -> Mapping[str, type]:
    """Every key of a run's config and the kind of its values, None aside."""
    return {key: str if key in LISTS else _kind(hint) for key, hint in TYPES.items()}


def _kind(hint: Any) -> type:
    plain = {alternative for alternative, _ in alternatives(hint)}
    return next((kind for kind in (float, int, bool) if kind in plain), str)


def _text(value: object) -> str | None:
    """A list as its values, as they are written in a cell; another value as it is."""
    if isinstance(value, tuple | list):
        return " ".join(map(str, value))
    return None if value is None else str(value)
