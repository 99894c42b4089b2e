"""Which runs may be averaged: those that differ in nothing but split, seed and variant.

Data, network and recipe make an experiment. Two keys apply only to some runs: within one half, the
means of base and target are the same, and a network for all classes has one output for each; such
runs belong to every experiment that agrees with them otherwise.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pandas as pd

from transferlab.errors import UserError
from transferlab.experiment.identity import DROPS, DROPS_OF, NEUTRAL, NOT_IN_ID
from transferlab.experiment.keys import known_keys
from transferlab.results import naming

# Keys that apply only to some runs, each with its value where it applies to none of an experiment
SHARED = {"data.mean": "base", "model.num_outputs": "null", "model.cuts": "stage"}
ID_DIGITS = 6
# Every key of the config in which the runs of one experiment agree
KEYS = tuple(
    key
    for key in known_keys()
    if key.startswith(("data.", "model.", "train.", "revision")) and key not in NOT_IN_ID
)
FACTS = ("data_set", "data_classes", "data_images")


@dataclass(frozen=True, eq=False)
class Experiment:
    """`id` is a digest of the keys in which its runs agree, `e-4f2a91`; `name` is for people, and
    has what distinguishes it from the other experiments."""

    id: str
    name: str
    runs: pd.DataFrame


def split(table: pd.DataFrame) -> tuple[Experiment, ...]:
    """The runs of a results table by experiment, in the order of their first runs.

    The table has the columns KEYS and FACTS, and those of base, target and split.
    """
    if table.empty:
        return ()
    keys = _keys(table)
    fixed = ["no mean", *(key for key in KEYS if key not in SHARED)]
    parts: list[pd.DataFrame] = []
    for _, group in keys.groupby(fixed, dropna=False, sort=False):
        for by_outputs in _by(group, "model.num_outputs"):
            for by_cuts in _by(by_outputs, "model.cuts"):
                parts += _by(by_cuts, "data.mean")
    agreed = [{key: max(part[key].unique(), key=len) for key in KEYS} for part in parts]
    facts = [_facts(table.loc[part.index], own) for part, own in zip(parts, agreed, strict=True)]
    return tuple(
        Experiment(_id(own), name, table.loc[part.index])
        for own, name, part in zip(agreed, naming.names(facts), parts, strict=True)
    )


def matching(experiments: Iterable[Experiment], text: str) -> tuple[Experiment, ...]:
    """The experiment with that id or name, or with all words of `text` in its name; or none.

    Raises: UserError if there are several, with their ids and names.
    """
    experiments = tuple(experiments)
    words = text.lower().split()
    for matches in (
        tuple(part for part in experiments if text in (part.id, part.name)),
        tuple(part for part in experiments if all(word in part.name.lower() for word in words)),
    ):
        if len(matches) == 1:
            return matches
    if matches:
        raise UserError(
            f"--experiment '{text}' is ambiguous: name one of these by its id or by more of its "
            "name",
            listed(matches),
        )
    return ()


def chosen(experiments: Iterable[Experiment], text: str) -> Experiment:
    """The one experiment that `text` matches. Raises: UserError if there is none, or several."""
    experiments = tuple(experiments)
    for match in matching(experiments, text):
        return match
    known = "choose one of these by its id or part of its name"
    raise UserError(
        f"--experiment '{text}' is unknown: {known if experiments else 'no run is finished'}",
        listed(experiments),
    )


def listed(experiments: Iterable[Experiment]) -> list[str]:
    """A line for each experiment: its id and its name."""
    return [f"  {experiment.id}  {experiment.name}" for experiment in experiments]


def _keys(table: pd.DataFrame) -> pd.DataFrame:
    """KEYS as text, empty where a shared key does not apply to the run; "null" for None, and the
    neutral value for a key that did not exist when the run was made."""
    columns = {key: [_text(key, value) for value in table[key].tolist()] for key in KEYS}
    keys = pd.DataFrame(columns, index=table.index, dtype=object)
    for schedule, used in DROPS_OF.items():
        unused = [f"train.{key}" for key in DROPS if key not in used]
        keys.loc[keys["train.schedule"] == schedule, unused] = "null"
    within = table["base"].isna() | (table["base"] == "R") | (table["base"] == table["target"])
    one_mean = within & keys["data.mean"].isin(["base", "target"])
    keys["no mean"] = keys["data.mean"] == "none"  # another recipe, also within one half
    keys.loc[one_mean, "data.mean"] = ""
    keys.loc[table["base"].isna(), "model.cuts"] = ""  # a base network has no cut
    whole = (table["split"] == "whole") & (keys["model.num_outputs"] == "null")
    keys.loc[whole, "model.num_outputs"] = ""
    return keys


def _text(key: str, value: object) -> str:
    if pd.isna(value):  # type: ignore[call-overload]
        value = NEUTRAL.get(key)
    return "null" if value is None else str(value)


def _by(keys: pd.DataFrame, shared: str) -> list[pd.DataFrame]:
    """The runs by the values of a shared key; those without it are in each group."""
    values = [value for value in keys[shared].unique() if value]
    if not values:
        return [keys]
    return [keys[keys[shared].isin([value, ""])] for value in values]


def _facts(runs: pd.DataFrame, keys: Mapping[str, str]) -> naming.Facts:
    """What the records of an experiment say of its images."""
    classes, images = (runs[key].dropna() for key in ("data_classes", "data_images"))
    return naming.Facts(
        str(runs["data_set"].iloc[0]),
        int(classes.iloc[0]) if len(classes) else None,
        int(images.iloc[0]) if len(images) else None,
        keys,
    )


def _id(keys: Mapping[str, str]) -> str:
    """The same for the same keys, whichever other experiments and runs there are."""
    values = {key: keys[key] or SHARED[key] for key in KEYS}
    neutral = {key: "null" if value is None else str(value) for key, value in NEUTRAL.items()}
    kept = {key: value for key, value in values.items() if value != neutral.get(key)}
    text = json.dumps(kept, sort_keys=True)
    return f"e-{hashlib.sha256(text.encode()).hexdigest()[:ID_DIGITS]}"
