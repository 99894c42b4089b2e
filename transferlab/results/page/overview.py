"""What a store holds, at a glance: how many runs of which kind, what lacks, where it is all from.

Tables of words and counts for the page and the notebook; accuracies are in `tables`.
"""

import re
from collections.abc import Iterable

import pandas as pd

from transferlab import __version__
from transferlab.errors import UserError
from transferlab.experiment import variants
from transferlab.results.loading import KINDS, Results
from transferlab.results.pairs import SERIES
from transferlab.runtime.provenance import VERSIONS

NAMES = {"chance": "at chance level"}
METRICS = {
    "top1_final": "accuracy at the end of training",
    "top1_best10": "mean of the ten best validations, which is what the paper plots",
    "top1_peak": "the best validation",
}
FILTERS = "random filters"
OTHER = "other"  # the series of a folder whose name is no label
ORDER = (*SERIES, FILTERS, OTHER)


def facts(results: Results, metric: str) -> pd.DataFrame:
    """The store in a few lines, columns `what` and `which`."""
    table, left = results.table, results.left_out["kind"]
    lost = [
        f"{(left == kind).sum()} {NAMES.get(kind, kind)}" for kind in KINDS if kind in set(left)
    ]
    splits = (table["split"] + table["split_seed"].astype("str").replace("<NA>", "")).unique()
    lines = {
        "store": results.store,
        "finished runs": str(len(table)),
        "left out": ", ".join(lost) or "nothing",
        "data and network": _several(table["data"] + " " + table["model"]),
        "splits": _several(splits),
        "metric": f"{metric}, {METRICS[metric]}; top-1 on the target's validation images",
    }
    return _pairs(lines, "Overview")


def coverage(results: Results) -> pd.DataFrame:
    """Finished runs of those there should be, by split, series and n: `8`, `1 of 2`, or nothing."""
    finished = _places(results.table["label"], results.table["split"])
    unfinished = results.left_out[results.left_out["kind"] != "chance"]
    lacking = _places(unfinished["label"], unfinished["split"].map(_without_seed))
    runs = pd.DataFrame([*finished, *lacking], columns=["split", "series", "n"])
    runs["there"] = [True] * len(finished) + [False] * len(lacking)
    groups = runs.groupby(["split", "series", "n"])["there"]
    counts = {key: _count(int(some.sum()), len(some)) for key, some in groups}
    cuts = sorted(runs.loc[runs["series"] != OTHER, "n"].unique())
    lines = [
        {"split": split, "series": series}
        | {f"n = {n}": counts.get((split, series, n), "") for n in cuts}
        for split, series in sorted(
            set(zip(runs["split"], runs["series"], strict=True)), key=_place
        )
    ]
    table = pd.DataFrame(lines, columns=["split", "series", *(f"n = {n}" for n in cuts)])
    table.attrs = {"title": "Finished runs, of those there should be", "notes": []}
    return table


def provenance(results: Results) -> pd.DataFrame:
    """Where the numbers are from, columns `what` and `which`; nothing of this moment."""
    table = results.table
    dates = table["finished"].dropna()
    commits = table["commit"].str[:12] + table["dirty"].map({True: " (with changes)"}).fillna("")
    versions = [(name, _several(table[f"versions.{name}"])) for name in VERSIONS]
    lines = {
        "store": results.store,
        "trained": f"{dates.min()} to {dates.max()}" if len(dates) else "",
        "commit": _several(commits),
        "device": _several(table["device"]),
        "host": _several(table["host"]),
        "versions": "; ".join(f"{name} {which}" for name, which in versions if which),
        "put together by": f"transferlab {__version__}",
    }
    return _pairs({key: words for key, words in lines.items() if words}, "Provenance")


def _places(labels: pd.Series, splits: pd.Series) -> list[tuple[str, str, int]]:
    return [(split, *_series(label)) for label, split in zip(labels, splits, strict=True)]


def _series(label: str) -> tuple[str, int]:
    """The paper's name, mirror images merged, and n."""
    try:
        variant = variants.parse(label)
    except UserError:
        return OTHER, 0
    plus = "+" if variant.fine_tuned else ""
    if variant.base is None:
        return "baseB", 0
    if variant.base == variants.RANDOM:
        return FILTERS, variant.n
    return ("BnB" if variant.selffer else "AnB") + plus, variant.n


def _place(key: tuple[str, str]) -> tuple[str, int]:
    split, series = key
    return split, ORDER.index(series)


def _count(there: int, should: int) -> str:
    return str(there) if there == should else f"{there} of {should}"


def _without_seed(split: str) -> str:
    return re.sub(r"\d+$", "", split)


def _several(values: Iterable[object]) -> str:
    return ", ".join(sorted({str(value) for value in pd.Series(list(values)).dropna()}))


def _pairs(lines: dict[str, str], title: str) -> pd.DataFrame:
    table = pd.DataFrame(list(lines.items()), columns=["what", "which"])
    table.attrs = {"title": title, "notes": []}
    return table
