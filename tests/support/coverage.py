"""The coverage of the tables' 95 % intervals, simulated: generated experiments of known truth.

python tests/support/coverage.py prints the table of transferlab/results/README.md. The accuracy of
a run is the truth of its treatment plus random effects: of the split, of its halves, of the
treatment in this split and in this direction, of the network that it was copied from, and of its
own training. The project's tables are built of many such experiments, and the intervals counted
that hold the truth, or the value of one more split.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import pandas as pd

from transferlab.results import catalogue, pairs
from transferlab.results.comparable import Experiment
from transferlab.results.exhibits import Selection
from transferlab.results.judgement import with_metric
from transferlab.results.left_out import LEFT_OUT
from transferlab.results.loading import Results

REPETITIONS = 1000
SEED = 2014
METRIC = "top1_final"
# Of a row, by the table
KEYS = (["layers", "comparison"], ["n", "part"], ["n", "comparison"], ["series", "n"])
CUTS = (1, 5)
BASE = 0.60
# The truth: a treatment's accuracy less that of baseB, at both of CUTS
EFFECTS = {
    "BnB": (0.002, -0.030),
    "BnB+": (0.004, 0.012),
    "AnB": (0.000, -0.050),
    "AnB+": (0.006, 0.018),
}
COMPARISONS = (("AnB+", "baseB"), ("AnB+", "BnB+"), ("BnB+", "baseB"))
# Standard deviations of the random effects: what runs of a split have in common is most of them
SPLIT, HALF, TREATMENT, DIRECTION, SOURCE, RUN = 0.006, 0.006, 0.003, 0.0015, 0.001, 0.001
ERROR = 0.015  # 1 - accuracy where accuracies are near 1
SPREAD = 40.0  # of its logarithm, in units of the effects above


@dataclass(frozen=True)
class Design:
    """`missing`: the fine-tuned transfers of LACKS do not exist."""

    splits: int
    seeds: int
    missing: bool = False

    @property
    def name(self) -> str:
        counts = ((self.splits, "split"), (self.seeds, "seed"))
        text = ", ".join(f"{count} {noun}{'s' if count > 1 else ''}" for count, noun in counts)
        return text + (", networks missing" if self.missing else "")

    @property
    def share(self) -> float:
        """That of a split's effects in the random ones."""
        return float(self.splits > 1)


# One split: its seeds repeat, and its own effects are part of the truth, so that there are none
DESIGNS = (
    Design(2, 1), Design(4, 1), Design(4, 4), Design(8, 1), Design(4, 1, missing=True),
    Design(1, 4),
)  # fmt: skip
LACKS = ((0, 5), (1, 1))  # split and n


def coverage(repetitions: int = REPETITIONS) -> pd.DataFrame:
    """The share of intervals that hold the truth: a row a design, a column a table."""
    generator = np.random.default_rng(SEED)
    shares = {design.name: _shares(design, repetitions, generator) for design in DESIGNS}
    return pd.DataFrame.from_dict(shares, orient="index")


def markdown(table: pd.DataFrame) -> str:
    """The table of the document."""
    lines = [["splits and seeds", *map(str, table.columns)], ["---", *["---:"] * table.shape[1]]]
    lines += [
        [name, *("" if share != share else f"{share:.3f}" for share in row)]
        for name, *row in table.itertuples()
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _shares(design: Design, repetitions: int, generator: np.random.Generator) -> dict[str, float]:
    runs = _generated(design, repetitions, generator)
    experiments = _experiments(runs, BASE + runs["effect"] + runs["random"])
    shares = {"table1": _share(_table(experiments, "table1"), _gains())}
    if design.missing:  # the other tables have a row for every n
        return shares
    shares["decomposition"] = _share(_table(experiments, "decomposition"), _parts())
    shares["fine_tuning"] = _share(_table(experiments, "fine_tuning"), _gains_by_layer())
    shares["figure2"] = _share(_table(experiments, "figure2"), _accuracies())
    if design.splits > 1:
        shares["further"] = _share_of_further(design, repetitions)
    frozen = _frozen(runs)
    # 1 less an error whose mean is ERROR
    near = 1 - ERROR * np.exp(SPREAD * frozen["random"] - SPREAD**2 * _variance(design, frozen) / 2)
    table = _table(_experiments(frozen, near), "figure2")
    shares["figure2 near 100 %"] = _share(table, dict.fromkeys(_accuracies(), 1 - ERROR))
    return shares


def _frozen(runs: pd.DataFrame) -> pd.DataFrame:
    return runs[~runs["series"].str.endswith("+")]


def _share_of_further(design: Design, repetitions: int) -> float:
    """Of all intervals for a further split those that hold the difference of one."""
    generator = np.random.default_rng([SEED, design.splits, design.seeds])
    runs = _frozen(_generated(replace(design, splits=design.splits + 1), repetitions, generator))
    last = runs["split_seed"] == design.splits
    tables = []
    for part in (runs[~last], runs[last]):
        experiments = _experiments(part, BASE + part["effect"] + part["random"])
        table = _table(experiments, "figure3")
        tables.append(table[table["n"] > 0].set_index(["experiment", "n"]))
    intervals, further = tables
    low, value, high = intervals["further_low"], further["paired"], intervals["further_high"]
    assert pd.concat([low, value, high], axis=1).notna().all(axis=None)
    return float(((low <= value) & (value <= high)).mean())


# --- the truth ----------------------------------------------------------------------------------


def _accuracies() -> dict[tuple[object, ...], float]:
    """By series and n."""
    of_series = product(EFFECTS, enumerate(CUTS))
    return {("baseB", 0): BASE} | {
        (series, n): BASE + EFFECTS[series][place] for series, (place, n) in of_series
    }


def _parts() -> dict[tuple[object, ...], float]:
    """By n and part."""
    accuracy = _accuracies()
    return {
        (n, part): accuracy[upper] - accuracy[lower]
        for n in CUTS
        for part, upper, lower in (
            ("co-adaptation", ("baseB", 0), ("BnB", n)),
            ("specificity", ("BnB", n), ("AnB", n)),
            ("total", ("baseB", 0), ("AnB", n)),
        )
    }


def _gains() -> dict[tuple[object, ...], float]:
    """By layers and comparison: the mean over n."""
    zero = {"baseB": (0.0, 0.0)} | EFFECTS
    return {
        (f"{first}-{CUTS[-1]}", f"{series} - {other}"): float(
            np.mean(np.subtract(zero[series], zero[other])[place:])
        )
        for first, place in ((1, 0), (3, 1), (5, 1))
        for series, other in COMPARISONS
    }


def _gains_by_layer() -> dict[tuple[object, ...], float]:
    """By n and comparison."""
    zero = {"baseB": (0.0, 0.0)} | EFFECTS
    return {
        (n, f"{series} - {other}"): zero[series][place] - zero[other][place]
        for place, n in enumerate(CUTS)
        for series, other in COMPARISONS
    }


def _share(table: pd.DataFrame, truth: Mapping[tuple[object, ...], float]) -> float:
    """Of all intervals of a table those that hold the truth; every one must be there."""
    keys = next(keys for keys in KEYS if set(keys) <= set(table))
    expected = table.set_index(keys).index.map(truth)
    assert table[["low", "high"]].notna().all(axis=None)
    return float(((table["low"] <= expected) & (expected <= table["high"])).mean())


# --- experiments --------------------------------------------------------------------------------


def _generated(design: Design, repetitions: int, generator: np.random.Generator) -> pd.DataFrame:
    """The runs of all experiments, with their `effect` and the sum of their random effects."""
    one = pd.DataFrame(_runs(design))
    runs = pd.concat([one] * repetitions, keys=range(repetitions), names=["repetition"])
    runs = runs.reset_index(level=0).reset_index(drop=True)

    def effect(sd: float, *keys: str) -> np.ndarray:
        level = runs.groupby(["repetition", *keys], dropna=False).ngroup()
        return generator.normal(0, sd, int(level.max()) + 1)[level]

    random = effect(SPLIT, "split_seed") + effect(HALF, "split_seed", "target")
    copied = effect(TREATMENT, "split_seed", "series")
    copied += effect(DIRECTION, "split_seed", "series", "n", "target")
    random, copied = design.share * random, design.share * copied
    copied += effect(SOURCE, "split_seed", "base", "seed")
    random += np.where(runs["n"] == 0, 0, copied) + generator.normal(0, RUN, len(runs))
    return runs.assign(random=random)


def _variance(design: Design, runs: pd.DataFrame) -> pd.Series:
    """That of `random`."""
    copied = design.share * (TREATMENT**2 + DIRECTION**2) + SOURCE**2
    return design.share * (SPLIT**2 + HALF**2) + RUN**2 + copied * (runs["n"] > 0)


def _runs(design: Design) -> Iterator[dict[str, object]]:
    """The runs of one experiment, without an accuracy."""
    for split, seed, target in product(range(design.splits), range(design.seeds), "AB"):
        shared = {"split_seed": split, "seed": seed, "target": target}
        yield {**shared, "series": "baseB", "n": 0, "base": None, "effect": 0.0}
        for series, (place, n) in product(EFFECTS, enumerate(CUTS)):
            if design.missing and series == "AnB+" and (split, n) in LACKS:
                continue
            base = target if series.startswith("BnB") else {"A": "B", "B": "A"}[target]
            yield {
                **shared,
                "series": series,
                "n": n,
                "base": base,
                "effect": EFFECTS[series][place],
            }


def _experiments(runs: pd.DataFrame, accuracy: pd.Series) -> tuple[Experiment, ...]:
    """The experiments, from a results table with the columns that comparisons need: all learned."""
    place = runs["repetition"].astype(str) + " " + runs["split_seed"].astype(str)
    place = place + " " + runs["seed"].astype(str) + " "
    bases = place + "base" + runs["target"]
    of_n = runs["series"] + runs["n"].astype(str) + runs["target"]
    table = pd.DataFrame(dict.fromkeys(pairs.NEEDED), index=runs.index).assign(
        id=bases.where(runs["n"] == 0, place + of_n).astype(object),
        target_base_id=bases,
        base_id=(place + "base" + runs["base"]).where(runs["n"] > 0),
        split="random",
        fine_tuned=runs["series"].str.endswith("+"),
        learned=True,
        chance=0.0,
        val_images=None,
        **{key: runs[key] for key in ("base", "target", "n", "split_seed", "seed")},
        **{"transfer.keep": 0, METRIC: accuracy},
    )
    prepared = pairs.prepare(with_metric(table, METRIC), METRIC)
    return tuple(
        Experiment(str(number), f"experiment {number}", part)
        for number, part in prepared.groupby(runs["repetition"])
    )


def _table(experiments: tuple[Experiment, ...], name: str) -> pd.DataFrame:
    """The table of that name. Its notes, of the runs that it leaves out, are not of interest."""
    exhibit = catalogue.EXHIBITS[name]
    assert exhibit.table is not None
    nothing = pd.DataFrame(columns=list(LEFT_OUT))
    results = Results(("generated",), experiments[0].runs, nothing, METRIC)
    return exhibit.table(Selection(exhibit, METRIC, experiments, results))


if __name__ == "__main__":
    print(markdown(coverage()), end="")
