"""Runs in pairs that differ in one thing only: same target, same split, same seed.

The halves of a split are not equally hard, so a difference of means over different targets measures
that difference too. Every pair is of runs that count. Runs of different experiments are never
paired: the caller passes the runs of several with their experiment's name in a column.
"""

from collections.abc import Iterator, Sequence

import pandas as pd

from transferlab.results import comparable, rows

NEEDED = (
    "id", "label", "base", "target", "n", "fine_tuned", "split", "split_seed", "split.digest",
    "seed", "learned", "counts", "target_base_id", "target_base_metric", "delta_to_target_base",
    "transfer.keep", "device", *rows.COST, *comparable.FACTS, *comparable.KEYS,
)  # fmt: skip
SERIES = ("baseB", "BnB", "BnB+", "AnB", "AnB+")  # the paper's, mirror images merged
PAIR = ["experiment", "pair"]
TRIAL = ["experiment", "trial"]


def prepare(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    """A results table, judged by the metric, with the columns that comparisons need.

    `accuracy` is the metric; `series` the paper's name, or `random`; `delta` the difference to the
    base of the run's own target, `gain` the same where both count; `halves` names the split,
    `trial` the split, target and seed, `pair` these and n.
    """
    table = table[[*NEEDED, metric]]
    base_counts = table["target_base_id"].map(table.set_index("id")["counts"]).eq(True)
    delta = table["delta_to_target_base"]
    split = _joined(table[["split", "split_seed", "split.digest"]])
    trial = split + " " + _joined(table[["target", "seed"]])
    return table.assign(
        accuracy=table[metric],
        series=_series(table),
        delta=delta,
        base_counts=base_counts,
        gain=delta.where(table["counts"] & base_counts),
        halves=split,
        trial=trial,
        pair=trial + " " + _joined(table[["n"]]),
    )


def repeated(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs of one experiment with what repeats in it, by kind of split.

    `unit` is `split` where there are splits of several seeds, else `seed`, that of the training:
    then the tasks are the same in all repetitions. `repetition` names the one of a run.
    """
    several = runs.groupby("split")["split_seed"].transform("nunique") > 1
    unit = several.map({True: "split", False: "seed"})
    seeds = _joined(runs[["seed"]])
    return runs.assign(unit=unit, repetition=runs["halves"].where(several, seeds))


def to_base(runs: pd.DataFrame) -> pd.DataFrame:
    """Each run less the base of its own target: the runs compared, the difference as `value`."""
    compared = runs.dropna(subset="gain")
    return compared.assign(value=compared["gain"])


def matched(runs: pd.DataFrame, partners: pd.DataFrame, on: Sequence[str] = PAIR) -> pd.DataFrame:
    """Each run less its partner with the same target, split, seed and n, or on TRIAL whatever its
    n; as `to_base`."""
    partners = partners.loc[partners["counts"], [*on, "accuracy"]]
    compared = runs[runs["counts"]].merge(
        partners, on=list(on), suffixes=("", "_partner"), validate="many_to_one"
    )
    return compared.assign(value=compared["accuracy"] - compared["accuracy_partner"])


def compared(runs: pd.DataFrame, series: str, other: str) -> pd.DataFrame:
    """The networks of one series less the base of their target, or less their partner of another
    series, as `to_base` and `matched`."""
    networks = runs[runs["series"] == series]
    if other == SERIES[0]:
        return to_base(networks)
    return matched(networks, runs[runs["series"] == other])


def triples(runs: pd.DataFrame) -> pd.DataFrame:
    """Base, frozen selffer and frozen transfer of the same target, split and seed, a row a triple.

    The columns of the transfer, and the differences `co-adaptation`, `specificity`, `total`.
    """
    transfers = runs[runs["series"] == "AnB"].dropna(subset="gain")
    selffers = runs.loc[runs["series"] == "BnB", [*PAIR, "gain"]].dropna(subset="gain")
    compared = transfers.merge(selffers, on=PAIR, suffixes=("", "_selffer"), validate="one_to_one")
    return compared.assign(
        **{
            "co-adaptation": -compared["gain_selffer"],
            "specificity": compared["gain_selffer"] - compared["gain"],
            "total": -compared["gain"],
        }
    )


def unmatched(runs: pd.DataFrame, alone: pd.DataFrame) -> Iterator[str]:
    """Why some of the selffers and transfers of an experiment are in no triple, and how many."""
    for series, other in (("AnB", "BnB"), ("BnB", "AnB")):
        unpaired = alone[alone["series"] == series]
        partners = runs[runs["series"] == other].set_index("pair")["learned"]
        chance = ~unpaired["learned"] | unpaired["pair"].isin(partners.index[~partners])
        no_base = ~chance & unpaired["counts"] & unpaired["target_base_metric"].isna()
        base_chance = ~chance & ~no_base & ~(unpaired["counts"] & unpaired["base_counts"])
        no_partner = ~chance & ~no_base & ~base_chance & ~unpaired["pair"].isin(partners.index)
        reasons = {
            f"without its {other} on the same target": no_partner,
            "without the base of its target": no_base,
            "whose base is at chance level": base_chance,
            f"at chance level, or with such a {other}": chance,
        }
        for reason, which in reasons.items():
            if which.any():
                yield f"{which.sum()} {series} {reason} ({_names(unpaired[which])})"


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
