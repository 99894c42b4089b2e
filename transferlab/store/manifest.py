"""Many runs in one JSON file: the common part of their configs once, then a row for each run.

Fixed when a sweep is started, so that edits to `conf/` do not change queued runs. A job reads only
its own runs from it.
"""

import hashlib
import itertools
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from transferlab.errors import UserError
from transferlab.experiment.build import build_config
from transferlab.experiment.keys import keys_of, known_keys, nested, recorded, recorded_section
from transferlab.experiment.run import Run, RunMaker
from transferlab.experiment.variations import Variations
from transferlab.runtime import reading, typed
from transferlab.runtime.garbage import uncollected
from transferlab.runtime.reading import Damaged
from transferlab.store import reader, schemas
from transferlab.store.schemas import FORMAT, RunId

_run_id = typed.checker(RunId, key="run")
_base_id = typed.checker(RunId | None, key="base")


@dataclass(frozen=True)
class Manifest:
    """`columns` are the keys in which the runs differ; `rows` have, by run id, the id of the base
    and the values of the columns. `owner` is the user id of the owner of the file."""

    common: dict[str, Any]
    columns: tuple[str, ...]
    rows: dict[str, tuple[str | None, tuple[Any, ...]]]
    owner: int
    source: Path | None = None  # for messages

    @classmethod
    @uncollected()
    def of(cls, runs: Sequence[Run]) -> "Manifest":
        """The manifest of the runs of a plan, which has at least one."""
        common = recorded(runs[0].config)
        columns: list[str] = []
        parts = []  # the values of the columns of each section, a run at a time
        configs = [vars(run.config) for run in runs]
        for name in configs[0]:
            # By what it is, and not what it is equal to: sections are shared, so these are few
            sections = [config[name] for config in configs]
            distinct = {id(section): section for section in sections}
            flat = {key: recorded_section(name, section) for key, section in distinct.items()}
            varied = [key for key in keys_of(name) if _varies(key, flat.values())]
            if varied:
                columns += varied
                values = {each: tuple([v[key] for key in varied]) for each, v in flat.items()}
                parts.append([values[id(section)] for section in sections])
        rows = {
            run.id: (run.base_id, tuple(itertools.chain.from_iterable(values)))
            for run, *values in zip(runs, *parts, strict=True)
        }
        for key in columns:
            del common[key]
        return cls(common, tuple(columns), rows, os.geteuid())

    @classmethod
    def read(cls, path: Path) -> "Manifest":
        """The manifest in a file. Raises: Damaged, Unreadable."""
        record = reader.require(path, schemas.MANIFEST)
        raw = record.values
        try:
            rows = dict(_row(row, len(raw["columns"])) for row in raw["runs"])
            if not rows:
                raise ValueError("it has no runs")
            if unknown := {*raw["common"], *raw["columns"]}.difference(known_keys()):
                raise ValueError(f"unknown key {reading.shown(min(unknown))}")
        except ValueError as error:
            raise reader.damaged(path, error, schemas.MANIFEST) from error
        return cls(raw["common"], tuple(raw["columns"]), rows, record.owner, path)

    @cached_property
    @uncollected()
    def json(self) -> str:
        """The content of the file, a line a run."""
        text = json.JSONEncoder(allow_nan=False).encode
        rows = [[run, base, *values] for run, (base, values) in self.rows.items()]
        # Written in one step, for speed. No text has a quote that is not escaped, and no value is a
        # list of texts, so that this is where a row ends
        lines = text(rows)[1:-1].replace('], ["', '],\n["')
        head = {"format": FORMAT, "common": self.common, "columns": self.columns}
        return text(head)[:-1] + ', "runs": [\n' + lines + "\n]}\n"

    @property
    def digest(self) -> str:
        """8 hexadecimal digits that name a manifest by its content."""
        return hashlib.sha256(self.json.encode()).hexdigest()[:8]

    def run(self, identity: str, *, store: Path) -> Run:
        """The run with that id, in `store`, which may have moved since this was written.

        Raises: Damaged if its row is that of another run; KeyError if it has none.
        """
        base_id, values = self.rows[identity]
        try:
            run = self._maker.run(self._variations.at((*values, str(store))))
        except (UserError, AssertionError) as error:
            raise self._damaged(f"run {identity}: {error}") from error
        if (run.id, run.base_id) != (identity, base_id):
            raise self._damaged(f"run {identity}: its config is that of {run.label} {run.id}")
        return run

    def runs(self, *, store: Path) -> tuple[Run, ...]:
        """All runs, bases first."""
        return tuple(self.run(identity, store=store) for identity in self.rows)

    def _damaged(self, reason: str) -> Damaged:
        return reader.damaged(self.source or "the list of runs", reason, schemas.MANIFEST)

    @cached_property
    def _maker(self) -> RunMaker:
        return RunMaker(lambda config: (config, None))

    @cached_property
    def _variations(self) -> Variations:
        values = next(iter(self.rows.values()))[1]
        flat = self.common | dict(zip(self.columns, values, strict=True))
        config = build_config(nested(flat), recorded=True)
        return Variations(config, (*self.columns, "runtime.store"), recorded=True)


def _varies(key: str, sections: Iterable[Mapping[str, Any]]) -> bool:
    return len({values[key] for values in sections}) > 1


def _row(row: list[Any], columns: int) -> tuple[str, tuple[str | None, tuple[Any, ...]]]:
    """Id, and base with values, of a row. Raises: ValueError."""
    if len(row) != 2 + columns:
        raise ValueError("not a value for every column")
    identity, base, *values = row
    _run_id(identity)
    _base_id(base)
    return identity, (base, tuple(values))
