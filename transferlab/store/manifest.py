"""Many runs in one JSON file: the common part of their configs once, then a row for each run.

Fixed when a sweep is started, so that edits to `conf/` do not change queued runs. A job reads only
its own runs from it.
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
from transferlab.experiment.config import RunConfig
from transferlab.experiment.identity import base_of
from transferlab.experiment.keys import flatten, known_keys
from transferlab.experiment.run import Run
from transferlab.store import records
from transferlab.store.records import FORMAT


@dataclass(frozen=True)
class Manifest:
    """`columns` are the keys in which the runs differ; `rows` have, by run id, the id of the base
    and the values of the columns."""

    common: dict[str, Any]
    columns: tuple[str, ...]
    rows: dict[str, tuple[str | None, tuple[Any, ...]]]

    @classmethod
    def of(cls, runs: Sequence[Run]) -> "Manifest":
        """The manifest of the runs of a plan, which has at least one."""
        keys = known_keys()
        values = [tuple(flatten(run.config).values()) for run in runs]
        varied = [i for i, column in enumerate(zip(*values, strict=True)) if len({*column}) > 1]
        rows = {
            run.id: (run.base_id, tuple(row[i] for i in varied))
            for run, row in zip(runs, values, strict=True)
        }
        columns = tuple(keys[i] for i in varied)
        first = dict(zip(keys, values[0], strict=True))
        return cls({k: v for k, v in first.items() if k not in columns}, columns, rows)

    @classmethod
    def read(cls, path: Path) -> "Manifest":
        """The manifest in a file. Raises: UserError if it is damaged."""
        raw = records.read_json(path)
        try:
            rows = {run: (base, tuple(values)) for run, base, *values in raw["runs"]}
            common, columns = dict(raw["common"]), tuple(raw["columns"])
            if not rows or any(len(values) != len(columns) for _, values in rows.values()):
                raise ValueError("not a value for every column")
            return cls(common, columns, rows)
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"{path} is damaged ({error!r}): delete its folder and run sweep again"
            ) from error

    @cached_property
    def json(self) -> str:
        """The content of the file, a line a run."""
        rows = (
            json.dumps([run, base, *values], allow_nan=False)
            for run, (base, values) in self.rows.items()
        )
        head = {"format": FORMAT, "common": self.common, "columns": self.columns}
        return (
            json.dumps(head, allow_nan=False)[:-1] + ', "runs": [\n' + ",\n".join(rows) + "\n]}\n"
        )

    @property
    def digest(self) -> str:
        """8 hexadecimal digits that name a manifest by its content."""
        return hashlib.sha256(self.json.encode()).hexdigest()[:8]

    def run(self, identity: str, *, store: Path) -> Run:
        """The run with that id, in `store`, which may have moved since this was written.

        Raises: UserError if its row is damaged; KeyError if it has none.
        """
        base_id, values = self.rows[identity]
        changes = dict(zip(self.columns, values, strict=True)) | {"runtime.store": str(store)}
        config = vary_config(self._first, changes)
        base = base_of(config)
        if base is None or base_id is None:
            return Run(identity, None, config, None)
        return Run(identity, Run(base_id, None, base, None), config, None)

    def runs(self, *, store: Path) -> tuple[Run, ...]:
        """All runs, bases first."""
        return tuple(self.run(identity, store=store) for identity in self.rows)

    @cached_property
    def _first(self) -> RunConfig:
        values = next(iter(self.rows.values()))[1]
        flat = self.common | dict(zip(self.columns, values, strict=True))
        return build_config(_nested(flat))


def _nested(flat: dict[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for key, value in flat.items():
        group, _, leaf = key.rpartition(".")
        (nested.setdefault(group, {}) if group else nested)[leaf] = value
    return nested
