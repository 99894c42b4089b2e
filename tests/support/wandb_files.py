"""Reads the file of an offline run of Weights & Biases: a LevelDB log of protocol buffers."""

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BLOCK = 32768
LAST = (1, 4)  # of the parts of a record: the whole, or the end of one


@dataclass
class Read:
    """One run. `history` and `summary` without what W&B itself adds, which begins with `_`."""

    id: str = ""
    project: str = ""
    name: str = ""
    group: str = ""
    job_type: str = ""
    tags: list[str] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    history: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    exit_code: int | None = None
    host: str | None = None


def read(folder: Path) -> Read:
    """The run in an `offline-run-*` folder."""
    (path,) = folder.glob("*.wandb")
    found = Read()
    for record in _records(path.read_bytes()):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            run = record.run
            found.id, found.project, found.name = run.run_id, run.project, run.display_name
            found.group, found.job_type, found.tags = run.run_group, run.job_type, [*run.tags]
            found.host = run.host
            found.config = _values(run.config.update)
        elif kind == "history":
            found.history.append((record.history.step.num, _values(record.history.item)))
        elif kind == "summary":
            found.summary |= _values(record.summary.update)
        elif kind == "exit":
            found.exit_code = record.exit.exit_code
    return found


def _values(items: Any) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for item in items:
        first, *rest = item.nested_key or [item.key]
        if first.startswith("_"):
            continue
        place, name = values, first
        for key in rest:
            place, name = place.setdefault(name, {}), key
        place[name] = json.loads(item.value_json)
    return values


def _records(content: bytes) -> Iterator[Any]:
    from wandb.proto import wandb_internal_pb2

    assert content[:4] == b":W&B"
    place, part = 7, b""
    while place < len(content):
        if (left := BLOCK - place % BLOCK) < 7:  # no space for another header
            place += left
            continue
        _, size, kind = struct.unpack_from("<IHB", content, place)
        part += content[place + 7 : place + 7 + size]
        place += 7 + size
        if kind in LAST:
            record = wandb_internal_pb2.Record()
            record.ParseFromString(part)
            yield record
            part = b""
