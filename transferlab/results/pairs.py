"""Runs in pairs that differ in one thing only: same target, same split, same seed.

The halves of a split are not equally hard, so a difference of means over different targets measures
that difference too. Every pair is of runs that learned. The caller passes the runs of one
experiment.
"""

from collections.abc import Iterator

import pandas as pd

from transferlab.results import comparable
from transferlab.results.loading import with_metric

NEEDED = (
    "id", "label", "base", "target", "n", "fine_tuned", "split", "split_seed", "split.digest",
    "seed", "learned", "target_base_id", "target_base_top1", "delta_to_target_base",
    "transfer.keep", *comparable.FACTS, *comparable.KEYS,
)  # fmt: skip
SERIES = ("baseB", "BnB", "BnB+", "AnB", "AnB+")  # the paper's, mirror images merged


def prepare(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    """A results table with the columns that comparisons need.

    `accuracy` is the metric; `series` the paper's name, or `random`; `delta` the difference to the
    base of the run's own target, `gain` the same where both learned; `unit` names the split, `pair`
    the split, target, seed and n.
    """
    table = with_metric(table, metric)[[*NEEDED, metric]]
    learned = table["target_base_id"].map(table.set_index("id")["learned"]).eq(True)
    delta = table["delta_to_target_base"]
    split = _joined(table[["split", "split_seed", "split.digest"]])
    return table.assign(
        accuracy=table[metric],
        series=_series(table),
        delta=delta,
        base_learned=learned,
        gain=delta.where(table["learned"] & learned),
        unit=split,
        pair=split + " " + _joined(table[["target", "seed", "n"]]),
    )


def to_base(runs: pd.DataFrame) -> pd.DataFrame:
    """Each run less the base of its own target: `difference`, `unit`, `seed`."""
    compared = runs.dropna(subset="gain")
    return compared.assign(difference=compared["gain"])[["difference", "unit", "seed"]]


def matched(runs: pd.DataFrame, partners: pd.DataFrame) -> pd.DataFrame:
    """Each run less its partner with the same target, split, seed and n; columns as `to_base`."""
    accuracy = partners[partners["learned"]].set_index("pair")["accuracy"]
    compared = runs[runs["learned"] & runs["pair"].isin(accuracy.index)]
    difference = compared["accuracy"] - compared["pair"].map(accuracy).astype(float)
    return compared.assign(difference=difference)[["difference", "unit", "seed"]]


def triples(runs: pd.DataFrame) -> pd.DataFrame:
    """Base, frozen selffer and frozen transfer of the same target, split and seed, a row a triple.

    Columns `n`, `unit`, `seed`, and the differences `co-adaptation`, `specificity`, `total`.
    """
    transfers = runs[(runs["series"] == "AnB")].dropna(subset="gain")
    selffers = runs[(runs["series"] == "BnB")].dropna(subset="gain").set_index("pair")["gain"]
    compared = transfers[transfers["pair"].isin(selffers.index)]
    selffer = compared["pair"].map(selffers).astype(float)
    return pd.DataFrame(
        {
            "pair": compared["pair"],
            "n": compared["n"],
            "unit": compared["unit"],
            "seed": compared["seed"],
            "co-adaptation": -selffer,
            "specificity": selffer - compared["gain"],
            "total": -compared["gain"],
        }
    )


def unmatched(runs: pd.DataFrame, triples: pd.DataFrame) -> Iterator[str]:
    """How many selffers and transfers are in no triple, and why."""
    for series, other in (("AnB", "BnB"), ("BnB", "AnB")):
        unpaired = runs[(runs["series"] == series) & ~runs["pair"].isin(triples["pair"])]
        partners = runs[runs["series"] == other].set_index("pair")["learned"]
        chance = ~unpaired["learned"] | unpaired["pair"].isin(partners.index[~partners])
        no_base = ~chance & unpaired["target_base_top1"].isna()
        base_chance = ~chance & ~no_base & ~unpaired["base_learned"]
        no_partner = ~chance & ~no_base & ~base_chance & ~unpaired["pair"].isin(partners.index)
        reasons = {
            f"without its {other} on the same target": no_partner,
            "without the base of its target": no_base,
            "whose base is at chance level": base_chance,
            f"at chance level, or with such a {other}": chance,
        }
        for reason, rows in reasons.items():
            if rows.any():
                yield f"{rows.sum()} {series} {reason} ({_names(unpaired[rows])})"


def _names(runs: pd.DataFrame) -> str:
    seeds = runs["split_seed"].astype(str).where(runs["split_seed"].notna(), "")
    names = (runs["label"] + " " + runs["split"] + seeds).head(3).tolist()
    return ", ".join(names) + (", ..." if len(runs) > 3 else "")


def _series(table: pd.DataFrame) -> pd.Series:
    plus = table["fine_tuned"].map({True: "+", False: ""}).astype(str)
    pattern = (table["base"] == table["target"]).map({True: "BnB", False: "AnB"}) + plus
    return pattern.mask(table["base"].isna(), "baseB").mask(table["base"] == "R", "random")


def _joined(columns: pd.DataFrame) -> pd.Series:
    """The cells of a row as one text."""
    text = columns.astype(object).where(columns.notna(), "").astype(str)
    joined = text.iloc[:, 0]
    for key in text.columns[1:]:
        joined = joined + " " + text[key]
    return joined
