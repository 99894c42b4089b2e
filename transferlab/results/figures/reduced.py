"""Accuracy of base networks against the number of training images."""

import pandas as pd
from matplotlib.axes import Axes

from transferlab.results.exhibits import Selection
from transferlab.results.figures import select, style
from transferlab.results.figures.axes import accuracy_axis, image_counts, title
from transferlab.results.figures.style import Look
from transferlab.results.naming import MANMADE_NATURAL, RANDOM, WHOLE, tasks

# By the kind of split: colour, marker, line
LOOKS = {
    WHOLE: (style.BLACK, "o", "-"),
    RANDOM: (style.BLUE, "s", "--"),
    MANMADE_NATURAL: (style.GREEN, "^", ":"),
}
OTHER = (style.PURPLE, "D", "-.")


def draw(axes: Axes, selection: Selection, published: Selection | None) -> list[str]:
    """Accuracies in percent against training images per class."""
    ticks = set()
    if published is not None:
        x, y = _means(_with_images(published))
        style.published(axes, x, y, _look(WHOLE), "published whole")
        style.name_published(axes)
        ticks |= set(x)
    runs = _with_images(selection)
    kinds = runs["split"].unique()
    for split in [*(kind for kind in LOOKS if kind in kinds), *sorted({*kinds} - {*LOOKS})]:
        look, networks = _look(split), runs[runs["split"] == split]
        learned, lost = networks[networks["counts"]], networks[~networks["counts"]]
        style.line(axes, *_means(networks), look, f"means {split}")
        style.points(axes, *_points(learned), look, f"points {split}")
        style.name(axes, look, missing=learned.empty)
        if not lost.empty:
            axes.plot(*_points(lost), "x", color=style.DARK_GREY, markersize=style.MARKER,
                      gid=f"chance {split}")  # fmt: skip
            style.name_once(axes, "at chance level", linestyle="none", marker="x",
                            color=style.DARK_GREY)  # fmt: skip
        ticks |= set(networks["images"])
    image_counts(axes, sorted(ticks))
    accuracy_axis(axes, selection.metric)
    title(axes, selection.experiment.name, selection.metric)
    unknown = len(selection.experiment.runs) - len(runs)
    note = f"The number of training images is unknown for {unknown} networks."
    return [*([note] if unknown else []), *select.left_out(selection)]


def _look(split: str) -> Look:
    colour, marker, line = LOOKS.get(split, OTHER)
    return Look(f"base, {tasks(split)}", colour, marker, line=line)


def _with_images(selection: Selection) -> pd.DataFrame:
    """The runs with known images per class, in a column `images`: `per_class`, or the mean of the
    data set, which is the same for both halves."""
    table = selection.results.table.set_index("id")
    mean = table["data_images"].astype(float) / table["data_classes"].astype(float)
    images = table["data.per_class"].astype(float).fillna(mean)
    runs = selection.experiment.runs
    return runs.assign(images=runs["id"].map(images)).dropna(subset="images")


def _means(runs: pd.DataFrame) -> tuple[list[float], list[float]]:
    """Images and percent; nan, which breaks the line, where no network learned."""
    every = sorted(set(runs["images"]))
    means = runs[runs["counts"]].groupby("images")["accuracy"].mean().reindex(every)
    return every, (100 * means).tolist()


def _points(runs: pd.DataFrame) -> tuple[list[float], list[float]]:
    return runs["images"].tolist(), (100 * runs["accuracy"]).tolist()
