"""Which layer: accuracy of every treatment, its differences in pairs, and what it costs.

For the person who has a task and a network to start from. Halves that a seed draws are merged with
their mirror images; in other splits each target is a task of its own.
"""

from collections.abc import Iterator

import pandas as pd

from transferlab.results import intervals, pairs
from transferlab.results.exhibits import Selection
from transferlab.results.tables.frame import (
    COUNTS,
    averaged,
    counting,
    frame,
    in_order,
    spread,
    together,
    whole,
)

SERIES = ("baseB", "AnB", "AnB+", "BnB", "BnB+", "random")
FULL = "AnB+"  # at its largest n
BOTH = "A, B"
TASK = ["experiment", "split", "target"]
BY = [*TASK, "series", "n"]
DIFFERENCES = ("to_scratch", "to_full")
COLUMNS = (
    *TASK, "series", "n", "mean", "low", "high", "count",
    *(f"{key}{end}" for key in DIFFERENCES for end in ("", "_low", "_high", "_pairs")),
    "learning_parameters", "training_macs", "step_ms", "peak_mb", *COUNTS,
)  # fmt: skip
PERCENT = ("mean", "low", "high",
           *(f"{key}{end}" for key in DIFFERENCES for end in ("", "_low", "_high")))  # fmt: skip
HIDDEN = ("low", "high", "count", "at_chance", *(f"{key}_pairs" for key in DIFFERENCES))
Treatment = tuple[str, int]  # series and n
COSTS = {"step_s": ("step_ms", 1e3), "peak_bytes": ("peak_mb", 1e-6)}


def build(selection: Selection) -> pd.DataFrame:
    """`to_scratch` and `to_full` are the mean differences to baseB, and to AnB+ at its largest n,
    with the same target, split and seed; each has its 95 % interval over `unit`.

    Costs are medians over the runs of a row. `training_macs` is exact (`NetworkFacts`), `step_ms`
    and `peak_mb` are those of `training.cost`.
    """
    runs = tasks(selection)
    if runs.empty:
        return frame(selection, COLUMNS, [], percent=PERCENT)
    rows = in_order(_rows(runs), series=SERIES)
    table = frame(selection, COLUMNS, rows, percent=PERCENT, extra=_notes(runs, rows))
    table.attrs["grouped"] = ["learning_parameters", "training_macs"]
    shown = [key for key in COLUMNS if key not in HIDDEN]
    table.attrs["shown"] = [k for k in shown if k not in TASK[1:] or table[k].nunique() > 1]
    return table


def tasks(selection: Selection) -> pd.DataFrame:
    """The runs of all experiments, those of merged targets with BOTH."""
    if not selection.experiments:
        return pd.DataFrame()
    runs = together(selection)
    return runs.assign(target=runs["target"].mask(runs["split_seed"].notna(), BOTH))


def label(series: str, n: int, target: str) -> str:
    """`A5B+`; where A is the target `B5A+`."""
    name = {"baseB": "baseB", "random": f"R{n}B"}.get(series, series.replace("n", str(n)))
    return name.translate(str.maketrans("AB", "BA")) if target == "A" else name


def _rows(runs: pd.DataFrame) -> pd.DataFrame:
    full = runs[runs["series"] == FULL]
    full = full[full["n"] == full.groupby(TASK)["n"].transform("max")]
    others = runs[~runs["id"].isin(full["id"])]
    differences = {
        "to_scratch": pairs.to_base(runs[runs["n"] > 0]),
        "to_full": pairs.matched(others, full, pairs.TRIAL),
    }
    rows = spread(runs, BY)
    for name, values in differences.items():
        compared = averaged(values, BY, "pairs")[["mean", "low", "high", "pairs"]]
        ends = {"mean": "", "low": "_low", "high": "_high", "pairs": "_pairs"}
        rows = rows.join(compared.rename(columns={key: name + end for key, end in ends.items()}))
        rows = whole(rows, f"{name}_pairs")
    costs = runs.groupby(BY)[["learning_parameters", "training_macs", *COSTS]].median()
    for key, (shown, factor) in COSTS.items():
        costs[shown] = factor * costs.pop(key).astype(float)
    return whole(rows.join(costs), "learning_parameters", "training_macs").reset_index()


# --- what the intervals allow -------------------------------------------------------------------


def verdicts(runs: pd.DataFrame, rows: pd.DataFrame) -> Iterator[str]:
    """The sentences of `verdict` of every task, with its name if there are several."""
    several = len(rows[TASK].drop_duplicates()) > 1
    for task, of_task in rows.groupby(TASK, sort=False):
        before = f"{', '.join(map(str, task))}: " if several else ""
        for sentence in verdict(runs[(runs[TASK] == list(task)).all(axis=1)], of_task):
            yield before + sentence


def _notes(runs: pd.DataFrame, rows: pd.DataFrame) -> Iterator[str]:
    yield from verdicts(runs, rows)
    images = runs["step_images"].dropna().astype(int).unique()
    devices = ", ".join(sorted(runs["device"].dropna().astype(str).unique()))
    yield (
        "step_ms and peak_mb: a step of the run alone, without reading images, with "
        f"{' or '.join(map(str, sorted(images)))} images on {devices}; peak_mb counts tensors only"
    )


def verdict(runs: pd.DataFrame, rows: pd.DataFrame) -> Iterator[str]:
    """What the runs of one task allow to say, of the best mean and of training from scratch.

    Each is that of an interval of 95 % of differences in pairs.
    """
    rows = rows.dropna(subset="mean").set_index(BY[3:])
    if len(rows) < 2:
        return
    task, macs = rows["target"].iloc[0], rows["training_macs"].to_dict()
    names = {(series, n): label(series, n, task) for series, n in rows.index}
    best = max(names, key=rows["mean"].to_dict().__getitem__)
    apart, lower, _ = _against(runs, best)
    if not lower and not apart:
        yield (
            f"{names[best]} has the highest mean, of one repetition, which carries no comparison: "
            "train with further seeds"
        )
        return
    if apart:
        cheapest = min([best, *apart], key=macs.__getitem__)
        ratio = macs[cheapest] / macs[best]
        yield (
            f"{names[best]} has the highest mean; the intervals cannot tell it apart from "
            f"{_listed(apart, names)}, and the cheapest of these takes {ratio:.2g} of its "
            f"multiply-accumulates: {names[cheapest]}"
        )
    else:
        yield f"{names[best]} is above all others"
    scratch = ("baseB", 0)
    if scratch in rows.index:
        apart, lower, higher = _against(runs, scratch)
        parts = {"above it": higher, "not to be told apart from it": apart, "below it": lower}
        said = "; ".join(f"{how} {_listed(k, names)}" for how, k in parts.items() if k)
        yield f"against training from scratch: {said}"
    yield "each comparison is in pairs and holds with 95 % by itself, not all of them together"


def _against(
    runs: pd.DataFrame, reference: Treatment
) -> tuple[list[Treatment], list[Treatment], list[Treatment]]:
    """The treatments that cannot be told apart from one, those below it, and those above it."""
    keys = BY[3:]
    of_reference = pd.MultiIndex.from_frame(runs[keys]).isin([reference])
    compared = pairs.matched(runs[~of_reference], counting(runs[of_reference]), pairs.TRIAL)
    found = intervals.over_repetitions(compared, keys).dropna(subset="low")
    below, above = found["high"] < 0, found["low"] > 0
    return list(found.index[~below & ~above]), list(found.index[below]), list(found.index[above])


def _listed(keys: list[Treatment], names: dict[Treatment, str]) -> str:
    ordered = sorted(keys, key=lambda key: (SERIES.index(key[0]), key[1]))
    return ", ".join(names[key] for key in ordered)
