"""The finished runs of a store, or the published ones, as one pandas table: a row a run.

Every figure and table is a pure function of this table. A run is compared with the base network of
its own target half, on the same split, seed, data, model and recipe; nothing is averaged here. Runs
that are damaged, failed, at chance level or missing are listed separately, with the reason.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from transferlab import store
from transferlab.errors import UserError
from transferlab.experiment.metrics import MEASURES, METRICS, Measure, measure_of
from transferlab.experiment.run import FAILURE
from transferlab.results import archive, comparable, evaluated, pairs, published, rows, scan
from transferlab.results.comparable import Experiment
from transferlab.results.judgement import with_metric
from transferlab.results.scan import Unread
from transferlab.runtime import commands, paths, reading
from transferlab.runtime.reading import Damaged, Unreadable
from transferlab.store import reader, schemas, survey
from transferlab.store.curves import read_curve
from transferlab.store.sweeps import Sweep

log = logging.getLogger(__name__)
LEADING = (
    "id", "label", "variant", "base", "target", "n", "fine_tuned", "split", "split_seed", "data",
    "data_set", "model", "seed", *METRICS, "chance", "learned", "counts",
    "target_base_metric", "delta_to_target_base",
)  # fmt: skip
LEFT_OUT = ("id", "label", "split", "kind", "reason", "folder")
KINDS = ("damaged", "unreadable", "failed", "chance", "base", "missing")
FINISHED = ("chance", "base")  # the kinds of finished runs, which are in the table too
CURVE = ("id", "label", "step", "value", "val_loss", "train_loss")
Curve = list[tuple[object, ...]] | str  # the rows of CURVE, or what is wrong with them


@dataclass(frozen=True, eq=False)
class Results:
    """`table` has the columns `LEADING`, then the config's keys, then the numbers' provenance.

    Accuracies are fractions. `metric` is the default of tables and figures, of which are `learned`,
    `counts`, `target_base_metric` and `delta_to_target_base`: see `judged`. A base network's base
    is itself. `left_out` has the columns `LEFT_OUT`, its `kind` is one of `KINDS`; runs at chance
    level are in both. `evaluations` are those of the finished runs: see `evaluated`.
    """

    store: str
    table: pd.DataFrame
    left_out: pd.DataFrame
    metric: str
    evaluations: pd.DataFrame = field(default_factory=evaluated.empty)

    @cached_property
    def experiments(self) -> tuple[Experiment, ...]:
        """Its runs by experiment: those that may be averaged together."""
        return comparable.split(self.table)

    @cached_property
    def read_curves(self) -> dict[str, "Curve"]:
        """The curves that have been read, by run, to which `curves` adds: tables and figures of a
        page ask for the same ones."""
        return {}

    @cached_property
    def prepared(self) -> pd.DataFrame:
        """Its runs with the columns that comparisons need."""
        return pairs.prepare(self.table, self.metric)


def load(store: Path | str, *, study: str | None = None) -> Results:
    """All finished runs of a store, or of one study; of a CSV file (`archive`); or
    `published:yosinski2014`.

    Raises: UserError if the store or study is unknown, or the store is empty.
    """
    if published.is_published(store):
        found = _published(published.named(store))
        _require_no_study(found.store, study)
        return found
    folder = paths.expand(store)
    if archive.is_archive(folder):
        return _archived(folder, study)
    if not reading.is_folder(folder):
        raise UserError(f"{folder} is not a store: name one with --store DIR, or {_fill(folder)}")
    finished, unread = scan.read(folder)
    surveyed = survey.read(folder, study)
    left_out = [_fault(error) for error in surveyed.faults]
    expected = {identity: s for s in surveyed.sweeps for identity in s.manifest.rows}
    if not (finished.num_rows or unread or expected or left_out):
        raise UserError(f"{folder} holds no run: {_fill(folder)}")
    table = _finished(finished)
    if study is not None:
        table = table[table["id"].isin(list(expected))].reset_index(drop=True)
        unread = [run for run in unread if run.id in expected]
    metric = usual_metric(table)
    if study is not None:
        table = with_metric(table, metric)
    evaluations, faults = evaluated.read(table)
    left_out += [*map(_unread, unread), *_not_counting(table, metric), *map(_fault, faults)]
    begun = {*table["id"], *(run.id for run in unread)}
    left_out += _missing(folder, {key: expected[key] for key in expected if key not in begun})
    return Results(str(folder), table, _left_out(left_out), metric, evaluations)


def judged(results: Results, metric: str) -> Results:
    """The results with that metric as the one that is shown, by which the runs are judged."""
    if metric == results.metric:
        return results
    table = with_metric(results.table, metric)
    unfinished = results.left_out[~results.left_out["kind"].isin(FINISHED)]
    others = [dict(zip(LEFT_OUT, map(str, run), strict=True)) for run in unfinished.to_numpy()]
    left_out = _left_out([*others, *_not_counting(table, metric)])
    return replace(results, table=table, left_out=left_out, metric=metric)


def curves(results: Results, ids: Iterable[str] | None = None) -> pd.DataFrame:
    """The learning curves of those runs, or of all: a row a validation, columns `CURVE`.

    `value` is the measure of the metric that is shown; a run that lacks it has no curve.
    `attrs["missing"]` lists the ids without a curve, `attrs["faults"]` has, by id, what is wrong
    with curves that cannot be used.
    """
    table = results.table if ids is None else results.table[results.table["id"].isin(list(ids))]
    faults: dict[str, str] = {}
    if published.is_published(results.store):
        points = pd.DataFrame(published.curves(results.store))
        curves = table[["id", "label"]].merge(points, on="id")[list(CURVE)]
    else:
        known, measure = results.read_curves, measure_of(results.metric)
        cells: list[tuple[object, ...]] = []
        for run in table[_of_curves()].itertuples(index=False):
            identity = str(run.id)
            if identity not in known:
                known[identity] = _curve(run, measure)
            curve = known[identity]
            if isinstance(curve, str):
                faults[identity] = curve
            else:
                cells += curve
        curves = pd.DataFrame(cells, columns=CURVE)
    curves.attrs["missing"] = sorted({*table["id"]}.difference(curves["id"].unique()))
    curves.attrs["faults"] = faults
    return curves


# --- the table ----------------------------------------------------------------------------------


def _finished(finished: pa.Table) -> pd.DataFrame:
    nullable = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
    table = finished.to_pandas(types_mapper=nullable.get)
    table = table.astype({"n": "int64", "fine_tuned": bool, "learned": bool})
    table = with_metric(table, usual_metric(table))
    return table[[*LEADING, *(key for key in table.columns if key not in LEADING)]]


def usual_metric(table: pd.DataFrame) -> str:
    """The metric in which a store is shown unless another is named: that of most of its runs."""
    finals = [measure.final for measure in MEASURES]
    return finals[int(table[finals].notna().sum().to_numpy().argmax())]


@cache
def _published(store: str) -> Results:
    networks = published.networks(store)
    finished, missing = [], []
    for network in networks:
        path = f"{store}/{network.id}"
        if network.record is None:
            split = _split_label(network.config["split.name"], network.config["split.seed"])
            reason = "the release has no log of it"
            missing.append(_row(network.id, network.label, split, "missing", reason, path))
            continue
        finished.append(
            rows.row(
                network.config,
                network.record,
                identity=network.id,
                label=network.label,
                target_base_id=network.target_base_id,
                path=path,
            )
        )
    table = _finished(rows.table(finished))
    metric = usual_metric(table)
    left_out = _left_out([*_not_counting(table, metric), *missing])
    return judged(Results(store, table, left_out, metric), published.METRIC)


def _archived(file: Path, study: str | None) -> Results:
    _require_no_study(file, study)
    table = _finished(archive.read(file))
    metric = usual_metric(table)
    return Results(str(file), table, _left_out(_not_counting(table, metric)), metric)


def _require_no_study(store: object, study: str | None) -> None:
    if study is not None:
        raise UserError(f"--study {study} is unknown in {store}, which has no studies: omit it")


# --- what is left out ---------------------------------------------------------------------------


def _left_out(runs: Iterable[Mapping[str, str]]) -> pd.DataFrame:
    ordered = sorted(runs, key=lambda run: KINDS.index(run["kind"]))
    return pd.DataFrame(ordered, columns=list(LEFT_OUT), dtype="str")


def _row(
    identity: str, label: str, split: str, kind: str, reason: str, folder: object
) -> dict[str, str]:
    return dict(zip(LEFT_OUT, (identity, label, split, kind, reason, str(folder)), strict=True))


def _not_counting(table: pd.DataFrame, metric: str) -> Iterator[dict[str, str]]:
    """The finished runs that enter no mean."""
    labels = table.set_index("id")["label"]
    for run in table[~table["counts"]].to_dict("records"):
        base = run["base_id"]
        if run["learned"]:
            kind, reason = "base", f"its base {labels[base]} {base} is at chance level"
        else:
            by = next(m for m in (metric, *METRICS) if pd.notna(run[m]))
            numbers = f"{by} {run[by]:.4f}, chance {run['chance']:.4f}"
            kind, reason = "chance", f"at chance level: {numbers}"
        split = _split_label(run["split"], run["split_seed"])
        yield _row(run["id"], run["label"], split, kind, reason, run["path"])


def _unread(run: Unread) -> dict[str, str]:
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
    return _row(run.id, label, split, kind, reason, run.folder)


def _state_of(folder: Path) -> tuple[str, str]:
    """Kind and reason of a run without a record. Raises: Damaged, Unreadable."""
    failure = reader.read(folder / FAILURE, schemas.FAILURE)
    if failure is None:
        return "missing", "not finished"
    return "failed", (failure["error"].splitlines() or ["no reason was recorded"])[0]


def _fault(error: Damaged | Unreadable) -> dict[str, str]:
    """A sweep, job or evaluation that cannot be read, which names its file."""
    return _row("", "", "", _kind(error), str(error), "")


def _kind(error: Damaged | Unreadable) -> str:
    return "unreadable" if isinstance(error, Unreadable) else "damaged"


def _missing(store: Path, planned: Mapping[str, Sweep]) -> Iterator[dict[str, str]]:
    """Runs that a sweep planned and that have no folder yet."""
    for identity, sweep in planned.items():
        reason = f"planned by study {sweep.study}, not started"
        try:
            run = sweep.manifest.run(identity, store=store)
            if run.config.is_pretrained:  # which is not trained
                continue
        except UserError as error:
            yield _row(identity, "", "", "missing", f"{reason}; {error}", sweep.folder)
            continue
        yield _row(run.id, run.label, run.config.split_label, "missing", reason, run.folder)


def _fill(folder: Path) -> str:
    return f"fill it with {commands.study('quick', folder)}"


def _split_label(name: object, seed: Any) -> str:
    """`random0`, `whole`."""
    return f"{name}{'' if seed is None or pd.isna(seed) else seed}"


def _of_curves() -> list[str]:
    """The columns of a results table that tell the curve of a run."""
    return ["id", "label", "path", "steps", *(measure.final for measure in MEASURES)]


def _curve(run: Any, measure: Measure) -> Curve:
    """The curve of a run, a row of the table: the rows of CURVE; or what is wrong with it."""
    values = {m.column: getattr(run, m.final) for m in MEASURES if pd.notna(getattr(run, m.final))}
    if measure.column not in values:
        return []
    name = f"{run.label} {run.id}"
    try:
        rows = read_curve(Path(run.path), run=name, steps=run.steps, values=values)
    except (Damaged, Unreadable) as error:
        log.warning("left out: %s", error)
        return str(error)
    columns = ("step", measure.column, "val/loss", "train/loss")
    return [(run.id, run.label, *(row[key] for key in columns)) for row in rows or ()]
