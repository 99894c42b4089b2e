"""Which runs a table or a figure shows: the experiments of each exhibit."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pandas as pd

from transferlab.experiment.keys import OPTIONAL
from transferlab.results import comparable, loading, pairs
from transferlab.results.comparable import Experiment
from transferlab.results.exhibits import Selection
from transferlab.results.loading import Results
from transferlab.results.lookup import among
from transferlab.results.naming import RANDOM, WHOLE

MOST = 300  # curves in a figure, in which nobody could follow more


def of_paper(runs: pd.DataFrame, _: Results) -> Sequence[Experiment]:
    """The networks of the paper's series, of one kind of split."""
    runs = _plain(runs)
    return [_with_own_bases(part) for part in _of_one_kind(runs[runs["series"].isin(pairs.SERIES)])]


def fine_tuned(runs: pd.DataFrame, _: Results) -> Sequence[Experiment]:
    """Fine-tuned networks, and all base networks, of one kind of split: `pooled` is over all
    halves."""
    runs = _plain(runs)
    return _of_one_kind(runs[runs["series"].isin(["baseB", "AnB+", "BnB+"])])


def gains(runs: pd.DataFrame, results: Results) -> Sequence[Experiment]:
    """Fine-tuned networks with the bases of their targets, where there are any."""
    return [
        _with_own_bases(part) for part in fine_tuned(runs, results) if part.runs["n"].gt(0).any()
    ]


def frozen(runs: pd.DataFrame, _: Results) -> Sequence[Experiment]:
    """Frozen transfers, random filters and their base networks, where there is any with n > 0."""
    runs = _plain(runs)
    runs = runs[runs["series"].isin(["baseB", "AnB", "random"])]
    return _with_cuts(runs)


def halves(runs: pd.DataFrame, _: Results) -> Sequence[Experiment]:
    """Frozen selffers and transfers with their base networks, where there is any with n > 0."""
    runs = _plain(runs)
    runs = runs[runs["series"].isin(["baseB", "BnB", "AnB"]) & (runs["split"] != WHOLE)]
    return _with_cuts(runs)


def with_curves(runs: pd.DataFrame, results: Results) -> Sequence[Experiment]:
    """Networks with a learning curve."""
    return [part for part in comparable.split(runs) if len(_drawn(part.runs, results))]


def drawn_curves(selection: Selection) -> pd.DataFrame:
    """The learning curves that the figure of an experiment draws, as `loading.curves`: those of all
    its runs, or of MOST at even distances, so that there are some of each series and n."""
    return _drawn(selection.experiment.runs, selection.results)


def _drawn(runs: pd.DataFrame, results: Results) -> pd.DataFrame:
    known = runs[among(runs["id"], results.with_curve)]
    ids = known.sort_values(["series", "n"], kind="stable")["id"].tolist()
    if len(ids) > MOST:  # others are not read
        ids = [ids[number * len(ids) // MOST] for number in range(MOST)]
    return loading.curves(results, ids)


def reduced(runs: pd.DataFrame, _: Results) -> Sequence[Experiment]:
    """Base networks that differ in images per class, which elsewhere distinguishes experiments: of
    two data sets those for B, whose key it is."""
    of_a = runs[f"{OPTIONAL}.name"].notna() & (runs["target"] == "A")
    runs = measured(runs[(runs["series"] == "baseB") & ~of_a])
    per_class = runs["data.per_class"]
    experiments = comparable.split(runs.assign(**{"data.per_class": None}))
    return [
        replace(
            experiment,
            runs=experiment.runs.assign(**{"data.per_class": per_class.loc[experiment.runs.index]}),
        )
        for experiment in experiments
        if per_class.loc[experiment.runs.index].nunique(dropna=False) > 1
    ]


def _of_one_kind(runs: pd.DataFrame) -> Sequence[Experiment]:
    """The experiments, each with the runs of its random halves; where none of these is cut, with
    those of the first kind of split that has a network that is, such as two data sets."""
    experiments = []
    for part in comparable.split(runs[runs["split"] != WHOLE]):
        cut = part.runs.loc[part.runs["n"] > 0, "split"]
        kinds = part.runs["split"] if cut.empty else cut
        kind = RANDOM if kinds.eq(RANDOM).any() else kinds.iloc[0]
        experiments.append(replace(part, runs=part.runs[part.runs["split"] == kind]))
    return experiments


def _plain(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs that have the metric and keep no stages above the cut."""
    return measured(runs[runs["transfer.keep"] == 0])


def measured(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs that have the metric."""
    return runs[runs["accuracy"].notna()]


def _with_any(
    runs: pd.DataFrame, shown: Callable[[pd.DataFrame], pd.Series]
) -> Sequence[Experiment]:
    """The experiments with a run to show."""
    return [part for part in comparable.split(runs) if shown(part.runs).any()]


def _with_cuts(runs: pd.DataFrame) -> Sequence[Experiment]:
    """The experiments with a network that is cut, each with the bases of these networks."""
    return [_with_own_bases(part) for part in _with_any(runs, lambda runs: runs["n"] > 0)]


def _with_own_bases(experiment: Experiment) -> Experiment:
    """Of the base networks only those for the target of another network, if there are others: the
    mean of baseB is of halves of the same difficulty."""
    runs = experiment.runs
    cut = runs["n"] > 0
    own = cut | among(runs["id"], runs.loc[cut, "target_base_id"])
    return replace(experiment, runs=runs[own]) if cut.any() else experiment


def choices(runs: pd.DataFrame, _: Results) -> Sequence[Experiment]:
    """All networks that are cut and whose cost is recorded, with their bases."""
    runs = _plain(runs)
    return _with_cuts(runs[runs["training_macs"].notna()])
