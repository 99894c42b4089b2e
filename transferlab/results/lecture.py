"""The experiments of the lecture "Network Structures", with what their papers report.

`lecture.csv` beside this file has a line for each setting of an experiment: the networks that stand
for it here, one for small images and that of the paper, and the published value with its source.
"""

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
import pandas as pd

from transferlab.experiment.identity import NEUTRAL

SERIES = "series"  # the paper's name of a network, as AnB+


@dataclass(frozen=True)
class Setting:
    """A setting of an experiment, and what its paper reports of it.

    Our runs of it have one of the `models`, and for each key of `where` one of its values, as text.
    With `asked` the number is not of the runs' own validation but of an evaluation with such
    settings, of an average of `averaged` runs. Within a `group` settings are compared with the
    first. `value` is as printed, of `metric`.
    """

    group: str
    name: str
    models: tuple[str, ...]
    where: Mapping[str, tuple[str, ...]]
    asked: Mapping[str, tuple[str, ...]]
    averaged: int
    metric: str
    value: str
    status: str
    source: str

    def of(self, table: pd.DataFrame) -> pd.Series:
        """Which runs, as `pairs.prepare` makes them, are of this setting."""
        found = table["model.name"].isin(self.models)
        if SERIES not in self.where:
            found &= table["n"] == 0  # base networks
        for key, values in self.where.items():
            if not found.any():  # of most settings a store has no run
                break
            missing = _text(NEUTRAL.get(key))  # of a run that was made before there was the key
            found &= table[key].map(_text).replace("", missing).isin(values)
        return found

    def answers(self, evaluations: pd.DataFrame) -> pd.DataFrame:
        """The rows of `evaluated.read` that are of such an evaluation, of whichever runs."""
        found = evaluations["runs"].eq(self.averaged)
        if self.averaged == 1:  # a row below an average repeats the evaluation of one run
            whole = evaluations[evaluations["runs"] > 1]["evaluation"]
            found &= ~evaluations["evaluation"].isin(whole)
        settings = evaluations["settings"].map(json.loads)
        for key, values in self.asked.items():
            found &= settings.map(lambda given, key=key: _text(given.get(key))).isin(values)
        return evaluations[found]


@cache
def settings(study: str) -> tuple[Setting, ...]:
    """The settings of an experiment, in the order of its paper."""
    text = resources.files("transferlab.results").joinpath("lecture.csv").read_text("utf-8")
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    return tuple(_setting(row) for row in rows if row["study"] == study)


def _setting(row: Mapping[str, str]) -> Setting:
    return Setting(
        row["group"],
        row["setting"],
        tuple(row["models"].split()),
        _pairs(row["where"]),
        _pairs(row["asked"]),
        int(row["averaged"] or 1),
        row["metric"],
        row["value"],
        row["status"],
        row["source"],
    )


def _pairs(text: str) -> dict[str, tuple[str, ...]]:
    """`key=value|value;key=value`."""
    pairs = (part.split("=", 1) for part in text.split(";") if part)
    return {key: tuple(values.split("|")) for key, values in pairs}


def _text(value: object) -> str:
    """A value as it is in the file: `ten`, `true`, `32,36,40`; empty for none."""
    if isinstance(value, list | tuple):
        return ",".join(map(_text, value))
    if value is None or value is pd.NA or value != value:
        return ""
    return str(value).lower() if isinstance(value, bool | np.bool_) else str(value)
