"""The experiments of the lecture "Network Structures", with what their papers report.

`lecture.csv` beside this file has a line for each setting of an experiment: the networks that stand
for it here, one for small images and that of the paper, and the published value with its source.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

import pandas as pd


@dataclass(frozen=True)
class Setting:
    """A setting of an experiment, and what its paper reports of it.

    Our runs of it have one of the `models`, and for each key of `where` one of its values, as text.
    Within a `group` settings are compared with the first. `value` is as printed, of `metric`.
    """

    group: str
    name: str
    models: tuple[str, ...]
    where: Mapping[str, tuple[str, ...]]
    metric: str
    value: str
    status: str
    source: str

    def of(self, table: pd.DataFrame) -> pd.Series:
        """Which runs, as `pairs.prepare` makes them, are of this setting."""
        found = table["model.name"].isin(self.models)
        for key, values in self.where.items():
            found &= table[key].map(str).isin(values)
        return found


@cache
def models(study: str) -> frozenset[str]:
    """The networks of an experiment."""
    return frozenset(name for setting in settings(study) for name in setting.models)


@cache
def settings(study: str) -> tuple[Setting, ...]:
    """The settings of an experiment, in the order of its paper."""
    text = resources.files("transferlab.results").joinpath("lecture.csv").read_text("utf-8")
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    return tuple(_setting(row) for row in rows if row["study"] == study)


def _setting(row: Mapping[str, str]) -> Setting:
    pairs = (part.split("=") for part in row["where"].split(";") if part)
    return Setting(
        row["group"],
        row["setting"],
        tuple(row["models"].split()),
        {key: tuple(values.split("|")) for key, values in pairs},
        row["metric"],
        row["value"],
        row["status"],
        row["source"],
    )
