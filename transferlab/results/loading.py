"""The finished runs of a store, or the published ones, as one pandas table: a row a run.

Every figure and table is a pure function of this table. A run is compared with the base network of
its own target half, on the same split, seed, data, model and recipe; nothing is averaged here. Runs
that are damaged, failed, at chance level or missing are listed separately, with the reason.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
import pyarrow as pa

from transferlab.errors import UserError
from transferlab.experiment.metrics import MEASURES, METRICS, Measure, measure_of
from transferlab.results import comparable, evaluated, left_out, pairs, published, rows, sources
from transferlab.results.archive import is_archive
from transferlab.results.comparable import Experiment
from transferlab.results.judgement import with_metric
from transferlab.results.lookup import among
from transferlab.runtime.reading import Damaged, Unreadable
from transferlab.store.curves import has_curve, read_curve

log = logging.getLogger(__name__)
LEADING = (
    "id", "label", "variant", "base", "target", "n", "fine_tuned", "split", "split_seed", "data",
    "data_set", "model", "seed", *METRICS, "chance", "learned", "counts",
    "target_base_metric", "delta_to_target_base",
)  # fmt: skip
CURVE = ("id", "label", "step", "value", "val_loss", "train_loss")
Made = TypeVar("Made")
Curve = list[tuple[object, ...]] | str  # the rows of CURVE, or what is wrong with them


@dataclass(frozen=True, eq=False)
class Results:
    """`table` has the columns `LEADING`, then the config's keys, then the numbers' provenance.

    Accuracies are fractions. `metric` is the default of tables and figures, of which are `learned`,
    `counts`, `target_base_metric` and `delta_to_target_base`: see `judged`. A base network's base
    is itself. `left_out` has the columns `LEFT_OUT`, its `kind` is one of `KINDS`; runs at chance
    level are in both. `evaluations` are those of the finished runs: see `evaluated`. `stores` are
    the stores and archives that were read.
    """

    stores: tuple[str, ...]
    table: pd.DataFrame
    left_out: pd.DataFrame
    metric: str
    evaluations: pd.DataFrame = field(default_factory=evaluated.empty)

    @property
    def store(self) -> str:
        """What was read, by name: one store, or several."""
        return ", ".join(self.stores)

    @property
    def folder(self) -> str | None:
        """The first of the stores that runs are trained into; None if there is none."""
        names = (s for s in self.stores if not (published.is_published(s) or is_archive(s)))
        return next(names, None)

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

    @cached_property
    def _made(self) -> dict[object, Any]:
        return {}

    def once(self, key: object, make: Callable[[], Made]) -> Made:
        """What `make` returns, made once for these results, under a key of its own: parts that
        several tables and figures of a page have in common."""
        if key not in self._made:
            self._made[key] = make()
        made: Made = self._made[key]
        return made

    @cached_property
    def with_curve(self) -> frozenset[str]:
        """The ids of the runs with a learning curve by the metric that is shown. Of a store this
        says that the file exists: `curves` reads it."""
        if published.is_published(self.store):
            return frozenset(point["id"] for point in published.curves(self.store))
        runs = self.table[self.table[measure_of(self.metric).final].notna()]
        return frozenset(
            identity
            for identity, folder in zip(runs["id"].tolist(), runs["path"].tolist(), strict=True)
            if has_curve(folder)
        )


def load(store: Path | str, *others: Path | str, study: str | None = None) -> Results:
    """All finished runs of a store, or of one study; of a CSV file (`archive`); of several of
    these, each run once; or `published:yosinski2014`.

    Raises: UserError if a store or study is unknown, a store is empty, or a run has another outcome
        in another store.
    """
    stores = (store, *others)
    for name in filter(published.is_published, stores):
        found = _published(published.named(name))
        if others:
            raise UserError(f"--store {found.store} is not united with others: read it alone")
        sources.require_no_study(found.store, study)
        return found
    parts = [sources.read(each, study) for each in stores]
    table = _finished(sources.united(parts))
    metric = usual_metric(table)
    evaluations, faults = evaluated.read(parts)
    finished = {*table["id"]}
    absent = [
        *(left_out.fault(error) for part in parts for error in part.faults),
        *left_out.unread(parts, finished),
        *left_out.not_counting(table, metric),
        *map(left_out.fault, faults),
        *left_out.missing(parts, finished),
    ]
    names = tuple(part.name for part in parts)
    return Results(names, table, left_out.table(absent), metric, evaluations)


def judged(results: Results, metric: str) -> Results:
    """The results with that metric as the one that is shown, by which the runs are judged."""
    if metric == results.metric:
        return results
    table = with_metric(results.table, metric)
    unfinished = results.left_out[~results.left_out["kind"].isin(left_out.FINISHED)]
    rows = [left_out.row(*map(str, run)) for run in unfinished.to_numpy()]
    absent = left_out.table([*rows, *left_out.not_counting(table, metric)])
    return replace(results, table=table, left_out=absent, metric=metric)


def curves(results: Results, ids: Iterable[str] | None = None) -> pd.DataFrame:
    """The learning curves of those runs, or of all: a row a validation, columns `CURVE`.

    `value` is the measure of the metric that is shown; a run that lacks it has no curve.
    `attrs["missing"]` lists the ids without a curve, `attrs["faults"]` has, by id, what is wrong
    with curves that cannot be used.
    """
    table = results.table if ids is None else results.table[among(results.table["id"], ids)]
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
            split = left_out.split_label(network.config["split.name"], network.config["split.seed"])
            reason = "the release has no log of it"
            missing.append(left_out.row(network.id, network.label, split, "missing", reason, path))
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
    absent = left_out.table([*left_out.not_counting(table, metric), *missing])
    return judged(Results((store,), table, absent, metric), published.METRIC)


# --- curves ---------------------------------------------------------------------------------------


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
