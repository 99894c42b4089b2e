"""What Weights & Biases should have of a store: an entry for each finished run, one for a study.

Made from the store alone, each with a digest of all there is to say, so that what was said already
is known. Curves and figures are read and drawn when they are wanted. Nothing is sent or written.
"""

import csv
import hashlib
import json
import math
import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from transferlab import __version__, store
from transferlab.errors import UserError
from transferlab.experiment.config import build_config
from transferlab.results import catalogue, loading
from transferlab.results.loading import Results
from transferlab.runtime import files
from transferlab.store import Run, mirrors, sweeps
from transferlab.store.mirrors import Page, Row

MADE = 1  # raised when entries are made otherwise, so that all are told anew
LETTERS = 64  # of a tag, at most
Line = Mapping[Hashable, Any]  # of a table
Medium = pd.DataFrame | list["Picture"]
TABLES = ("figure2", "figure3", "table1", "decomposition", "left_out")


@dataclass(frozen=True)
class Picture:
    """A PNG, and which experiment it shows."""

    png: bytes
    experiment: str


@dataclass(frozen=True)
class Entry:
    """One run of W&B. `rows` reads its curve (Raises: UserError if that is damaged), `media` makes
    its tables and figures, by their names."""

    page: Page
    project: str
    rows: Callable[[], tuple[Row, ...]]
    summary: dict[str, Any]
    media: Callable[[], Mapping[str, Medium]]
    digest: str


@dataclass(frozen=True)
class Entries:
    """`left_out`: what should have an entry and has none, a sentence each; `unfinished`: the runs
    that have none yet."""

    entries: tuple[Entry, ...]
    left_out: tuple[str, ...]
    unfinished: tuple[str, ...]


def collect(place: Path, *, study: str | None = None, project: str | None = None) -> Entries:
    """The entries of a store, or of one of its studies, for one project or for each run's own.

    Raises: UserError if there is no such store or study, or nothing in it.
    """
    found = loading.load(place, study=study)
    members = _members(place)
    lacking = found.left_out[found.left_out["kind"].isin(["damaged", "failed"])]
    left_out = [f"{_which(line)} is {line['kind']}: {line['reason']}" for line in _lines(lacking)]
    unfinished = map(_which, _lines(found.left_out[found.left_out["kind"] == "missing"]))
    runs: dict[str, Entry] = {}
    for line in _lines(found.table):
        studies = [name for name, ids in members.items() if line["id"] in ids]
        try:
            runs[line["id"]] = _run(line, studies, project)
        except UserError as error:
            left_out.append(str(error))
    reports = []
    for name in members if study is None else [study]:
        shown = found if study is not None else loading.load(place, study=name)
        some = [runs[identity] for identity in shown.table["id"] if identity in runs]
        if some:
            reports.append(_report(name, shown, some))
        else:
            left_out.append(f"study {name} has no finished run, and so no report")
    return Entries((*runs.values(), *reports), tuple(left_out), tuple(unfinished))


def _lines(table: pd.DataFrame) -> list[Line]:
    return table.to_dict("records")  # type: ignore[return-value]


def _which(line: Line) -> str:
    return " ".join(filter(None, [line["label"], line["split"], line["id"]]))


# --- a run --------------------------------------------------------------------------------------


def _run(line: Line, studies: Sequence[str], project: str | None) -> Entry:
    """The entry of a row of the results. Raises: UserError if its record is damaged by now."""
    run = Run(line["id"], line["label"], Path(line["path"]))
    record = store.read_result(run)
    if record is None:
        raise UserError(f"{run.result} vanished while the store was read")
    config = build_config(record["config"])
    tags = [*studies, config.split.name, config.data.name, config.model.name]
    tags += [] if line["learned"] else ["at chance level"]
    page = mirrors.page(
        config,
        run.id,
        study=studies[0] if studies else None,
        tags=tuple(tag[:LETTERS] for tag in dict.fromkeys(tags)),
    )
    summary = {**record["metrics"], "learned": line["learned"]}
    if not math.isnan(delta := line["delta_to_target_base"]):
        summary["delta_to_target_base"] = delta
    project = config.runtime.wandb_project if project is None else project
    curve = files.sha256(run.metrics) if run.metrics.is_file() else None
    digest = _digest(asdict(page), project, summary, curve)
    return Entry(page, project, partial(read_curve, run, record), summary, dict, digest)


def read_curve(run: Run, record: Mapping[str, Any]) -> tuple[Row, ...]:
    """The rows of `metrics.csv`, which are those that are mirrored while a run is trained.

    Raises: UserError if it is not the whole curve of that record.
    """
    try:
        with run.metrics.open(encoding="utf-8", newline="") as file:
            rows = tuple(_row(line) for line in csv.DictReader(file, strict=True))
        steps = [row["step"] for row in rows]
        if steps != sorted(set(steps)):
            raise ValueError("its steps do not rise")
        last = (steps[-1], rows[-1]["val/accuracy"]) if rows else None
        if last != (record["steps"], record["metrics"]["top1_final"]):
            raise ValueError("it does not end as the run's record says")
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(
            f"{run.metrics} is not the curve of {run.label} {run.id} ({reason}): put the right "
            f"file back, or delete {run.folder} to train the run again"
        ) from error
    return rows


def _row(line: Mapping[str, str]) -> Row:
    row: Row = {name: float(value) for name, value in line.items() if name != "step"}
    if not all(map(math.isfinite, row.values())):
        raise ValueError("it has a value that is not finite")
    return {"step": int(line["step"]), **row}


# --- a study ------------------------------------------------------------------------------------


def _members(place: Path) -> dict[str, set[str]]:
    """Study -> the ids of its runs, by name. A sweep that cannot be read is in `left_out`."""
    members: dict[str, set[str]] = {}
    for path in sorted((place / sweeps.FOLDER).glob("*/sweep.json")):
        try:
            sweep = sweeps.read(path.parent)
            members.setdefault(sweep.study, set()).update(sweep.manifest.rows)
        except UserError:
            continue
    return dict(sorted(members.items()))


def _report(study: str, shown: Results, runs: Sequence[Entry]) -> Entry:
    """Tables and figures of a study. Its id is that of the run that finished first, so that it
    stays while the study grows, and says which study it is wherever the store is."""
    made = {name: catalogue.table(shown, name) for name in TABLES}
    notes = {name: table.attrs["notes"] for name, table in made.items() if table.attrs["notes"]}
    first = shown.table.sort_values(["finished", "id"], ignore_index=True)["id"][0]
    page = Page(
        id=f"report-{re.sub(r'[^A-Za-z0-9_-]+', '_', study)[:LETTERS]}-{first}",
        name=f"report {study}",
        group=study,
        job_type="report",
        tags=(study[:LETTERS],),
        config={"study": study, "metric": shown.metric, "runs": len(shown.table), "notes": notes},
    )
    text = [table.to_csv() for table in made.values()]
    digest = _digest(asdict(page), runs[0].project, text, [run.digest for run in runs])
    media = partial(_media, shown, made)
    return Entry(page, runs[0].project, tuple, {"finished_runs": len(shown.table)}, media, digest)


def _media(shown: Results, made: Mapping[str, pd.DataFrame]) -> dict[str, Medium]:
    """The tables that have lines, and of each figure one for every experiment."""
    from transferlab.results import figures

    media: dict[str, Medium] = {f"tables/{k}": table for k, table in made.items() if len(table)}
    for name in catalogue.figure_names():
        drawn = [
            Picture(
                figures.render(figures.draw(shown, name, experiment=experiment), "png"), experiment
            )
            for experiment in figures.experiments(shown, name)
        ]
        if drawn:
            media[f"figures/{name}"] = drawn
    return media


def _digest(*parts: Any) -> str:
    text = json.dumps([MADE, __version__, *parts], sort_keys=True, default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: Any) -> Any:
    return value.item()  # of numpy's
