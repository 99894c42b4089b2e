"""Batch normalisation and rates: the lecture's table, with the steps to the baseline's accuracy."""

import math

import pandas as pd

from transferlab.results import loading
from transferlab.results.exhibits import Selection
from transferlab.results.lecture import settings
from transferlab.results.tables import lecture
from transferlab.results.tables.frame import counting

STUDY, STEPS = "bn_rates", "bn_rates/steps"
EXTRA = ("steps", "reached", "published_steps")


def build(selection: Selection) -> pd.DataFrame:
    """The columns of `lecture.build`, and the `steps` to the best validation accuracy of the first
    setting, Inception without batch norm, with the same seed: the mean of those that reached it,
    `reached` of so many, also of those at chance level. Ioffe, Szegedy 2015, Fig. 3."""
    table = lecture.build(selection, study=STUDY)
    published = {setting.name: setting.value for setting in settings(STEPS)}
    steps = _steps(selection)
    rows = table.assign(published_steps=table["setting"].map(published))
    if len(steps):
        rows = rows.merge(steps, on="experiment", how="left")
    rows = rows.reindex(columns=[*table.columns, *EXTRA])
    rows.attrs = dict(table.attrs)
    shown = [column for column in table.attrs["shown"] if not column.startswith("difference")]
    rows.attrs["shown"] = [*shown, *EXTRA]
    return rows


def _steps(selection: Selection) -> pd.DataFrame:
    """Experiment -> steps and reached."""
    runs = {part.name: part.runs for part in selection.experiments}
    curves = loading.curves(selection.results, selection.ids)
    goals: dict[tuple[object, ...], float] = {}
    for part in runs.values():
        if settings(STUDY)[0].of(part).all():
            best = curves.groupby("id")["value"].max()
            learned = counting(part)
            learned = learned[learned["id"].isin(best.index)]
            goals |= {_key(run): best[run["id"]] for _, run in learned.iterrows()}
    rows = []
    for name, part in runs.items():
        wanted = [(run["id"], goals[_key(run)]) for _, run in part.iterrows() if _key(run) in goals]
        reached = [
            step for run, goal in wanted if not math.isnan(step := _first(curves, run, goal))
        ]
        mean = sum(reached) / len(reached) if reached else math.nan
        if wanted:
            row = {"experiment": name, "steps": mean, "reached": f"{len(reached)} of {len(wanted)}"}
            rows.append(row)
    return pd.DataFrame(rows)


def _key(run: pd.Series) -> tuple[object, ...]:
    return tuple(map(str, run[lecture.SAME]))


def _first(curves: pd.DataFrame, run: str, goal: float) -> float:
    """The step of the first validation of a run with that accuracy, nan if there is none."""
    curve = curves[(curves["id"] == run) & (curves["value"] >= goal)]
    return float(curve["step"].min())
