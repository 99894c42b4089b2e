"""Which experiment a figure shows, and whether the published networks are drawn behind it.

Runs of several experiments never share axes: the caller names one, unless there is just one.
"""

from collections.abc import Collection

from transferlab.errors import UserError
from transferlab.results import catalogue, comparable, loading, notes
from transferlab.results.exhibits import Selection
from transferlab.results.left_out import FINISHED
from transferlab.results.loading import Results
from transferlab.results.lookup import among
from transferlab.results.published import is_published
from transferlab.runtime import commands

STORE = "published:yosinski2014"
PAPER = ("imagenet", "alexnet")  # its data and network


def choose(
    results: Results, name: str, metric: str | None = None, experiment: str | None = None
) -> Selection:
    """The selection of the figure `name`: of the experiment that has this id or text in its name,
    or of the only one.

    Raises: UserError if there is none to show, or several.
    """
    selection = catalogue.select(results, name, metric, experiment)
    if not selection.experiments:
        study = commands.study(selection.exhibit.study, results.folder)
        advice = f"train such runs with {study}"
        if selection.without_metric:
            note = "; ".join(notes.without_metric(selection))
            advice = f"{note}; choose --metric {loading.usual_metric(results.table)}"
        raise UserError(
            f"{results.store} has nothing to show in {name}: {selection.nothing}; {advice}"
        )
    if len(selection.experiments) > 1:
        raise UserError(
            f"{name} shows one experiment and {results.store} has {len(selection.experiments)}, "
            "which must not be mixed: choose one with --experiment, by its id or part of its name",
            comparable.listed(selection.experiments),
        )
    return selection


def behind(selection: Selection, name: str, published: bool | None) -> Selection | None:
    """The published networks for the same figure and metric, if they are to be drawn.

    `published` None: where data and network are the paper's, so that its values are comparable.
    """
    if is_published(selection.results.store):
        return None
    runs = selection.experiment.runs
    comparable = set(zip(runs["data.name"], runs["model.name"], strict=True)) == {PAPER}
    if not (comparable if published is None else published):
        return None
    return choose(loading.load(STORE), name, selection.metric)


def left_out(selection: Selection, drawn: Collection[str] = ()) -> list[str]:
    """How many runs of the store lack the metric, are in no mean, or are not finished, if any.

    `drawn` are ids of networks that are drawn although they are in no mean.
    """
    runs = selection.results.left_out
    finished = runs["kind"].isin(FINISHED)
    kinds = {
        "In no mean": runs["kind"][finished & among(runs["id"], selection.ids - set(drawn))],
        "Left out of all runs of the store": runs["kind"][~finished],
    }
    counted = [
        f"{what}: {notes.counts(which.replace(notes.KINDS))}."
        for what, which in kinds.items()
        if len(which)
    ]
    return [*(f"{note}." for note in notes.without_metric(selection)), *counted]
