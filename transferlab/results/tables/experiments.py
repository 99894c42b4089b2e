"""The experiments of a store: the id and name of each, its images, and its number of runs."""

from collections.abc import Iterator

import pandas as pd

from transferlab.results.exhibits import Selection
from transferlab.results.tables.frame import Row, frame

COLUMNS = ("id", "experiment", "runs", "classes", "images", "chance", "at_chance")


def build(selection: Selection) -> pd.DataFrame:
    """`classes` and training `images` are of the whole data set. `chance` is the accuracy of
    guessing in a half: the highest, where halves are unequal."""
    return frame(selection, COLUMNS, _rows(selection), percent=("chance",))


def _rows(selection: Selection) -> Iterator[Row]:
    table = selection.results.table.set_index("id")
    for experiment in selection.experiments:
        runs = table.loc[experiment.runs["id"]]
        yield {
            "id": experiment.id,
            "experiment": experiment.name,
            "runs": len(runs),
            "classes": runs["data_classes"].max(),
            "images": runs["data_images"].max(),
            "chance": runs["chance"].max(),
            "at_chance": int((~experiment.runs["counts"]).sum()),
        }
