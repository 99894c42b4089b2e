"""Every table and figure: its title, its explanation, and the runs it shows.

The texts are for a reader without the paper at hand, and use its words where they can (Yosinski et
al. 2014: captions of Fig. 2 and 3 and of Table 1, Sec. 4); they say where we show more than the
paper. To add an exhibit, write its builder and add an entry here: the commands, the page and the
mirror read EXHIBITS.
"""

from dataclasses import replace
from functools import partial

import pandas as pd

from transferlab.errors import UserError
from transferlab.results import comparable, loading, selections
from transferlab.results.comparable import Experiment
from transferlab.results.exhibits import Exhibit, Select, Selection
from transferlab.results.lecture_exhibits import LECTURE
from transferlab.results.loading import Results
from transferlab.results.lookup import among
from transferlab.results.metrics import metric_of
from transferlab.results.tables import (
    choice,
    decomposition,
    evaluations,
    experiments,
    figure2,
    figure3,
    fine_tuning,
    interpretation,
    left_out,
    runs,
    table1,
)

TITLE = "How transferable are the features, layer by layer?"
SUBJECT = (
    "A network is trained on one half of a data set's classes (base). Its first n layers are "
    "copied into a network for the other half (target), and the layers above start afresh. How "
    "much accuracy that costs, or gains, says how general the features of layer n are, and how "
    "specific to their task."
)
PUBLISHED = (
    "The networks of Yosinski et al. 2014, read from the training logs that the authors released "
    "(github.com/yosinski/convnet_transfer). A network without a log is listed as missing."
)
COVERAGE = (
    "The number of finished networks of each kind; where more are planned or begun, of how many."
)
MIRRORED = (
    "Mirror images are merged: AnB stands for BnA too, and baseB for baseA. An experiment without "
    "random halves is shown with the tasks that it has."
)
FIGURES = "transferlab.results.figures"


def table(
    results: Results, name: str, metric: str | None = None, *, experiment: str | None = None
) -> pd.DataFrame:
    """The table `name` in fractions, with title, notes and the columns for people in its `attrs`.

    `experiment` as in `select`. Raises: UserError for an unknown name or metric, and as `select`.
    """
    build = EXHIBITS[name].table if name in EXHIBITS else None
    if build is None:
        raise UserError(f"table={name} is unknown: choose one of {', '.join(table_names())}")
    return build(select(results, name, metric, experiment))


def select(
    results: Results, name: str, metric: str | None = None, experiment: str | None = None
) -> Selection:
    """The runs that the table and the figure `name` show, of every experiment or of one: the id
    or a part of the name of `experiment`.

    Raises: UserError for an unknown metric, or an experiment that is unknown or ambiguous.
    """
    exhibit = EXHIBITS[name]
    metric = metric_of(metric, results.metric)
    results = loading.judged(results, metric)
    if exhibit.select is None:
        if experiment is not None:
            results = only(results, comparable.chosen(results.experiments, experiment))
        return Selection(exhibit, metric, (), results)
    shown = results.once(exhibit.select, partial(_selected, results, exhibit.select))
    if experiment is not None:
        shown = comparable.matching(shown, experiment)
        if not shown:  # none to show, or a mistake
            comparable.chosen(results.experiments, experiment)
    return Selection(exhibit, metric, shown, results)


def _selected(results: Results, select: Select) -> tuple[Experiment, ...]:
    """What is selected of the results, under the names that experiments have in all of them."""
    names = {known.id: known.name for known in results.experiments}
    return tuple(
        replace(part, name=names.get(part.id, part.name))
        for part in select(results.prepared, results)
    )


def only(results: Results, experiment: Experiment) -> Results:
    """The results without the finished runs of other experiments."""
    others = set(results.table["id"]) - set(experiment.runs["id"])
    return replace(
        results,
        table=results.table[~among(results.table["id"], others)].reset_index(drop=True),
        left_out=results.left_out[~among(results.left_out["id"], others)].reset_index(drop=True),
    )


def table_names() -> tuple[str, ...]:
    """The exhibits that have a table."""
    return tuple(name for name, exhibit in EXHIBITS.items() if exhibit.table is not None)


def figure_names() -> tuple[str, ...]:
    """The exhibits that have a figure."""
    return tuple(name for name, exhibit in EXHIBITS.items() if exhibit.figure is not None)


# --- the exhibits, in the order of the page -----------------------------------------------------

EXHIBITS: dict[str, Exhibit] = {
    "figure2": Exhibit(
        title="Figure 2: transfer and selffer networks, layer by layer",
        text="Each marker is the accuracy on the validation set of one trained network, and lines "
        "connect the means of each treatment. Where BnB lies below baseB, layers that had learned "
        "to work together were parted and could not find each other again: fragile co-adaptation. "
        "Where AnB lies below BnB, the copied features are specific to the base task. AnB+ above "
        f"baseB: networks that transfer, then learn on, generalize better. {MIRRORED}",
        select=selections.of_paper,
        nothing="no finished run has halves or two other tasks, A and B",
        table=figure2.build,
        figure=f"{FIGURES}.figure2:draw",
    ),
    "interpretation": Exhibit(
        title="Figure 2, interpreted: two reasons for the drop",
        text="The drop from baseB to AnB has two reasons. Down to BnB, which sees its own task "
        "only, it is lost co-adaptation of the layers on both sides of the cut. From there down to "
        "AnB it is representation specificity: the features were made for other classes. Drawn is "
        "the mean of baseB plus the mean difference of each series to the base of its own target, "
        "so that the gaps are those of the decomposition below.",
        select=selections.of_paper,
        nothing="no finished run has halves or two other tasks, A and B",
        table=interpretation.build,
        figure=f"{FIGURES}.interpretation:draw",
    ),
    "decomposition": Exhibit(
        title="Decomposition: co-adaptation and specificity",
        text="The same two gaps, measured in pairs: a base network, a selffer and a transfer "
        "network for the same half of the same split, so that halves of unequal difficulty do not "
        "matter. Co-adaptation is baseB less BnB, specificity BnB less AnB, and together they are "
        "the whole drop. The 95 % interval, low to high, is Student's t over the means of splits "
        "or, where there is one, of seeds. The paper has no such table.",
        select=selections.halves,
        nothing="no finished run is a frozen selffer or transfer",
        table=decomposition.build,
        figure=f"{FIGURES}.decomposition:draw",
    ),
    "table1": Exhibit(
        title="Table 1: what transferring and fine-tuning gains",
        text="The boost of AnB+ over its controls, averaged over different ranges of layers. "
        "Pooled is as the paper prints it: the mean of all networks of one kind less the mean of "
        "all of the other. These may be for different halves, and halves are not equally hard. "
        "Paired, which the paper does not have, compares networks for the same half of the same "
        "split.",
        select=selections.fine_tuned,
        nothing="no finished run has halves or two other tasks, A and B",
        table=table1.build,
    ),
    "fine_tuning": Exhibit(
        title="Fine-tuning: what it gains, layer by layer",
        text="The comparisons of Table 1 at every n, in pairs: fine-tuned networks less the base "
        "of their own target, and the transfer less the selffer for the same target, which alone "
        "says what the other half adds. The 95 % interval, low to high, is as in the "
        "decomposition. The paper has no such table.",
        select=selections.gains,
        nothing="no finished run is fine-tuned",
        table=fine_tuning.build,
        figure=f"{FIGURES}.fine_tuning:draw",
    ),
    "figure3": Exhibit(
        title="Figure 3: dissimilar halves, and random filters",
        text="How performance falls with the layer at which a network is cut, when base and target "
        "tasks are dissimilar (man-made and natural classes) and when the first n layers are "
        "random, untrained weights. Compared with the random halves, all after subtracting their "
        "base level. The farther the tasks are apart, the worse high layers transfer; even "
        "features of distant tasks are better than random ones. Shaded is where a further split "
        "of random halves would lie with 95 %, in the mean of its directions: a single direction "
        "varies more.",
        select=selections.frozen,
        nothing="no finished run is a frozen transfer or has random filters",
        study="random_filters",
        table=figure3.build,
        figure=f"{FIGURES}.figure3:draw",
    ),
    "choice": Exhibit(
        title="Which layer: what each choice gains, and what it costs",
        text="For one's own task: copy the first n layers and freeze them (AnB), or train them on "
        "(AnB+). Accuracy, its difference in pairs to training from scratch (baseB) and to "
        "fine-tuning with the most layers copied (AnB+ at the largest n), and what a training step "
        "costs: parameters that learn, multiply-accumulates of an image, time and memory measured "
        "with the run alone. A line joins the efficient choices, which nothing cheaper exceeds. "
        "BnB, BnB+ and random filters are controls. The paper has no such table.",
        select=selections.choices,
        nothing="no finished run with a cut has the cost of a step in its record",
        table=choice.build,
        figure=f"{FIGURES}.choice:draw",
    ),
    "reduced": Exhibit(
        title="Fewer training images",
        text="Networks for all classes, trained from scratch on the given number of images of "
        "each class: the effect of less data alone.",
        select=selections.reduced,
        nothing="no finished run is a base network with fewer images per class beside one with "
        "more",
        study="reduced",
        figure=f"{FIGURES}.reduced:draw",
    ),
    "curves": Exhibit(
        title="Learning curves",
        text="Accuracy on the validation set during training, one line a network.",
        select=selections.with_curves,
        nothing="no finished run has a learning curve",
        figure=f"{FIGURES}.curves:draw",
        drawn=selections.drawn_curves,
    ),
    **LECTURE,
    "experiments": Exhibit(
        title="Experiments",
        text="Runs that differ in split, seed and variant only are one experiment; nothing is "
        "averaged over several. --experiment takes an id, or a part of a name.",
        select=lambda runs, _: comparable.split(runs),
        nothing="no run is finished",
        table=experiments.build,
    ),
    "evaluations": Exhibit(
        title="Evaluations",
        text="What finished runs were asked without training them, by the command evaluate: "
        "other crops and test scales, dense evaluation, averages of several networks, beside the "
        "error of each; features. A metric is empty where it was not asked for or is not defined.",
        nothing="no finished run has been evaluated",
        table=evaluations.build,
    ),
    "runs": Exhibit(
        title="Runs",
        text="Every finished run; one at chance level did not learn and enters no mean. Delta is "
        "the difference to the base network of the run's own target half. The file has every key "
        "of every run's config as well, and the provenance of its numbers.",
        nothing="no run is finished",
        table=runs.build,
    ),
    "left_out": Exhibit(
        title="Left out: runs in no table or in no mean",
        text="Damaged, failed and missing runs are in no table; runs at chance level, whose "
        "accuracy is no better than guessing, are listed but enter no mean.",
        nothing="every expected run is finished",
        table=left_out.build,
    ),
}
