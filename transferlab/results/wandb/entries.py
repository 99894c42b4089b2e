"""The content of Weights & Biases for a store: an entry for each finished run and each study.

Made from the store alone, each with a digest of its content, by which `sync` recognises what it has
written. Curves are read and figures drawn when they are needed; nothing is sent or written here.
"""

import hashlib
import io
import json
import math
import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from transferlab import __version__, store
from transferlab.errors import UserError
from transferlab.experiment.metrics import METRICS, in_records
from transferlab.experiment.run import RESULT, Run
from transferlab.results import catalogue, loading
from transferlab.results.left_out import FINISHED
from transferlab.results.loading import Results
from transferlab.results.notes import KINDS
from transferlab.results.sharing import Sharing
from transferlab.runtime import reading
from transferlab.runtime.reading import Damaged
from transferlab.store import mirrors, survey
from transferlab.store.curves import LARGEST_CURVE, read_curve
from transferlab.store.mirrors import Page, Row

MADE = 4  # increased when the content of entries changes, so that all are written again
TAG_LETTERS = 64  # at most


@dataclass(frozen=True)
class Entry:
    """One run of W&B. `rows` reads its curve (Raises: UserError if that is damaged); `media` makes
    its tables and figures as W&B's own objects, by name."""

    page: Page
    project: str
    rows: Callable[[], tuple[Row, ...]]
    summary: dict[str, Any]
    media: Callable[[], Mapping[str, Any]]
    digest: str


@dataclass(frozen=True)
class Entries:
    """`left_out`: a sentence for each run or study that should have an entry and has none;
    `unfinished`: the runs that do not have one yet."""

    entries: tuple[Entry, ...]
    left_out: tuple[str, ...]
    unfinished: tuple[str, ...]


def collect(store_folder: Path, *, study: str | None = None, project: str | None = None) -> Entries:
    """The entries of a store, or of one of its studies, for one project or for each run's own.

    Raises: UserError if the store or study is unknown or empty.
    """
    results = loading.load(store_folder, study=study)
    studies = _studies(store_folder)
    runs: dict[str, Entry] = {}
    reports, left_out, unfinished = [], [], []
    for run in _rows(results.left_out):
        name = " ".join(filter(None, [run["label"], run["split"], run["id"]]))
        if run["kind"] == "missing":
            unfinished.append(name)
        elif run["kind"] not in FINISHED:
            left_out.append(f"{name} is {run['kind']}: {run['reason']}")
    for run in _rows(results.table):
        of_run = [name for name, ids in studies.items() if run["id"] in ids]
        try:
            runs[run["id"]] = _run(run, of_run, project)
        except UserError as error:
            left_out.append(str(error))
    for name in studies if study is None else [study]:
        of_study = results if study is not None else loading.load(store_folder, study=name)
        members = [runs[identity] for identity in of_study.table["id"] if identity in runs]
        if members:
            reports.append(_report(name, of_study, members))
        else:
            left_out.append(f"study {name} has no finished run and so no report")
    return Entries((*runs.values(), *reports), tuple(left_out), tuple(unfinished))


def _rows(table: pd.DataFrame) -> list[dict[Hashable, Any]]:
    return table.to_dict("records")


def _studies(store_folder: Path) -> dict[str, set[str]]:
    """Study -> the ids of its runs, by name. Sweeps that cannot be read are in `left_out`."""
    studies: dict[str, set[str]] = {}
    for sweep in survey.read(store_folder).sweeps:
        studies.setdefault(sweep.study, set()).update(sweep.manifest.rows)
    return dict(sorted(studies.items()))


# --- a run --------------------------------------------------------------------------------------


def _run(row: Mapping[Hashable, Any], studies: Sequence[str], project: str | None) -> Entry:
    """The entry of a row of the results. Raises: UserError if its record was damaged since."""
    folder = Path(row["path"])
    finished = store.read_finished(folder)
    if finished is None:
        raise UserError(f"{folder / RESULT} was deleted while the store was read")
    run, record = finished
    config = run.config
    tags = [*studies, config.split.name, config.data.name, config.model.name]
    tags += [] if row["counts"] else [KINDS["base" if row["learned"] else "chance"]]
    page = mirrors.page(
        run,
        study=studies[0] if studies else None,
        tags=tuple(tag[:TAG_LETTERS] for tag in dict.fromkeys(tags)),
    )
    metrics = record["metrics"] | {key: row[key] for key in METRICS}  # may be missing in the row
    summary = {key: value for key, value in metrics.items() if pd.notna(value)}
    summary["learned"] = row["learned"]
    if not math.isnan(delta := row["delta_to_target_base"]):
        summary["delta_to_target_base"] = delta
    project = config.runtime.wandb_project if project is None else project
    run = run.in_store(folder.parent)
    try:
        content = reading.read(run.metrics_file, limit=LARGEST_CURVE)
        curve = None if content is None else hashlib.sha256(content.data).hexdigest()
    except Damaged:
        curve = None  # reading its rows says what is wrong
    digest = _digest(asdict(page), project, summary, curve)
    return Entry(page, project, partial(rows_of, run, record), summary, dict, digest)


def rows_of(run: Run, record: Mapping[str, Any]) -> tuple[Row, ...]:
    """The rows of `metrics.csv`. Raises: UserError if it is not the curve of that record."""
    name, metrics = f"{run.label} {run.id}", record["metrics"]
    values = {measure.column: metrics[measure.final] for measure in in_records([metrics])}
    rows = read_curve(run.folder, run=name, steps=record["steps"], values=values)
    if rows is None:
        raise UserError(
            f"{run.metrics_file} is not the curve of {name} (it is missing): restore the file, or "
            f"delete {run.folder} to train the run again"
        )
    return rows


# --- a study ------------------------------------------------------------------------------------


def _report(study: str, results: Results, runs: Sequence[Entry]) -> Entry:
    """Tables and figures of a study. Its id is that of the run that finished first, so that it
    stays while the study grows, and names the study wherever the store is."""
    shared = Sharing(results)
    tables = {
        name: shared.table(catalogue.table(results, name))
        for name in catalogue.table_names()
        if name != "runs"
    }
    notes = {name: table.attrs["notes"] for name, table in tables.items() if table.attrs["notes"]}
    first = results.table.sort_values(["finished", "id"], ignore_index=True)["id"][0]
    page = Page(
        id=f"report-{re.sub(r'[^A-Za-z0-9_-]+', '_', study)[:TAG_LETTERS]}-{first}",
        name=f"report {study}",
        group=study,
        job_type="report",
        tags=(study[:TAG_LETTERS],),
        config={
            "study": study, "metric": results.metric, "runs": len(results.table), "notes": notes,
        },
    )  # fmt: skip
    summary = {"finished_runs": len(results.table)}
    text = [table.to_csv() for table in tables.values()]
    digest = _digest(asdict(page), runs[0].project, text, [run.digest for run in runs])
    return Entry(page, runs[0].project, tuple, summary, partial(_media, results, tables), digest)


def _media(results: Results, tables: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    """The tables that have rows, and of each figure one for every experiment."""
    import wandb
    from PIL import Image

    from transferlab.results import figures

    media: dict[str, Any] = {}
    for name, table in tables.items():
        if len(table):
            cells = table.astype(object).where(table.notna(), None)
            rows: list[Any] = cells.to_numpy().tolist()
            media[f"tables/{name}"] = wandb.Table(list(cells.columns), rows)
    for name in catalogue.figure_names():
        images = []
        selection = catalogue.select(results, name)
        for experiment in selection.experiments:
            figure = figures.draw_selection(replace(selection, experiments=(experiment,)), name)
            png = io.BytesIO(figures.render(figure, "png"))
            images.append(wandb.Image(Image.open(png), caption=experiment.name))
        if images:
            media[f"figures/{name}"] = images
    return media


def _digest(*parts: Any) -> str:
    text = json.dumps([MADE, __version__, *parts], sort_keys=True, default=_number)
    return hashlib.sha256(text.encode()).hexdigest()


def _number(value: Any) -> Any:
    return value.item()  # of numpy's
