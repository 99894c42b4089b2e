"""The paper's figures and tables as data: results in, a pandas table out, in fractions.

Yosinski et al. 2014, Fig. 2, Fig. 3 and Table 1, and what they are about: the drop from baseB to
AnB in two parts. Runs are averaged within one experiment only (`experiments`), and compared as the
paper does and in pairs (`pairs`). Runs at chance level are counted and enter no mean. What is not
in a table is said in its `attrs["notes"]`.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pandas as pd

from transferlab.errors import UserError
from transferlab.results import comparable, intervals, pairs
from transferlab.results import notes as captions
from transferlab.results.loading import Results, with_metric

METRICS = ("top1_final", "top1_best10", "top1_peak")
FROM_LAYERS = (1, 3, 5)  # of Table 1: networks with n of so much or more
COMPARISONS = (("AnB+", "baseB"), ("AnB+", "BnB+"), ("BnB+", "baseB"))  # the last: not the paper's
COUNTS = ("splits", "seeds", "at_chance")
FIGURE2 = ("experiment", "series", "n", "mean", "sd", "count", "low", "high", *COUNTS, "metric")
FIGURE3 = (
    "experiment", "series", "n", "mean", "sd", "count", "base", "relative", "paired", "paired_sd",
    "pairs", "low", "high", *COUNTS, "learned", "metric",
)  # fmt: skip
TABLE1 = (
    "experiment", "layers", "comparison", "pooled", "count", "count_other", "paired", "paired_sd",
    "pairs", "low", "high", *COUNTS, "metric",
)  # fmt: skip
DECOMPOSITION = (
    "experiment", "split", "n", "part", "difference", "mean", "sd", "pairs", "low", "high",
    "boot_low", "boot_high", "splits", "seeds", "metric",
)  # fmt: skip
PARTS = {"co-adaptation": "baseB - BnB", "specificity": "BnB - AnB", "total": "baseB - AnB"}
HALVES = {"random": "random halves", "manmade_natural": "man-made/natural"}
TARGETS = {"A": "man-made", "B": "natural"}
Line = dict[str, Any]


def runs(results: Results, metric: str | None = None) -> pd.DataFrame:
    """Every finished run, with all its columns; against its target's base in that metric."""
    metric = _metric(results, metric)
    table = with_metric(results.table, metric).assign(metric=metric)
    order = ["data", "model", "split", "split_seed", "seed", "target", "base", "fine_tuned", "n"]
    table = table.sort_values(order, na_position="first", ignore_index=True)
    shown = ["label", "split", "split_seed", "seed", "data", "model", metric, "chance",
             "delta_to_target_base", "learned", "steps", "time_s"]  # fmt: skip
    table.attrs = {
        "title": "Runs",
        "metric": metric,
        "notes": captions.notes(results, table),
        "percent": [*METRICS, "chance", "target_base_top1", "delta_to_target_base"],
        "shown": shown,
    }
    return table


def left_out(results: Results, metric: str | None = None) -> pd.DataFrame:
    """What is damaged, failed, at chance level or missing, and why."""
    table = results.left_out.copy()
    table.attrs = {"title": "Left out", "metric": _metric(results, metric), "notes": []}
    return table


def figure2(results: Results, metric: str | None = None) -> pd.DataFrame:
    """Random halves: the mean of every series at every n, over networks as in the paper's Fig. 2.

    Columns FIGURE2; `low` and `high` are the 95 % t-interval of the mean.
    """
    metric = _metric(results, metric)
    used = _plain(pairs.prepare(results.table, metric), "random")
    used = used[used["series"] != "random"]
    found = comparable.split(used)
    lines = [
        {"experiment": one.name, "series": series, "n": n, **_spread(points)}
        for one in found
        for series in pairs.SERIES
        for n, points in _by_n(one.runs[one.runs["series"] == series])
    ]
    notes = captions.notes(results, used, found, "no finished run has random halves")
    notes += [note for one in found for note in captions.uneven(one)]
    return captions.table(FIGURE2, lines, "Figure 2", metric, notes, ("mean", "sd", "low", "high"))


def figure3(results: Results, metric: str | None = None) -> pd.DataFrame:
    """Frozen transfers between dissimilar halves, untrained filters, and random halves (Fig. 3).

    Columns FIGURE3. `relative` is the mean less the mean of base networks, as in the paper;
    `paired` the mean difference of each network to the base of its own target, with its t-interval.
    Where untrained filters never learned, that is the result: shown with `learned` false.
    """
    metric = _metric(results, metric)
    used = _plain(pairs.prepare(results.table, metric))
    used = used[used["series"].isin(["baseB", "AnB", "random"])]
    with_cuts = [one.runs for one in comparable.split(used) if (one.runs["n"] > 0).any()]
    used = pd.concat(with_cuts).drop_duplicates("id") if with_cuts else used[:0]
    found = comparable.split(used)
    lines = [{"experiment": one.name, **line} for one in found for line in _figure3(one.runs)]
    notes = captions.notes(
        results, used, found, "no finished run has a frozen transfer or random filters"
    )
    percent = ("mean", "sd", "base", "relative", "paired", "paired_sd", "low", "high")
    return captions.table(FIGURE3, lines, "Figure 3", metric, notes, percent)


def table1(results: Results, metric: str | None = None) -> pd.DataFrame:
    """What fine-tuning gains (Table 1): networks pooled over n, as printed, and in pairs beside it.

    Columns TABLE1. `pooled` is a difference of means over all networks, whose halves may be of
    unequal difficulty; `paired` is over networks with the same target, split, seed (and n).
    """
    metric = _metric(results, metric)
    used = _plain(pairs.prepare(results.table, metric), "random")
    used = used[used["series"].isin(["baseB", "AnB+", "BnB+"])]
    found = comparable.split(used)
    lines = [
        {"experiment": one.name, **line}
        for one in found
        for layer in FROM_LAYERS
        for line in _table1(one.runs, layer)
    ]
    notes = captions.notes(results, used, found, "no finished run has random halves")
    notes += [note for one in found for note in captions.uneven(one)]
    if any(line["comparison"] == "AnB+ - BnB+" and not line["pairs"] for line in lines):
        notes.append("AnB+ - BnB+ without a pair: hold AnB+ - baseB against BnB+ - baseB, paired")
    percent = ("pooled", "paired", "paired_sd", "low", "high")
    table = captions.table(TABLE1, lines, "Table 1", metric, notes, percent)
    table.attrs["digits"] = {"pooled": 1}  # as printed in the paper
    return table


def decomposition(results: Results, metric: str | None = None) -> pd.DataFrame:
    """baseB - AnB at every n as co-adaptation and specificity, on the same target, split, seed.

    Columns DECOMPOSITION. A pair is a base, a selffer and a transfer that all learned, so that the
    parts add up. 95 % intervals: t over the pairs; bootstrap over whole splits.
    """
    metric = _metric(results, metric)
    used = _plain(pairs.prepare(results.table, metric))
    used = used[used["series"].isin(["baseB", "BnB", "AnB"]) & (used["split"] != "whole")]
    found = comparable.split(used)
    lines: list[Line] = []
    notes = captions.notes(results, used, found, "no finished run has halves")
    for one in found:
        for split, some in one.runs.groupby("split", sort=False):
            triples = pairs.triples(some)
            lines += [
                {"experiment": one.name, "split": split, **line}
                for line in _decomposition(some, triples)
            ]
            notes += [f"{one.name} {split}: {words}" for words in pairs.unmatched(some, triples)]
    percent = ("mean", "sd", "low", "high", "boot_low", "boot_high")
    return captions.table(DECOMPOSITION, lines, "Decomposition", metric, notes, percent)


TABLES: Mapping[str, Callable[[Results, str | None], pd.DataFrame]] = {
    "runs": runs,
    "figure2": figure2,
    "figure3": figure3,
    "table1": table1,
    "decomposition": decomposition,
    "left_out": left_out,
}


# --- figure 3, table 1, decomposition: the lines of one experiment -------------------------------


def _figure3(table: pd.DataFrame) -> Iterator[Line]:
    for split, name in HALVES.items():
        halves = table[(table["split"] == split) & (table["series"] != "random")]
        if split == "manmade_natural":
            for target, kind in TARGETS.items():
                yield from _relative(f"{name}, target {kind}", halves[halves["target"] == target])
            yield from _both_directions(name, halves)
        else:
            yield from _relative(name, halves)
    filters = table[table["series"] == "random"]
    for split in filters["split"].unique():
        bases = table[(table["split"] == split) & (table["series"] == "baseB")]
        chosen = pd.concat([bases, filters[filters["split"] == split]])
        name = "random filters" + (f", {HALVES[split]}" if split in HALVES else "")
        yield from _relative(name, chosen, chance_counts=True)


def _relative(series: str, table: pd.DataFrame, *, chance_counts: bool = False) -> Iterator[Line]:
    if not (table["n"] > 0).any():
        return
    base = intervals.summary(_learned(table[table["n"] == 0])["accuracy"].tolist()).mean
    for n, points in _by_n(table):
        shown = _learned(points)
        learned = len(shown) > 0
        if chance_counts and not learned:
            shown = points.assign(gain=points["delta"].where(points["base_learned"]))
        paired = intervals.summary(shown["gain"].dropna().tolist() if n else [])
        spread = _spread(points, shown)
        relative = spread["mean"] - base
        yield {"series": series, "n": n, **spread, "base": base, "relative": relative,
               **_paired(paired), "learned": learned}  # fmt: skip


def _both_directions(series: str, table: pd.DataFrame) -> Iterator[Line]:
    """The mean of both targets, of the splits and seeds for which both are there."""
    if not (table["n"] > 0).any():
        return
    base: float = float("nan")
    for n, points in _by_n(table):
        learned = _learned(points)
        both = learned.groupby(["unit", "seed"], dropna=False).filter(lambda some: len(some) == 2)
        units = both.groupby(["unit", "seed"], dropna=False)
        mean = intervals.summary(units["accuracy"].mean().tolist()).mean
        base = mean if n == 0 else base
        gains = both.dropna(subset="gain").groupby(["unit", "seed"], dropna=False)["gain"]
        paired = intervals.summary(gains.mean()[gains.size() == 2].tolist() if n else [])
        spread = _spread(points, both) | {"mean": mean, "sd": float("nan")}
        yield {"series": f"{series}, both", "n": n, **spread, "base": base,
               "relative": mean - base, **_paired(paired), "learned": len(both) > 0}  # fmt: skip


def _table1(table: pd.DataFrame, layer: int) -> Iterator[Line]:
    """The comparisons for networks whose n is `layer` or more; none if there is no such n."""
    last = int(table["n"].max())
    if last < layer:
        return
    chosen = table[(table["n"] == 0) | (table["n"] >= layer)]
    for one, other in COMPARISONS:
        ours, theirs = (chosen[chosen["series"] == series] for series in (one, other))
        means = [intervals.summary(_learned(some)["accuracy"].tolist()) for some in (ours, theirs)]
        matched = pairs.to_base(ours) if other == "baseB" else pairs.matched(ours, theirs)
        paired = intervals.summary(matched["difference"].tolist())
        both = pd.concat([ours, theirs])
        yield {
            "layers": f"{layer}-{last}",
            "comparison": f"{one} - {other}",
            "pooled": means[0].mean - means[1].mean,
            "count": means[0].count,
            "count_other": means[1].count,
            **_paired(paired),
            "splits": matched["unit"].nunique(),
            "seeds": matched["seed"].nunique(dropna=False),
            "at_chance": len(both) - len(_learned(both)),
        }


def _decomposition(table: pd.DataFrame, triples: pd.DataFrame) -> Iterator[Line]:
    for n in sorted(set(table["n"]) - {0}):
        some = triples[triples["n"] == n]
        for part, difference in PARTS.items():
            values = some[part].tolist()
            spread = intervals.summary(values)
            low, high = intervals.bootstrap(values, some["unit"].tolist())
            yield {"n": n, "part": part, "difference": difference, "mean": spread.mean,
                   "sd": spread.sd, "pairs": spread.count, "low": spread.low, "high": spread.high,
                   "boot_low": low, "boot_high": high, "splits": some["unit"].nunique(),
                   "seeds": some["seed"].nunique(dropna=False)}  # fmt: skip


# --- what they share ----------------------------------------------------------------------------


def _metric(results: Results, metric: str | None) -> str:
    chosen = results.metric if metric is None else metric
    if chosen not in METRICS:
        raise UserError(f"metric={chosen} is not there: choose one of {', '.join(METRICS)}")
    return chosen


def _plain(table: pd.DataFrame, split: str | None = None) -> pd.DataFrame:
    """The runs that keep no stages behind the cut, of one kind of split or of all."""
    plain = table["transfer.keep"] == 0
    return table[plain if split is None else plain & (table["split"] == split)]


def _by_n(table: pd.DataFrame) -> Iterator[tuple[int, pd.DataFrame]]:
    for n in sorted(set(table["n"].tolist())):
        yield n, table[table["n"] == n]


def _learned(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["learned"]]


def _spread(points: pd.DataFrame, shown: pd.DataFrame | None = None) -> Line:
    """Mean and counts of the points that learned, or of those to be shown."""
    shown = _learned(points) if shown is None else shown
    of = intervals.summary(shown["accuracy"].tolist())
    return {
        "mean": of.mean,
        "sd": of.sd,
        "count": of.count,
        "low": of.low,
        "high": of.high,
        "splits": shown["unit"].nunique(),
        "seeds": shown["seed"].nunique(dropna=False),
        "at_chance": int((~points["learned"]).sum()),
    }


def _paired(of: intervals.Summary) -> Line:
    return {"paired": of.mean, "paired_sd": of.sd, "pairs": of.count, "low": of.low,
            "high": of.high}  # fmt: skip
