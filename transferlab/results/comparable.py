"""Which runs may be averaged: those that differ in nothing but split, seed and variant.

Data, network and recipe make an experiment. Two keys apply only to some runs: within one half, the
means of base and target are the same, and a network for all classes has one output for each; such
runs belong to every experiment that agrees with them otherwise.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from transferlab.experiment.identity import NOT_IN_ID
from transferlab.experiment.keys import known_keys

SHARED = ("data.mean", "model.num_outputs")
DIGITS = 8  # of a digest, where it distinguishes experiments
# Every key of the config in which the runs of one experiment agree
KEYS = tuple(
    key
    for key in known_keys()
    if key.startswith(("data.", "model.", "train.")) and key not in NOT_IN_ID
)


@dataclass(frozen=True, eq=False)
class Experiment:
    """`name` has data and model, and whatever distinguishes it from the other experiments."""

    name: str
    runs: pd.DataFrame


def split(table: pd.DataFrame) -> tuple[Experiment, ...]:
    """The runs of a results table by experiment, in the order of their first runs."""
    if table.empty:
        return ()
    keys = _keys(table)
    fixed = ["no mean", *(key for key in KEYS if key not in SHARED)]
    parts: list[pd.DataFrame] = []
    for _, group in keys.groupby(fixed, dropna=False, sort=False):
        for by_outputs in _by(group, "model.num_outputs"):
            parts += _by(by_outputs, "data.mean")
    names = _names(parts)
    return tuple(
        Experiment(name, table.loc[part.index]) for name, part in zip(names, parts, strict=True)
    )


def _keys(table: pd.DataFrame) -> pd.DataFrame:
    """KEYS as text, empty where a shared key does not apply to the run; "null" for None."""
    keys = table[list(KEYS)].astype(object).where(table[list(KEYS)].notna(), "null").astype(str)
    cosine = keys["train.schedule"] == "cosine"
    keys.loc[cosine, ["train.lr_step", "train.lr_factor"]] = "null"
    within = table["base"].isna() | (table["base"] == "R") | (table["base"] == table["target"])
    one_mean = within & keys["data.mean"].isin(["base", "target"])
    keys["no mean"] = keys["data.mean"] == "none"  # another recipe, also within one half
    keys.loc[one_mean, "data.mean"] = ""
    whole = (table["split"] == "whole") & (keys["model.num_outputs"] == "null")
    keys.loc[whole, "model.num_outputs"] = ""
    return keys


def _by(keys: pd.DataFrame, shared: str) -> list[pd.DataFrame]:
    """The runs by the values of a shared key; those without it are in each group."""
    values = [value for value in keys[shared].unique() if value]
    if not values:
        return [keys]
    return [keys[keys[shared].isin([value, ""])] for value in values]


def _names(parts: Sequence[pd.DataFrame]) -> list[str]:
    shown = [{key: _shown(part[key]) for key in KEYS} for part in parts]
    values = {key: {keys[key] for keys in shown} for key in KEYS}
    # Training without a mean is a recipe of its own, also beside runs to which the key does not
    # apply
    differing = {key for key in KEYS if len(values[key] - {""}) > 1 or values[key] == {"none", ""}}
    differing -= {"data.name", "model.name"}
    return [
        " ".join(
            [keys["data.name"], keys["model.name"]]
            + [f"{key}={value}" for key, value in keys.items() if key in differing and value]
        )
        for keys in shown
    ]


def _shown(values: pd.Series) -> str:
    value = max(values.unique(), key=len)  # empty only where it applies to none of the runs
    return value[:DIGITS] if len(value) == 64 else value
