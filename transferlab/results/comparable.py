"""Which runs may be averaged: those that differ in nothing but split, seed and variant.

Data, network and recipe make an experiment. Two keys apply only to some runs: within one half, the
means of base and target are the same, and a network for all classes has one output for each; such
runs belong to every experiment that agrees with them otherwise. Halves of one data set are mirror
images; of two data sets, each as a target is an experiment of its own.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from transferlab.errors import UserError
from transferlab.experiment.identity import DROPS, DROPS_OF, NEUTRAL, NOT_IN_ID
from transferlab.experiment.keys import OPTIONAL, known_keys
from transferlab.results import naming
from transferlab.results.rows import data_set

# Keys that apply only to some runs, each with its value where it applies to none of an experiment
SHARED = {
    "model.num_outputs": "null", "model.cuts": "stage", "data.mean": "base",
    f"{OPTIONAL}.mean": "base",
}  # fmt: skip
TARGET = "target"  # the data set that a run is for, where A and B are two
ID_DIGITS = 6
# Every key of the config in which the runs of one experiment agree
KEYS = tuple(
    key
    for key in known_keys()
    if key.startswith(("data.", "model.", "train.", "revision", f"{OPTIONAL}."))
    and key not in NOT_IN_ID
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
    fixed = [keys.pop("fixed mean"), *(keys[key] for key in keys if key not in SHARED)]
    fixed = [fixed[0], *(values for values in fixed[1:] if len({*values}) > 1)]
    groups: dict[tuple[str, ...], list[int]] = {}
    for row, values in enumerate(zip(*fixed, strict=True)):
        groups.setdefault(values, []).append(row)
    parts = list(groups.values())
    for key in SHARED:
        parts = [by_value for part in parts for by_value in _by(keys[key], part)]
    agreed = [{key: _agreed(keys[key], part) for key in keys} for part in parts]
    runs = [table.iloc[part] for part in parts]
    names = naming.names(list(map(_facts, runs, agreed)))
    return tuple(
        Experiment(_id(own), name, part)
        for own, name, part in zip(agreed, names, runs, strict=True)
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


def _keys(table: pd.DataFrame) -> dict[str, list[str]]:
    """KEYS as text, a value a run, empty where a shared key does not apply to it; "null" for None,
    and the neutral value for a key that did not exist when the run was made.

    Also TARGET, and "fixed mean": none, or a colour, is another recipe, within one half, too.
    """
    of_two = table[f"{OPTIONAL}.name"].notna()
    keys = {TARGET: table["target"].where(of_two, "").tolist()}
    keys |= {key: _texts(key, table[key]) for key in KEYS}

    def put(text: str, key: str, where: pd.Series) -> None:
        for row in np.flatnonzero(where):
            keys[key][row] = text

    for schedule, used in DROPS_OF.items():
        for unused in (key for key in DROPS if key not in used):
            put("null", f"train.{unused}", table["train.schedule"] == schedule)
    of_half = np.array([mean in ("base", "target") for mean in keys["data.mean"]], dtype=bool)
    keys["fixed mean"] = list(np.where(of_half, "", keys["data.mean"]))
    is_base = table["base"].isna()
    within = is_base | (table["base"] == "R") | (table["base"] == table["target"])
    of_a = of_two & (table["target"] == "A")
    for shared, where in (("data.mean", within | of_a), (f"{OPTIONAL}.mean", within | ~of_a)):
        put("", shared, where & table[shared].isin(["base", "target"]))
    put("", "model.cuts", is_base)
    whole = table["split"] == naming.WHOLE
    put("", "model.num_outputs", whole & table["model.num_outputs"].isna())
    return keys


def _texts(key: str, column: pd.Series) -> list[str]:
    neutral = None if key == "revision" else NEUTRAL.get(key)  # published networks have none
    missing = "null" if neutral is None else str(neutral)
    codes, distinct = pd.factorize(column)  # few, of many runs; those that are missing are -1
    texts = np.array([*map(str, distinct.tolist()), missing], dtype=object)
    known: list[str] = texts[codes].tolist()
    return known


def _by(values: Sequence[str], rows: Sequence[int]) -> list[list[int]]:
    """The runs by their values of a shared key; those without it are in each group."""
    own = dict.fromkeys(values[row] for row in rows if values[row])
    return [[row for row in rows if values[row] in (value, "")] for value in own] or [list(rows)]


def _agreed(values: Sequence[str], rows: Sequence[int]) -> str:
    """The value of a key in which the runs agree, empty if it applies to none."""
    return max({values[row] for row in rows}, key=len)


def _facts(runs: pd.DataFrame, keys: Mapping[str, str]) -> naming.Facts:
    """What the records of an experiment say of its images, and the name of the base's, where these
    are others or only the weights are known."""
    first = runs.iloc[0]
    if not keys[TARGET]:
        return naming.Facts(_images(runs), keys)
    section = "data" if keys[TARGET] == "A" else OPTIONAL
    root, weights = (first.get(key) for key in (f"{section}.root", "split.weights"))
    base = data_set(first[f"{section}.name"], None if pd.isna(root) else root)
    if section == OPTIONAL and pd.notna(weights):
        base = Path(str(weights).rpartition(":")[2]).name
    return naming.Facts(_images(runs), keys, base)


def _images(runs: pd.DataFrame) -> naming.NamedImages:
    """The data set of the targets of the runs."""
    classes, images = (runs[key].dropna() for key in ("data_classes", "data_images"))
    return naming.NamedImages(
        str(runs["data_set"].iloc[0]),
        int(classes.iloc[0]) if len(classes) else None,
        int(images.iloc[0]) if len(images) else None,
    )


def _id(keys: Mapping[str, str]) -> str:
    """The same for the same keys, whichever other experiments and runs there are."""
    values = {key: keys[key] or SHARED[key] for key in KEYS}
    if keys[TARGET] == "A":  # B, and halves of one data set, are as before there were two
        values[TARGET] = "A"
    neutral = {key: "null" if value is None else str(value) for key, value in NEUTRAL.items()}
    neutral |= {key: "null" for key in KEYS if key.startswith(f"{OPTIONAL}.")}
    kept = {key: value for key, value in values.items() if value != neutral.get(key)}
    text = json.dumps(kept, sort_keys=True)
    return f"e-{hashlib.sha256(text.encode()).hexdigest()[:ID_DIGITS]}"
