"""The tables of the lecture's experiments: what each paper found, beside what is found here.

All of them are one section of the page, `lecture`; each alone has the name of its study.
"""

from collections.abc import Callable
from functools import partial

import pandas as pd

from transferlab.results.exhibits import Exhibit, Selection
from transferlab.results.tables import bn_rates, lecture


def _lecture(
    study: str, title: str, text: str, table: Callable[[Selection], pd.DataFrame] | None = None
) -> Exhibit:
    """The table of an experiment of the lecture, which has the name of its study."""
    return Exhibit(
        title=title,
        text=f"{text} Ours beside the published values; source: results/lecture.csv.",
        nothing=f"no finished run is of study {study}",
        study=study,
        select=partial(lecture.select, studies=(study,)),
        table=table or partial(lecture.build, study=study),
        part_of="lecture",
    )


LECTURE: dict[str, Exhibit] = {
    "lecture": Exhibit(
        title="The lecture's experiments",
        text="Networks of the lecture's experiments beside the values that their papers report, as "
        "error. A small network on small images need not show what a large one showed on ImageNet: "
        "read the difference to the first setting of a group, with its interval.",
        select=lecture.select,
        nothing="no finished run is of an experiment of the lecture",
        study="vgg_depth",
        table=lecture.overview,
    ),
    "chatfield2014": _lecture(
        "chatfield2014",
        "The devil in the details: features for PASCAL VOC 2007",
        "By linear SVMs on fc7: CNN-M and S are better than F by two points; ten crops are worth "
        "three, a mirror image alone nothing; grey costs three; fc7 can be half as wide for "
        "nothing and 32 times narrower for two; fine-tuning for the ranking gains two and a half "
        "(Chatfield et al. 2014, Table 2). Ours is the 11-point mean average precision.",
    ),
    "vgg_depth": _lecture(
        "vgg_depth",
        "VGG: depth",
        "More layers of 3 x 3 convolutions lower the error up to 16 or 19 layers, and local "
        "response normalisation does not help (Simonyan, Zisserman 2014, Sec. 4.1).",
    ),
    "filters": _lecture(
        "filters",
        "Filters: their size, number and stride",
        "Two layers of 3 x 3 are better than one of 5 x 5 (Simonyan, Zisserman 2014, Sec. 4.1), "
        "more maps in the middle are better (Zeiler, Fergus 2013, Table 3), and so are smaller "
        "strides (Chatfield et al. 2014, Table 3).",
    ),
    "plain_residual": _lecture(
        "plain_residual",
        "Plain and residual networks",
        "Of plain networks the deeper ones are worse, also on the training images; of residual "
        "ones they are better (He et al. 2015, Sec. 4).",
    ),
    "bn_rates": _lecture(
        "bn_rates",
        "Batch normalisation and rates",
        "With batch normalisation Inception reaches its accuracy in half of the steps, with 5 "
        "times the rate in a fourteenth, with 30 times later but ends higher, and learns even with "
        "sigmoids (Ioffe, Szegedy 2015, Sec. 4.2.2).",
        bn_rates.build,
    ),
    "vgg_scales": _lecture(
        "vgg_scales",
        "VGG: scales of training and test",
        "A scale that is drawn for each training image is better than a fixed one, several test "
        "scales are better than one, and crops are a little better than dense evaluation, whose "
        "errors are others: both together are best (Simonyan, Zisserman 2014, Sec. 4.1 to 4.3). "
        "Small images are in a seventh of the size: S = 36, 54 and 36 to 72.",
    ),
    "averaging": _lecture(
        "averaging",
        "Averages of networks",
        "Averaging the posteriors of several networks lowers the error by some two points, those "
        "of two kinds a little more (Krizhevsky et al. 2012, Table 2; Zeiler, Fergus 2013, Table "
        "2). The published values without an average of crops are of ten crops too.",
    ),
}
