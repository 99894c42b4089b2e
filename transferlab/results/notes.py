"""What is said with a table: its title, the metric, what is not in it, and what to be wary of.

Goes into the table's `attrs`, where every format finds it: nothing is dropped in silence.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from transferlab.results import pairs
from transferlab.results.comparable import Experiment
from transferlab.results.loading import Results

WORDS = {"chance": "at chance level"}


def table(
    columns: Sequence[str],
    lines: Iterable[Mapping[str, Any]],
    title: str,
    metric: str,
    notes: Sequence[str],
    percent: Sequence[str],
) -> pd.DataFrame:
    """The lines as a table with its title and notes; `percent` are the columns of accuracies."""
    made = pd.DataFrame([{**line, "metric": metric} for line in lines], columns=list(columns))
    made.attrs = {
        "title": title,
        "metric": metric,
        "notes": list(notes),
        "percent": list(percent),
        "shown": [key for key in columns if key != "metric"],
    }
    return made


def uneven(experiment: Experiment) -> Iterator[str]:
    """A warning where series rest on other halves than baseB, which may be harder or easier."""
    learned = experiment.runs[experiment.runs["learned"]]
    halves = learned["unit"] + " " + learned["target"]
    covered = {series: set(halves[learned["series"] == series]) for series in pairs.SERIES}
    bases = covered.pop("baseB")
    others = [f"{name} on {len(some)}" for name, some in covered.items() if some and some != bases]
    if others:
        yield (
            f"{experiment.name}: baseB rests on {len(bases)} halves, {', '.join(others)}: halves "
            "are not equally hard, so go by differences in pairs"
        )


def notes(
    results: Results,
    used: pd.DataFrame,
    found: Sequence[Experiment] = (),
    nothing: str = "no run is finished",
) -> list[str]:
    """What a reader of the table has to know: what is not in it, and what is averaged."""
    said = [f"{nothing}: the table is empty"] if used.empty else []
    if len(found) > 1:
        said.append(f"{len(found)} experiments, not averaged together: see column experiment")
    seeds = (one.runs.groupby("unit")["seed"].nunique(dropna=False).max() for one in found)
    if max(seeds, default=1) > 1:
        said.append("runs of one split with different seeds count as networks of their own")
    unused = results.table[~results.table["id"].isin(used["id"])]
    if len(unused):
        kinds = unused["variant"].str.cat(unused["split"], sep=" of ").value_counts(sort=False)
        words = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
        said.append(f"finished runs that are no part of this table: {words}")
    counts = results.left_out["kind"].value_counts(sort=False)
    if len(counts):
        words = ", ".join(f"{count} {WORDS.get(str(k), k)}" for k, count in counts.items())
        said.append(f"of the runs there should be: {words} (--table left_out says which and why)")
    return said
