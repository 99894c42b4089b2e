"""The lecture's experiments: our networks, setting by setting, beside what their papers report."""

from collections.abc import Iterator, Sequence

import pandas as pd

from transferlab.results import comparable, intervals
from transferlab.results.comparable import Experiment
from transferlab.results.exhibits import Selection
from transferlab.results.lecture import Setting, models, settings
from transferlab.results.tables.frame import Row, counting, frame

COLUMNS = (
    "group", "setting", "network", "error", "error_low", "error_high", "runs", "at_chance",
    "difference", "difference_low", "difference_high", "published", "published_metric", "status",
    "source",
)  # fmt: skip
PERCENT = ("error", "error_low", "error_high", "difference", "difference_low", "difference_high")
SHOWN = tuple(column for column in COLUMNS if column != "source")
STUDIES = (
    "vgg_depth", "plain_residual", "bn_rates", "filters",
)  # fmt: skip
SAME = ["data_set", "split", "split_seed", "seed", "target"]  # of two runs that make a pair


def build(selection: Selection, *, study: str) -> pd.DataFrame:
    """`error` is one less the accuracy, averaged over the runs of an experiment; `difference` that
    to the first setting of the group, in pairs of runs on the same images with the same seed. Both
    have a 95 % interval over repetitions, of other seeds or splits. `published` is as printed."""
    rows = [row for setting in settings(study) for row in _rows(selection, setting, study)]
    table = frame(selection, COLUMNS, rows, percent=PERCENT)
    table.attrs["shown"] = list(SHOWN)
    return table


def overview(selection: Selection) -> pd.DataFrame:
    """The same of every experiment with a finished run, in column `study`."""
    rows = [
        {"study": study, **row}
        for study in STUDIES
        for setting in settings(study)
        for row in _rows(selection, setting, study)
        if "network" in row
    ]
    table = frame(selection, ("study", *COLUMNS), rows, percent=PERCENT)
    table.attrs["shown"] = ["study", *SHOWN]
    return table


def select(runs: pd.DataFrame, studies: Sequence[str] = STUDIES) -> tuple[Experiment, ...]:
    """The base networks of these experiments."""
    of_study = runs["model.name"].isin({name for study in studies for name in models(study)})
    return comparable.split(runs[of_study & (runs["n"] == 0)])


def _rows(selection: Selection, setting: Setting, study: str) -> Iterator[Row]:
    """A row for each experiment with runs of the setting; one without where there is none."""
    published = {
        "group": setting.group,
        "setting": setting.name,
        "published": setting.value,
        "published_metric": setting.metric,
        "status": setting.status,
        "source": setting.source,
    }
    found = [part for part in selection.experiments if setting.of(part.runs).all()]
    if not found:
        yield published
    first = next(each for each in settings(study) if each.group == setting.group)
    others = [part.runs for part in selection.experiments if first.of(part.runs).all()]
    for part in found:
        yield {**published, **_measured(part), **_compared(part.runs, others)}


def _measured(experiment: Experiment) -> Row:
    """The mean error of an experiment's runs."""
    runs = counting(experiment.runs)
    row = {
        "network": experiment.name,
        "runs": len(runs),
        "at_chance": len(experiment.runs) - len(runs),
    }
    values = runs.assign(value=1 - runs["accuracy"])
    return row | _interval(values, ("error", "error_low", "error_high"), intervals.ACCURACY)


def _compared(runs: pd.DataFrame, others: Sequence[pd.DataFrame]) -> Row:
    """The mean difference in error to the runs of the group's first setting, in pairs."""
    names = ("difference", "difference_low", "difference_high")
    if not others or any(runs["id"].isin(other["id"]).any() for other in others):
        return {}
    first = counting(pd.concat(others))[[*SAME, "accuracy"]]
    pairs = counting(runs).merge(first, on=SAME, suffixes=("", "_first"))
    return _interval(pairs.assign(value=pairs["accuracy_first"] - pairs["accuracy"]), names)


def _interval(
    values: pd.DataFrame, names: Sequence[str], bounds: tuple[float, float] = intervals.ANY
) -> Row:
    """Mean, low and high over the repetitions, under these names."""
    if values.empty:
        return {}
    unit = values["split"].map(str) + "/" + values["split_seed"].map(str) + "/"
    values = values.assign(unit=unit + values["seed"].map(str), one="")
    row = intervals.over_splits(values, ["one"], bounds=bounds).iloc[0]
    return dict(zip(names, row[["mean", "low", "high"]], strict=True))
