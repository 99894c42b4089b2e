"""Notes below a table or a figure: what it leaves out, and caveats.

They are in a table's `attrs`, for every format, so that no run is dropped silently.
"""

from collections.abc import Iterable, Iterator, Sequence

import pandas as pd

from transferlab.experiment import validations
from transferlab.experiment.metrics import measure_of
from transferlab.results import naming, pairs
from transferlab.results.comparable import Experiment
from transferlab.results.exhibits import Selection
from transferlab.results.loading import Results
from transferlab.results.lookup import among

KINDS = {"chance": "at chance level", "base": "on a base at chance level"}  # as they are printed
OF_SEEDS = "an interval is over trainings for the same classes, and says nothing of other classes"
HALF = ("series", "halves", "target")


def of_selection(selection: Selection) -> list[str]:
    """The notes of a table: which runs are not in it, and what is averaged."""
    experiments, table = selection.experiments, selection.results.table
    used = among(table["id"], selection.ids)
    notes = [] if used.any() else [f"{selection.nothing}: the table is empty"]
    if len(experiments) > 1:
        notes.append(
            f"{len(experiments)} experiments, not averaged together: see column experiment"
        )
    unused = table[~used]
    if len(unused):
        kinds = unused["variant"].str.cat(unused["split"], sep=" of ")
        notes.append(f"finished runs that are not in this table: {counts(kinds)}")
    return [*notes, *without_metric(selection), *left_out(selection.results)]


def without_metric(selection: Selection) -> list[str]:
    """How many runs lack the metric that is shown, and why."""
    if not selection.without_metric:
        return []
    table, measure = selection.results.table, measure_of(selection.metric)
    others = int(table[measure.final].isna().sum())
    reasons = {
        f"it needs {validations.LEAST} validations or more": selection.without_metric - others,
        f"it is of runs with {measure.labels} an image": others,
    }
    return [
        f"{selection.metric} is missing for {count} of {len(table)} finished runs: {reason}"
        for reason, count in reasons.items()
        if count
    ]


def left_out(results: Results) -> list[str]:
    """How many runs are in no table or in no mean."""
    kinds = results.left_out["kind"].replace(KINDS)
    if kinds.empty:
        return []
    return [f"of the expected runs: {counts(kinds)} (--table left_out says which and why)"]


def repetition(table: pd.DataFrame) -> Iterator[str]:
    """What the intervals of a table are over, where it is seeds; and where a mean has none because
    it is of one repetition."""
    if "low" not in table:
        return
    if (table["unit"].eq("seed") & table["low"].notna()).any():
        yield f"where the unit is the seed, {OF_SEEDS}"
    if (repetitions(table).eq(1) & table["low"].isna()).any():
        yield "one repetition: no interval, which needs two splits or two seeds"


def repetitions(table: pd.DataFrame) -> pd.Series:
    """The number behind the interval of every row: of splits or of seeds, as its `unit` says."""
    return table["splits"].where(table["unit"].eq("split"), table["seeds"])


def kinds(experiments: Iterable[Experiment]) -> list[str]:
    """What A and B are in experiments of one kind of split each, unless they are the paper's."""
    tasks = {part.name: part.runs["split"].iloc[0] for part in experiments}
    return [
        f"{name}: {naming.tasks(split)} instead of random halves"
        for name, split in tasks.items()
        if split != naming.RANDOM
    ]


def of_means(experiments: Sequence[Experiment]) -> list[str]:
    """The caveats of means over the runs of each experiment."""
    return [*kinds(experiments), *(note for part in experiments for note in uneven(part))]


def uneven(experiment: Experiment) -> Iterator[str]:
    """A warning where series have other halves than baseB, which may be harder or easier."""
    counting = experiment.runs[experiment.runs["counts"]]
    covered: dict[str, set[tuple[str, str]]] = {series: set() for series in pairs.SERIES}
    for series, halves, target in zip(*(counting[key].tolist() for key in HALF), strict=True):
        covered.setdefault(series, set()).add((halves, target))
    bases = covered.pop("baseB")
    others = [
        f"{name} on {len(covered[name])}"
        for name in pairs.SERIES[1:]
        if covered[name] and covered[name] != bases
    ]
    if others:
        yield (
            f"{experiment.name}: baseB rests on {len(bases)} halves, {', '.join(others)}: halves "
            "are not equally hard, so go by differences in pairs"
        )


def counts(kinds: pd.Series) -> str:
    """`2 AnB of random, 1 base of whole`."""
    numbers = kinds.value_counts(sort=False)
    return ", ".join(f"{number} {kind}" for kind, number in numbers.items())
