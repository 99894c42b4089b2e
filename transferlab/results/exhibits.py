"""The description of a table or figure: its texts, its selection of runs, and its builders.

The exhibits themselves are entries of `catalogue.EXHIBITS`. A table and a figure of one exhibit
are built from one selection, so they cannot show different runs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from transferlab.results.comparable import Experiment
from transferlab.results.loading import Results

DRAWN = ["id", "label", "series", "n", "target", "split", "split_seed", "seed", "data.per_class",
         "counts"]  # fmt: skip
Select = Callable[[pd.DataFrame, Results], Sequence[Experiment]]


@dataclass(frozen=True, eq=False)
class Selection:
    """The runs that an exhibit shows of `results`, by experiment, as `pairs.prepare` makes them."""

    exhibit: "Exhibit"
    metric: str
    experiments: tuple[Experiment, ...]
    results: Results

    @property
    def experiment(self) -> Experiment:
        """The experiment of a figure, which shows just one."""
        (experiment,) = self.experiments
        return experiment

    @property
    def without_metric(self) -> int:
        """How many finished runs lack the metric: their curves are too short for it, or their
        labels of another kind."""
        return int(self.results.table[self.metric].isna().sum())

    @property
    def nothing(self) -> str:
        """The reason if there is nothing to show."""
        reason = self.exhibit.nothing
        return f"of the runs that have {self.metric}, {reason}" if self.without_metric else reason

    @cached_property
    def ids(self) -> frozenset[str]:
        """The ids of all selected runs."""
        return frozenset().union(*(part.runs["id"].tolist() for part in self.experiments))


def networks(selection: Selection) -> pd.DataFrame:
    """One row a network, of a selection of one experiment: the data of most figures."""
    runs = selection.experiment.runs[[*DRAWN, selection.metric]]
    return runs.sort_values(["series", "n", "split_seed"], ignore_index=True)


@dataclass(frozen=True, kw_only=True)
class Exhibit:
    """A table, a figure, or one of each.

    `select` takes prepared runs and the results they are from; None for a listing of all runs,
    which compares nothing. `nothing` is the reason if there is nothing to show, and `study` a study
    that trains such runs. `table` builds the table; `figure` is the `module:function` that draws
    (`figures.Draw`), imported when it is drawn because it needs matplotlib, and `drawn` the data
    that it draws. One that is `part_of` another has no section of its own in the page.
    """

    title: str
    text: str
    nothing: str
    select: Select | None = None
    study: str = "quick"
    table: Callable[[Selection], pd.DataFrame] | None = None
    figure: str | None = None
    drawn: Callable[[Selection], pd.DataFrame] = networks
    part_of: str | None = None

    @property
    def name(self) -> str:
        """Its name in a caption: the title up to its colon."""
        return self.title.partition(":")[0]
