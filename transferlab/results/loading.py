"""The finished runs of a store, or the published ones, as one pandas table: a row a run.

Every figure and table is a pure function of it. A run is compared with the base network of its own
target half, on the same split, seed, data, model and recipe; runs are averaged nowhere in here.
What is damaged, failed, at chance level or missing is listed apart, with the reason.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from transferlab import store as stores
from transferlab.errors import UserError
from transferlab.results import published, rows
from transferlab.results.rows import Unread
from transferlab.runtime import files
from transferlab.store import sweeps
from transferlab.store.sweeps import Sweep

FINAL = "top1_final"
LEADING = (
    "id", "label", "variant", "base", "target", "n", "fine_tuned", "split", "split_seed", "data",
    "model", "seed", "top1_final", "top1_best10", "top1_peak", "chance", "learned",
    "target_base_top1", "delta_to_target_base",
)  # fmt: skip
LEFT_OUT = ("id", "label", "split", "kind", "reason", "folder")
KINDS = ("damaged", "failed", "chance", "missing")
CURVE = ("id", "label", "step", "top1", "val_loss", "train_loss")


@dataclass(frozen=True, eq=False)
class Results:
    """`table` has the columns `LEADING`, then the config's keys, then where the numbers are from.

    Accuracies are fractions. `target_base_top1` and `delta_to_target_base` are of `top1_final`; a
    base network's own base is itself. `left_out` has the columns `LEFT_OUT`, its `kind` is one of
    `KINDS`; runs at chance level are in both. `metric` is what to show unless told otherwise.
    """

    store: str
    table: pd.DataFrame
    left_out: pd.DataFrame
    metric: str = FINAL


def load(store: Path | str, *, study: str | None = None) -> Results:
    """All finished runs of a store, or of one study; or `published:yosinski2014`.

    Raises: UserError if there is no such store or study, or nothing in it.
    """
    if published.is_published(store):
        return _published(published.named(store), study)
    place = Path(store).expanduser()
    if not place.is_dir():
        raise UserError(f"{place} is not a store: name one with --store DIR, or {_fill(place)}")
    found = rows.read(place)
    wanted, lost = _wanted(place, study)
    if not found.rows.num_rows and not found.unread and not wanted and not lost:
        raise UserError(f"{place} holds no run: {_fill(place)}")
    table = _finished(found.rows)
    unread = found.unread
    if study is not None:
        table = table[table["id"].isin(list(wanted))].reset_index(drop=True)
        unread = tuple(one for one in unread if one.id in wanted)
    left = [*lost, *map(_unread, unread), *_at_chance(table)]
    there = {*table["id"], *(one.id for one in unread)}
    left += _missing(place, {key: sweep for key, sweep in wanted.items() if key not in there})
    return Results(str(place), table, _left_out(left))


def with_metric(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    """The table with `target_base_top1` and `delta_to_target_base` of that metric."""
    own = table.set_index("id")[metric]
    base = table["target_base_id"].map(own).astype(float)
    return table.assign(target_base_top1=base, delta_to_target_base=table[metric] - base)


def curves(results: Results, ids: Iterable[str] | None = None) -> pd.DataFrame:
    """The learning curves of those runs, or of all: a row a validation, columns `CURVE`.

    `attrs["missing"]` lists the ids that have none.
    """
    table = results.table if ids is None else results.table[results.table["id"].isin(list(ids))]
    if published.is_published(results.store):
        all_rows = pd.DataFrame(published.curves(results.store))
        found = table[["id", "label"]].merge(all_rows, on="id")[list(CURVE)]
    else:
        parts = [_curve(*key) for key in table[["id", "label", "path"]].itertuples(index=False)]
        parts = [part for part in parts if part is not None]
        found = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=CURVE)
    found.attrs["missing"] = sorted(set(table["id"]) - set(found["id"]))
    return found


# --- the table ----------------------------------------------------------------------------------


def _finished(found: pa.Table) -> pd.DataFrame:
    nullable = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
    table = found.to_pandas(types_mapper=nullable.get)
    table = table.astype({"n": "int64", "fine_tuned": bool, "learned": bool})
    table = with_metric(table, FINAL)
    return table[[*LEADING, *(key for key in table.columns if key not in LEADING)]]


def _published(store: str, study: str | None) -> Results:
    networks = published.networks(store)
    if study is not None:
        raise UserError(f"--study {study} cannot be had of {store}: it has no studies")
    made, lost = [], []
    for network in networks:
        path = f"{store}/{network.id}"
        if network.record is None:
            split = _split_label(network.config["split.name"], network.config["split.seed"])
            why = "the release has no log of it"
            lost.append(_line(network.id, network.label, split, "missing", why, path))
            continue
        made.append(
            rows.row(
                network.config,
                network.record,
                identity=network.id,
                label=network.label,
                target_base_id=network.target_base_id,
                path=path,
            )
        )
    table = _finished(rows.table(made))
    return Results(store, table, _left_out([*_at_chance(table), *lost]), published.METRIC)


# --- what is left out ---------------------------------------------------------------------------


def _left_out(lines: Iterable[Mapping[str, str]]) -> pd.DataFrame:
    ordered = sorted(lines, key=lambda line: KINDS.index(line["kind"]))
    return pd.DataFrame(ordered, columns=list(LEFT_OUT), dtype="str")


def _line(
    identity: str, label: str, split: str, kind: str, reason: str, folder: object
) -> dict[str, str]:
    return dict(zip(LEFT_OUT, (identity, label, split, kind, reason, str(folder)), strict=True))


def _at_chance(table: pd.DataFrame) -> Iterator[dict[str, str]]:
    for run in table[~table["learned"]].to_dict("records"):
        why = f"at chance level: top1_final {run['top1_final']:.4f}, chance {run['chance']:.4f}"
        split = _split_label(run["split"], run["split_seed"])
        yield _line(run["id"], run["label"], split, "chance", why, run["path"])


def _unread(one: Unread) -> dict[str, str]:
    """A folder without a row: a damaged record, a failure, or not finished yet."""
    config = files.peek(one.folder / "config.json")
    label = str(config.get("label") or one.folder.name.partition("-")[0])
    name, seed = _split_of(config)
    kind, why = "damaged", one.damaged
    if why is None:
        failure = files.peek(one.folder / "failure.json").get("error")
        kind = "failed" if failure else "missing"
        why = str(failure).splitlines()[0] if failure else "not finished"
    return _line(one.id, label, _split_label(name, seed), kind, why, one.folder)


def _missing(place: Path, wanted: Mapping[str, Sweep]) -> Iterator[dict[str, str]]:
    """Runs that a sweep planned and of which there is not even a folder."""
    for identity, sweep in wanted.items():
        why = f"planned by study {sweep.study}, not started"
        try:
            config = sweep.manifest.node(identity, place=place).config
        except UserError as error:
            yield _line(identity, "", "", "missing", f"{why}; {error}", sweep.folder)
            continue
        folder = stores.locate(config, identity).folder
        yield _line(identity, config.label, config.split_label, "missing", why, folder)


def _wanted(place: Path, study: str | None) -> tuple[dict[str, Sweep], list[dict[str, str]]]:
    """Run id -> the sweep that planned it, and a line for each sweep that cannot be read."""
    wanted: dict[str, Sweep] = {}
    lost = []
    for path in sorted((place / sweeps.FOLDER).glob("*/sweep.json")):
        try:
            sweep = sweeps.read(path.parent)
            ids = tuple(sweep.manifest.rows)
        except UserError as error:
            lost.append(_line("", path.parent.name, "", "damaged", str(error), path.parent))
            continue
        if study in (None, sweep.study, sweep.folder.name):
            wanted |= dict.fromkeys(ids, sweep)
    if study is not None and not wanted:
        sweeps.find(place, study)  # says which studies there are
    return wanted, lost


def _fill(place: Path) -> str:
    return f"fill it with python -m transferlab sweep +study=quick runtime.store={place}"


def _split_label(name: object, seed: Any) -> str:
    """`random0`, `whole`."""
    return f"{name}{'' if seed is None or pd.isna(seed) else seed}"


def _split_of(record: Mapping[str, Any]) -> tuple[object, Any]:
    """Name and seed of the split in a `config.json` that may be anything."""
    try:
        return record["config"]["split"]["name"], record["config"]["split"]["seed"]
    except (KeyError, TypeError):
        return "", None


def _curve(identity: str, label: str, path: str) -> pd.DataFrame | None:
    try:
        curve = pd.read_csv(Path(path) / "metrics.csv")
        names = {"val/accuracy": "top1", "val/loss": "val_loss", "train/loss": "train_loss"}
        curve = curve.rename(columns=names)[["step", *names.values()]]
    except (OSError, ValueError, KeyError):
        return None
    return curve.assign(id=identity, label=label)[list(CURVE)]
