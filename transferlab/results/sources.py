"""Stores and archives as they are read, and several of them united: each run once, by its id.

A study that is computed on several machines has a store on each. A run's id covers everything that
decides its result, so a run of two stores has to have one outcome.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from transferlab.errors import UserError
from transferlab.experiment.metrics import METRICS
from transferlab.results import archive, scan
from transferlab.results.scan import Unread
from transferlab.runtime import commands, paths
from transferlab.store import inventory, survey
from transferlab.store.survey import Fault
from transferlab.store.sweeps import Sweep

OUTCOME = (*METRICS, "weights_sha256")


@dataclass(frozen=True, eq=False)
class StoreContent:
    """A store or an archive: the rows of its finished runs, its folders without a row, the runs
    that its sweeps planned, by id, and what cannot be read of these sweeps."""

    name: str
    finished: pa.Table
    is_archive: bool = False
    unread: Sequence[Unread] = ()
    expected: Mapping[str, Sweep] = field(default_factory=dict)
    faults: Sequence[Fault] = ()


def read(store: Path | str, study: str | None = None) -> StoreContent:
    """A store with all that it has, or that it has of one study; or an archive.

    Raises: UserError if the store or study is unknown, or the store is empty.
    """
    folder = paths.expand(store)
    if archive.is_archive(folder):
        require_no_study(folder, study)
        return StoreContent(str(folder), archive.read(folder), is_archive=True)
    inventory.check(folder)
    finished, unread = scan.read(folder)
    surveyed = survey.read(folder, study)
    expected = {identity: s for s in surveyed.sweeps for identity in s.manifest.rows}
    if not (finished.num_rows or unread or expected or surveyed.faults):
        fill = commands.study("quick", folder)
        raise UserError(f"{folder} holds no run: fill it with {fill}")
    if study is not None:
        finished = finished.filter(pc.is_in(finished["id"], pa.array(expected, pa.string())))
        unread = [run for run in unread if run.id in expected]
    return StoreContent(
        str(folder), finished, unread=unread, expected=expected, faults=surveyed.faults
    )


def require_no_study(store: object, study: str | None) -> None:
    """Raises: UserError if a study is asked for of what has none."""
    if study is not None:
        raise UserError(f"--study {study} is unknown in {store}, which has no studies: omit it")


def united(sources: Sequence[StoreContent]) -> pa.Table:
    """The finished runs of all sources, each once: as in a store, which knows more of it than an
    archive, and there as in the first one.

    Raises: UserError if a run has another outcome in another source.
    """
    if len(sources) == 1:
        return sources[0].finished
    first: dict[str, tuple[StoreContent, dict[str, Any]]] = {}
    parts = []
    for source in sorted(sources, key=lambda each: each.is_archive):
        is_new = []
        for run in source.finished.select(["id", "label", *OUTCOME]).to_pylist():
            other, known = first.setdefault(run["id"], (source, run))
            is_new.append(known is run)
            _require_same(known, run, other.name, source.name)
        parts.append(source.finished.filter(pa.array(is_new, pa.bool_())))
    return pa.concat_tables(parts)


def _require_same(known: Mapping[str, Any], run: Mapping[str, Any], store: str, other: str) -> None:
    """Raises: UserError for two outcomes of a run; an archive may have less of it than a store."""
    for key in OUTCOME:
        if known[key] != run[key] and None not in (known[key], run[key]):
            raise UserError(
                f"{run['label']} {run['id']} has two outcomes, {key}={known[key]} in {store} and "
                f"{run[key]} in {other}: omit one of them, or remove the run from it, its folder "
                "from a store or its line from an archive"
            )
