"""What the results of a store leave out, a row a run, each with the reason.

Runs that are damaged, unreadable, failed or missing have no row in the table of results; those at
chance level, or on a base at chance level, have one, and enter no mean.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from transferlab import store
from transferlab.errors import UserError
from transferlab.experiment.metrics import METRICS
from transferlab.experiment.run import FAILURE
from transferlab.results.scan import Unread
from transferlab.results.sources import StoreContent
from transferlab.runtime.reading import Damaged, Unreadable
from transferlab.store import reader, schemas

LEFT_OUT = ("id", "label", "split", "kind", "reason", "folder")
KINDS = ("damaged", "unreadable", "failed", "chance", "base", "missing")
# What a row of a finished run is made of, beside its metrics
OF_RUNS = ("id", "label", "split", "split_seed", "base_id", "path", "learned", "chance")
FINISHED = ("chance", "base")  # the kinds of finished runs, which are in the table too
Row = dict[str, str]


def table(runs: Iterable[Mapping[str, str]]) -> pd.DataFrame:
    """The rows as a table with the columns LEFT_OUT, by kind."""
    ordered = sorted(runs, key=lambda run: KINDS.index(run["kind"]))
    return pd.DataFrame(ordered, columns=list(LEFT_OUT), dtype="str")


def row(identity: str, label: str, split: str, kind: str, reason: str, folder: object) -> Row:
    """A row. `split`: see `split_label`."""
    return dict(zip(LEFT_OUT, (identity, label, split, kind, reason, str(folder)), strict=True))


def split_label(name: object, seed: Any) -> str:
    """`random0`, `whole`."""
    return f"{name}{'' if seed is None or pd.isna(seed) else seed}"


def not_counting(runs: pd.DataFrame, metric: str) -> Iterator[Row]:
    """The finished runs, rows of a results table, that enter no mean."""
    labels = runs.set_index("id")["label"]
    columns = [*OF_RUNS, *METRICS]  # of over a hundred, which take time also where no row is left
    for run in runs.loc[~runs["counts"], columns].to_dict("records"):
        base = run["base_id"]
        if run["learned"]:
            kind, reason = "base", f"its base {labels[base]} {base} is at chance level"
        else:
            by = next(m for m in (metric, *METRICS) if pd.notna(run[m]))
            numbers = f"{by} {run[by]:.4f}, chance {run['chance']:.4f}"
            kind, reason = "chance", f"at chance level: {numbers}"
        split = split_label(run["split"], run["split_seed"])
        yield row(run["id"], run["label"], split, kind, reason, run["path"])


def unread(sources: Iterable[StoreContent], finished: Collection[str]) -> Iterator[Row]:
    """The folders without a row in the table. Of a run that has its row from another store, or is
    listed as unfinished in one, only what is damaged is listed."""
    known = {*finished}
    for source in sources:
        listed = [run for run in source.unread if run.damage is not None or run.id not in known]
        known.update(run.id for run in listed)
        yield from map(_unread, listed)


def fault(error: Damaged | Unreadable) -> Row:
    """A sweep, job or evaluation that cannot be read, which names its file."""
    return row("", "", "", _kind(error), str(error), "")


def missing(sources: Sequence[StoreContent], finished: Collection[str]) -> Iterator[Row]:
    """Runs that a sweep planned and that have no folder yet in any store."""
    known = {*finished, *(run.id for source in sources for run in source.unread)}
    for source in sources:
        for identity, sweep in source.expected.items():
            if identity in known:
                continue
            known.add(identity)
            reason = f"planned by study {sweep.study}, not started"
            try:
                run = sweep.manifest.run(identity, store=Path(source.name))
                if run.config.is_pretrained:  # which is not trained
                    continue
            except UserError as error:
                yield row(identity, "", "", "missing", f"{reason}; {error}", sweep.folder)
                continue
            yield row(run.id, run.label, run.config.split_label, "missing", reason, run.folder)


def _unread(run: Unread) -> Row:
    """A folder without a row: a damaged record, a failure, or not finished yet."""
    label, split = run.folder.name.partition("-")[0], ""
    kind, reason = ("unreadable" if run.unreadable else "damaged"), run.damage
    try:
        if reason is None:
            kind, reason = _state_of(run.folder)
        if (begun := store.read_run(run.folder)) is not None:
            label, split = begun.label, begun.config.split_label
    except (Damaged, Unreadable) as error:
        if run.damage is None:
            kind, reason = _kind(error), str(error)
    assert reason is not None
    return row(run.id, label, split, kind, reason, run.folder)


def _state_of(folder: Path) -> tuple[str, str]:
    """Kind and reason of a run without a record. Raises: Damaged, Unreadable."""
    failure = reader.read(folder / FAILURE, schemas.FAILURE)
    if failure is None:
        return "missing", "not finished"
    return "failed", (failure["error"].splitlines() or ["no reason was recorded"])[0]


def _kind(error: Damaged | Unreadable) -> str:
    return "unreadable" if isinstance(error, Unreadable) else "damaged"
