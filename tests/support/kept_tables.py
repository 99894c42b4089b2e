"""The tables of notebooks/README.md that are made from the finished runs in notebooks/results/.

python tests/support/kept_tables.py rewrites them; tests/results/test_kept.py fails if they are
stale. A table is between `<!-- NAME -->`, a name of `MAKERS`, and `<!-- end -->`; the rest is
written by hand.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from transferlab import results
from transferlab.results.naming import MANMADE_NATURAL, RANDOM, SIZE_MATCHED, tasks
from transferlab.results.tables.figure3 import both, filters, to

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
README = NOTEBOOKS / "README.md"
TABLE = re.compile(r"(<!-- (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
HALVES = tasks(RANDOM)  # the series of table `figure3` that has the range of a further split
FILTERS = filters(RANDOM)
BOTH, TO = "man-made/natural, both", {"B": "to natural", "A": "to man-made"}
EACH, APART = "random halves, each direction", "random halves, directions apart at most"
TRANSFERS = {  # series of the table `figure3` -> head of the column
    both(MANMADE_NATURAL): BOTH,
    **{to(MANMADE_NATURAL, target): head for target, head in TO.items()},
    both(SIZE_MATCHED): "size-matched, both",
    to(SIZE_MATCHED, "B"): "to 72 classes",
    to(SIZE_MATCHED, "A"): "to 128 classes",
}
PARTS = {  # part of the table `decomposition` -> head of the column
    "co-adaptation": "baseB - BnB",
    "specificity": "BnB - AnB",
    "total": "baseB - AnB",
}
VARIANTS = ("BnB", "BnB+", "AnB", "AnB+", "RnB", "AnA", "AnA+", "BnA", "BnA+", "RnA")
OF_BASES = {"B": "BnB", "A": "AnA"}  # in whose column a base is, in row 0
Cells = Mapping[tuple[str, int], str]  # by column and n


def main() -> None:
    README.write_text(complete(README.read_text()))


def complete(text: str) -> str:
    """The document with every marked table made anew."""
    return TABLE.sub(lambda match: match[1] + MAKERS[match[2]]() + match[3], text)


def differences() -> str:
    """What frozen layers cost on random halves, by layer."""
    kept = load("small_random")
    untrained = of_transfers(kept, FILTERS)
    cells = {
        (PARTS[row.part], row.n): interval(row.mean, row.low, row.high)
        for row in _rows(results.table(kept, "decomposition"))
    } | {
        # By how much less than the base, not more
        ("baseB - RnB", row.n): interval(-row.paired, -row.high, -row.low)
        for row in _rows(untrained)
    }
    return _markdown([*PARTS.values(), "baseB - RnB"], cells)


def gains() -> str:
    """What fine-tuning gains on random halves, by layer."""
    table = results.table(load("small_random"), "fine_tuning")
    cells = {(row.comparison, row.n): interval(row.mean, row.low, row.high) for row in _rows(table)}
    return _markdown(["BnB+ - baseB", "AnB+ - baseB", "AnB+ - BnB+"], cells)


def accuracies(study: str) -> str:
    """Every network of the first split of a study."""
    runs = load(study).table
    cells = {
        (OF_BASES[run.target] if run.variant == "base" else run.variant, run.n): (
            f"{100 * run.top1_final:.1f}"
        )
        for run in _rows(runs[runs["split_seed"].fillna(0) == 0])
    }
    return _markdown(VARIANTS, cells)


def transfers() -> str:
    """Transfers of dissimilar and of unequal halves; where further random ones would lie, and how
    far the two directions of random ones are apart at most."""
    kept = load("small_random", "small_manmade_natural", "small_size_matched")
    range_of = "random halves, a further split"
    cells = {
        (range_of, row.n): f"{points(row.further_low)} to {points(row.further_high)}"
        for row in _rows(of_transfers(kept, HALVES))
    } | {
        (head, row.n): points(row.paired)
        for series, head in TRANSFERS.items()
        for row in _rows(of_transfers(kept, series))
    }
    cells |= _apart(of_frozen(kept.table, RANDOM))
    return _markdown([range_of, *TRANSFERS.values(), APART], cells)


def ahead() -> str:
    """By how much a fine-tuned transfer is ahead of the fine-tuned selffer of the same target."""
    runs = load("small_random", "small_manmade_natural").table
    random, semantic = (of_tuned(runs, split) for split in (RANDOM, MANMADE_NATURAL))
    cells = {
        (head, n): points(gain)
        for head, gains in {
            BOTH: semantic.mean(axis="columns"),
            **{head: semantic[target] for target, head in TO.items()},
        }.items()
        for (n, _), gain in gains.items()
    } | {
        (EACH, n): f"{points(gains.min())} to {points(gains.max())}"
        for n, gains in random.stack().groupby("n")
    }
    return _markdown([BOTH, *TO.values(), EACH, APART], cells | _apart(random))


def of_frozen(runs: pd.DataFrame, split: str) -> pd.DataFrame:
    """AnB - baseB of one target: the targets are columns, n and the seed of the split the index."""
    frozen = runs[(runs["split"] == split) & runs["variant"].isin(["AnB", "BnA"])]
    return _by_target(frozen, "delta_to_target_base")


def of_tuned(runs: pd.DataFrame, split: str) -> pd.DataFrame:
    """AnB+ - BnB+ of one target, arranged as those of `of_frozen`."""
    halves = runs[runs["split"] == split]
    transfers, selffers = (
        _by_target(halves[halves["variant"].isin(variants)], "top1_final")
        for variants in (("AnB+", "BnA+"), ("BnB+", "AnA+"))
    )
    return transfers - selffers


def _by_target(runs: pd.DataFrame, values: str) -> pd.DataFrame:
    seeds = runs["split_seed"].fillna(0)  # that of man-made/natural, which has none
    return runs.assign(split_seed=seeds).pivot(
        index=["n", "split_seed"], columns="target", values=values
    )


def most_apart(by_target: pd.DataFrame) -> pd.Series:
    """How far the directions of a split are apart, at most, by n."""
    return (by_target["A"] - by_target["B"]).abs().groupby("n").max()


def _apart(by_target: pd.DataFrame) -> Cells:
    return {(APART, n): points(most) for n, most in most_apart(by_target).items()}


MAKERS: Mapping[str, Callable[[], str]] = {
    "differences": differences,
    "gains": gains,
    "accuracies": partial(accuracies, "small_random"),
    "semantic": partial(accuracies, "small_manmade_natural"),
    "transfers": transfers,
    "ahead": ahead,
}


def load(*names: str) -> results.Results:
    return results.load(*(NOTEBOOKS / "results" / f"{name}.csv" for name in names))


def of_transfers(loaded: results.Results, series: str) -> pd.DataFrame:
    """The rows of a series of the table `figure3`, without that of the base."""
    table = results.table(loaded, "figure3")
    return table[(table["series"] == series) & (table["n"] > 0)]


def interval(mean: float, low: float, high: float) -> str:
    """A difference and its interval, in points."""
    return f"{points(mean)} ({points(low)} to {points(high)})"


def points(fraction: float) -> str:
    return f"{round(100 * fraction, 1) + 0:.1f}"  # no -0.0


def _rows(table: pd.DataFrame) -> Iterable[Any]:
    return table.itertuples()


def _markdown(heads: Collection[str], cells: Cells) -> str:
    """A row for every n, and a column for every head that has cells."""
    filled = {head for head, _ in cells}
    assert filled <= {*heads}
    heads = [head for head in heads if head in filled]
    lines = [
        ["n", *heads],
        ["---"] * (1 + len(heads)),
        *(
            [str(n), *(cells.get((head, n), "") for head in heads)]
            for n in sorted({n for _, n in cells})
        ),
    ]
    return "".join(
        "|" + "".join(f" {cell} |" if cell else " |" for cell in line) + "\n" for line in lines
    )


if __name__ == "__main__":
    main()
