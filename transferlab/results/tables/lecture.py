"""The lecture's experiments: our networks, setting by setting, beside what their papers report."""

from collections.abc import Collection, Iterator, Sequence

import numpy as np
import pandas as pd

from transferlab.results import comparable, intervals, loading, pairs
from transferlab.results.comparable import Experiment
from transferlab.results.exhibits import Selection
from transferlab.results.lecture import Setting, settings
from transferlab.results.loading import Results
from transferlab.results.tables.frame import Row, counting, frame

COLUMNS = (
    "group", "setting", "experiment", "ours", "low_95", "high_95", "runs", "at_chance",
    "difference", "difference_low", "difference_high", "measure", "published",
    "published_metric", "status", "source",
)  # fmt: skip
PERCENT = ("ours", "low_95", "high_95", "difference", "difference_low", "difference_high")
SHOWN = tuple(column for column in COLUMNS if column != "source")
STUDIES = (
    "chatfield2014", "vgg_depth", "vgg_scales", "bn_rates", "plain_residual", "averaging",
    "filters",
)  # fmt: skip
ERROR, AVERAGE_PRECISION = "error", "map11"
SAME = ["data_set", "split", "split_seed", "seed", "target"]  # of two runs that make a pair


def build(selection: Selection, *, study: str) -> pd.DataFrame:
    """`ours` is the mean over the runs of an experiment, by `measure`: `error`, one less the
    accuracy, or an average precision; `difference` that to the first setting of the group, in pairs
    of runs on the same images with the same seed. Both have a 95 % interval over repetitions, of
    other seeds or splits. `published` is as printed."""
    shown = settings(study) if selection.experiments else ()
    rows = [row for setting in shown for row in _rows(selection, setting, study)]
    table = frame(selection, COLUMNS, rows, percent=PERCENT, by_experiment=False)
    table.attrs["shown"] = list(SHOWN)
    return table


def overview(selection: Selection) -> pd.DataFrame:
    """The same of every experiment with a finished run, in column `study`."""
    rows = [
        {"study": study, **row}
        for study in STUDIES
        for setting in settings(study)
        for row in _rows(selection, setting, study)
        if "experiment" in row
    ]
    table = frame(selection, ("study", *COLUMNS), rows, percent=PERCENT, by_experiment=False)
    table.attrs["shown"] = ["study", *SHOWN]
    return table


def select(
    runs: pd.DataFrame, results: Results, studies: Sequence[str] = STUDIES
) -> tuple[Experiment, ...]:
    """The runs of these experiments: those with one label an image by the metric that is shown,
    those with several, for which a network was fine-tuned, by their average precision."""
    judged = loading.judged(results, f"{AVERAGE_PRECISION}_final")
    several = pairs.prepare(judged.table, judged.metric)
    runs = pd.concat([runs.assign(measure=ERROR), several.assign(measure=AVERAGE_PRECISION)])
    runs = runs[runs["accuracy"].notna()]
    of_study = [setting.of(runs) for study in studies for setting in settings(study)]
    return comparable.split(runs[np.logical_or.reduce(of_study)])


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
    first = next(each for each in settings(study) if each.group == setting.group)
    found = list(_found(selection, setting))
    others = [] if first is setting else [runs for _, runs in _found(selection, first)]
    varied = {"model.name", *(key for each in settings(study) for key in each.where)}
    if not found:
        yield published
    for name, runs in found:
        alike = [other for other in others if _agree(runs, other, but=varied)]
        yield {**published, **_measured(name, runs), **_compared(runs, alike)}


def _agree(runs: pd.DataFrame, others: pd.DataFrame, *, but: Collection[str]) -> bool:
    """Whether two experiments differ in nothing but these keys."""
    keys = [key for key in comparable.KEYS if key not in but]
    one, other = runs[keys].iloc[0].map(repr), others[keys].iloc[0].map(repr)
    return bool((one == other).all())


def _found(selection: Selection, setting: Setting) -> Iterator[tuple[str, pd.DataFrame]]:
    """The runs of a setting by experiment, each with its `value` and what this `measure`s."""
    for part in selection.experiments:
        if not setting.of(part.runs).all():
            continue
        if not setting.asked and setting.averaged == 1:
            error = part.runs["measure"] == ERROR
            accuracy = part.runs["accuracy"]
            yield part.name, part.runs.assign(value=accuracy.where(~error, 1 - accuracy))
            continue
        answers = setting.answers(selection.results.evaluations)
        answers = answers.assign(**_value(answers))[["kept_with", "data_set", "value", "measure"]]
        runs = part.runs.drop(columns=["data_set", "measure"])
        runs = runs.merge(answers, left_on="id", right_on="kept_with").dropna(subset="value")
        if len(runs):
            yield part.name, runs


def _value(answers: pd.DataFrame) -> dict[str, pd.Series | str]:
    """What evaluations found: the error, or of several labels an image the precision."""
    if AVERAGE_PRECISION in answers and answers[AVERAGE_PRECISION].notna().any():
        return {"value": answers[AVERAGE_PRECISION], "measure": AVERAGE_PRECISION}
    top1 = answers["top1"] if "top1" in answers else pd.Series(index=answers.index, dtype=float)
    return {"value": 1 - top1, "measure": ERROR}


def _measured(name: str, runs: pd.DataFrame) -> Row:
    """The mean of an experiment's runs."""
    shown = counting(runs)
    row = {"experiment": name, "runs": len(shown), "at_chance": len(runs) - len(shown)}
    row["measure"] = runs["measure"].iloc[0]
    return row | _interval(shown, ("ours", "low_95", "high_95"), intervals.ACCURACY)


def _compared(runs: pd.DataFrame, others: Sequence[pd.DataFrame]) -> Row:
    """The mean difference to the runs of the group's first setting, in pairs."""
    names = ("difference", "difference_low", "difference_high")
    if not others:
        return {}
    first = counting(pd.concat(others))[[*SAME, "measure", "value"]]
    both = counting(runs).merge(first, on=[*SAME, "measure"], suffixes=("", "_first"))
    return _interval(both.assign(value=both["value"] - both["value_first"]), names)


def _interval(
    values: pd.DataFrame, names: Sequence[str], bounds: tuple[float, float] = intervals.ANY
) -> Row:
    """Mean, low and high over the repetitions, under these names."""
    if values.empty:
        return {}
    values = pairs.repeated(values).assign(one="")
    row = intervals.over_repetitions(values, ["one"], bounds=bounds).iloc[0]
    return dict(zip(names, row[["mean", "low", "high"]], strict=True))
