"""A store at a glance: its runs by kind, what is missing, the provenance of its numbers.

Tables of counts and provenance for the page and the notebook; accuracies are in `tables`.
"""

import re
from collections.abc import Iterable

import pandas as pd

from transferlab import __version__
from transferlab.errors import UserError
from transferlab.experiment import variants
from transferlab.experiment.metrics import METRICS, measure_of
from transferlab.results.left_out import FINISHED
from transferlab.results.loading import Results
from transferlab.results.notes import KINDS, counts
from transferlab.results.pairs import SERIES
from transferlab.runtime.provenance import VERSIONS

FILTERS = "random filters"
OTHER = "other"  # the series of a folder whose name has no variant
ORDER = (*SERIES, FILTERS, OTHER)


def facts(results: Results, metric: str, *, store: str) -> pd.DataFrame:
    """The store in a few lines, columns `name` and `value`. `store`: what it is called."""
    table = results.table
    seeds = table["split_seed"].astype(object).where(table["split_seed"].notna(), "").astype(str)
    splits = (table["split"] + seeds).unique()
    measure = measure_of(metric).short
    lines = {
        "store": store,
        "finished runs": str(len(table)),
        "left out": counts(results.left_out["kind"].replace(KINDS)) or "nothing",
        "experiments": str(len(results.experiments)),
        "splits": _several(splits),
        "metric": f"{metric}, {METRICS[metric]}; {measure} on the target's validation images",
    }
    return _facts(lines.items(), "Overview")


def data_sets(results: Results) -> pd.DataFrame:
    """The images that the networks learned, columns `name` and `value`; a row a data set."""
    table = results.table
    of_a = table["split.a.name"].notna() & (table["target"] == "A")
    digest = table["data.digest"].where(~of_a, table["split.a.digest"])
    kinds = table.groupby([table["data_set"], digest], dropna=False, sort=False)
    lines = [(str(name), _images(runs)) for (name, _), runs in kinds]
    return _facts(lines, "Data")


def coverage(results: Results) -> pd.DataFrame:
    """Finished of expected runs by split, series and n: `8`, `1 of 2`, or nothing."""
    finished = _cells(results.table["label"], results.table["split"])
    left_out = results.left_out[~results.left_out["kind"].isin(FINISHED)]
    unfinished = _cells(left_out["label"], left_out["split"].map(_without_seed))
    runs = pd.DataFrame([*finished, *unfinished], columns=["split", "series", "n"])
    runs["finished"] = [True] * len(finished) + [False] * len(unfinished)
    groups = runs.groupby(["split", "series", "n"])["finished"]
    numbers = {key: _count(int(group.sum()), len(group)) for key, group in groups}
    cuts = sorted(runs.loc[runs["series"] != OTHER, "n"].unique())
    rows = [
        {"split": split, "series": series}
        | {f"n = {n}": numbers.get((split, series, n), "") for n in cuts}
        for split, series in sorted(
            set(zip(runs["split"], runs["series"], strict=True)), key=_position
        )
    ]
    table = pd.DataFrame(rows, columns=["split", "series", *(f"n = {n}" for n in cuts)])
    table.attrs = {"title": "Finished of expected runs", "notes": []}
    return table


def provenance(results: Results, *, store: str, hosts: bool) -> pd.DataFrame:
    """The provenance of the numbers, columns `name` and `value`; independent of the current
    time. `store`: what it is called; `hosts`: whether they are named."""
    table = results.table
    dates = table["finished"].dropna()
    commits = table["commit"].str[:12] + table["dirty"].map({True: " (with changes)"}).fillna("")
    versions = [(name, _several(table[f"versions.{name}"])) for name in VERSIONS]
    lines = {
        "store": store,
        "trained": f"{dates.min()} to {dates.max()}" if len(dates) else "",
        "commit": _several(commits),
        "device": _several(table["device"]),
        "host": _several(table["host"]) if hosts else "",
        "versions": "; ".join(f"{name} {version}" for name, version in versions if version),
        "made by": f"transferlab {__version__}",
    }
    return _facts(((name, value) for name, value in lines.items() if value), "Provenance")


def _cells(labels: pd.Series, splits: pd.Series) -> list[tuple[str, str, int]]:
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


def _position(key: tuple[str, str]) -> tuple[str, int]:
    split, series = key
    return split, ORDER.index(series)


def _count(finished: int, expected: int) -> str:
    return str(finished) if finished == expected else f"{finished} of {expected}"


def _without_seed(split: str) -> str:
    return re.sub(r"\d+$", "", split)


def _several(values: Iterable[object]) -> str:
    return ", ".join(sorted({str(value) for value in pd.Series(list(values)).dropna()}))


def _images(runs: pd.DataFrame) -> str:
    """`200 classes, 90,000 training images; chance 1 % of 100 classes`."""
    counts = [
        f"{int(runs[key].max()):,} {noun}"
        for key, noun in (("data_classes", "classes"), ("data_images", "training images"))
        if runs[key].notna().any()
    ]
    halves = runs[["num_classes", "chance"]].drop_duplicates().sort_values("num_classes")
    chances = [
        f"{100 * chance:.3g} %" + (f" of {classes:,} classes" if pd.notna(classes) else "")
        for classes, chance in halves.itertuples(index=False)
    ]
    return "; ".join(filter(None, [", ".join(counts), f"chance {', '.join(chances)}"]))


def _facts(lines: Iterable[tuple[str, str]], title: str) -> pd.DataFrame:
    table = pd.DataFrame(list(lines), columns=["name", "value"])
    table.attrs = {"title": title, "notes": []}
    return table
