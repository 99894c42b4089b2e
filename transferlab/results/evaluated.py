"""The evaluations of finished runs as one pandas table, read from the folders of the runs.

An evaluation of one run is a row; an average is a row, and one for each of its runs below it, so
that every error stands beside that of the average. Records of other weights than the run has now
answer nothing about it, and are listed with the damaged ones.
"""

import json
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd

from transferlab.results.rows import data_set
from transferlab.results.sources import StoreContent
from transferlab.runtime.reading import Damaged, Unreadable
from transferlab.store import evaluations, reader, schemas
from transferlab.store.reader import Values

HEAD = ("evaluation", "label", "id", "model", "runs", "protocol", "asked", "data_set", "images")
TAIL = ("settings", "skipped", "time_s", "device", "finished", "kept_with", "path")
RUN = ["id", "label", "path", "weights_sha256"]
METRICS = ("top1", "top5", "loss", "map11", "map")  # the first columns of metrics; then others

Fault = Damaged | Unreadable


def empty() -> pd.DataFrame:
    """The table of no evaluation."""
    return pd.DataFrame(columns=[*HEAD, *TAIL])


def read(sources: Iterable[StoreContent]) -> tuple[pd.DataFrame, list[Fault]]:
    """The evaluations recorded with the finished runs of stores, and records without a row. One
    that several stores have is that of the first."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    faults: list[Fault] = []
    stores = (source for source in sources if not source.is_archive)
    for run in chain.from_iterable(store.finished.select(RUN).to_pylist() for store in stores):
        for record in evaluations.of_run(run["path"]):
            folder = Path(run["path"])
            if not isinstance(record, dict):
                faults.append(record)
            elif not _is_of(record, run["id"], run["weights_sha256"]):
                path = evaluations.path(folder, record["id"])
                reason = f"it is of other weights than those of {run['label']} {run['id']}"
                faults.append(reader.damaged(path, reason, schemas.EVALUATION))
            else:
                key = run["id"], record["id"]
                found.setdefault(key, [*_rows(record, folder, run["id"])])
    if not found:
        return empty(), faults
    rows = pd.DataFrame([*chain.from_iterable(found.values())])
    others = [key for key in rows if key not in (*HEAD, *METRICS, *TAIL)]
    order = [*HEAD, *(key for key in METRICS if key in rows), *others, *TAIL]
    return rows[order], faults


def _is_of(record: Values, identity: str, weights: str) -> bool:
    """Whether the first run of the record is that run, and its weights are still asked."""
    asked = {network["weights_sha256"] for network in record["question"]["networks"]}
    return record["runs"][0]["id"] == identity and weights in asked


def _rows(record: Values, folder: Path, kept_with: str) -> Iterator[dict[str, Any]]:
    """The row of an evaluation and, of an average, those of its runs."""
    runs, source = record["runs"], record["source"]
    several = len(runs) > 1
    shared = {
        "evaluation": record["id"],
        "protocol": record["question"]["protocol"],
        "asked": record["text"],
        "data_set": data_set(source["name"], source["root"]),
        "images": record["images"],
        "settings": json.dumps(record["question"]["settings"], sort_keys=True),
        "skipped": len(record["skipped"]),
        "time_s": record["time_s"],
        "device": record["device"],
        "finished": record["finished"],
        "kept_with": kept_with,
        "path": str(evaluations.path(folder, record["id"])),
    }
    if several:
        yield {**shared, "label": "average", "runs": len(runs), **record["metrics"]}
    for run in runs:
        own = {key: run[key] for key in ("label", "id", "model")}
        yield {**shared, **own, "runs": 1, **run["metrics"]}
