"""Many runs in one JSON file: what their configs have in common once, then a row of the rest each.

Fixed when a sweep is started, so that edits to `conf/` do not change what is queued. A job reads
from it the few runs that are its own.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from transferlab.errors import UserError
from transferlab.experiment.build import build_config, vary_config
from transferlab.experiment.config import FORMAT, RunConfig
from transferlab.experiment.keys import flatten, known_keys
from transferlab.experiment.plan import Node
from transferlab.store import records


@dataclass(frozen=True)
class Manifest:
    """`columns` are the keys in which the runs differ; `rows` have id, base, and their values."""

    common: dict[str, Any]
    columns: tuple[str, ...]
    rows: dict[str, tuple[str | None, tuple[Any, ...]]]

    @cached_property
    def _first(self) -> RunConfig:
        values = next(iter(self.rows.values()))[1]
        flat = self.common | dict(zip(self.columns, values, strict=True))
        return build_config(_nested(flat))

    def node(self, identity: str, *, place: Path) -> Node:
        """The run of that id, in the store `place`, wherever it was when this was written."""
        base, values = self.rows[identity]
        changes = dict(zip(self.columns, values, strict=True)) | {"runtime.store": str(place)}
        return Node(identity, base, vary_config(self._first, changes))

    def nodes(self, *, place: Path) -> tuple[Node, ...]:
        """All runs, bases first."""
        return tuple(self.node(identity, place=place) for identity in self.rows)


def of(nodes: Sequence[Node]) -> Manifest:
    """The manifest of the runs of a plan; at least one."""
    keys = known_keys()
    values = [tuple(flatten(node.config).values()) for node in nodes]
    varied = [place for place, column in enumerate(zip(*values, strict=True)) if len({*column}) > 1]
    rows = {
        node.id: (node.base, tuple(row[place] for place in varied))
        for node, row in zip(nodes, values, strict=True)
    }
    columns = tuple(keys[place] for place in varied)
    common = dict(zip(keys, values[0], strict=True))
    return Manifest({k: v for k, v in common.items() if k not in columns}, columns, rows)


def text(manifest: Manifest) -> str:
    """The manifest as JSON, a line a run."""
    rows = (
        json.dumps([identity, base, *values], allow_nan=False)
        for identity, (base, values) in manifest.rows.items()
    )
    head = {"format": FORMAT, "common": manifest.common, "columns": manifest.columns}
    return json.dumps(head, allow_nan=False)[:-1] + ', "runs": [\n' + ",\n".join(rows) + "\n]}\n"


def digest(written: str) -> str:
    """8 hexadecimal digits that name a manifest by its content."""
    return hashlib.sha256(written.encode()).hexdigest()[:8]


def read(path: Path) -> Manifest:
    """The manifest in a file. Raises: UserError if it is damaged."""
    raw = records.read_json(path)
    try:
        rows = {identity: (base, tuple(values)) for identity, base, *values in raw["runs"]}
        common, columns = dict(raw["common"]), tuple(raw["columns"])
        if not rows or any(len(values) != len(columns) for _, values in rows.values()):
            raise ValueError("not a value for every column")
        return Manifest(common, columns, rows)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is damaged ({error!r}): delete its folder, and sweep again") from (
            error
        )


def _nested(flat: dict[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for key, value in flat.items():
        group, _, leaf = key.rpartition(".")
        (nested.setdefault(group, {}) if group else nested)[leaf] = value
    return nested
