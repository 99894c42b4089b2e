"""Where crops are taken from an image at test time, and the settings that choose them.

centre: what a validation sees. flip: that and its mirror image. ten: the four corners and the
centre, each mirrored too (Krizhevsky et al. 2012, Sec. 4.1). grid: a regular grid of 5 x 5, each
mirrored too, 50 a scale (Simonyan, Zisserman 2014, arXiv:1409.1556, Sec. 3.2). Shapes: H, W pixels
of an image, P of a crop.
"""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple

from transferlab.errors import UserError
from transferlab.evaluation.runs import FinishedFolder

CROPS = {
    "centre": "centre crop",
    "flip": "centre crop and its mirror image",
    "ten": "10 crops",
    "grid": "50 crops of a 5 x 5 grid",
}
APART = ("ten", "grid")  # all the same in an image of the size of a crop
GRID = 5  # crops a side
DENSE = "dense"


class Crop(NamedTuple):
    """The row and the column where a crop begins, and whether it is mirrored, left to right."""

    row: int
    column: int
    mirrored: bool


def crops(kind: str, *, height: int, width: int, crop: int) -> tuple[Crop, ...]:
    """The crops of `crop` pixels a side of an image (H, W) that is at least as large."""
    down, across = height - crop, width - crop
    if kind == "grid":
        places = list(product(_spread(down), _spread(across)))
    else:
        places = [(down // 2, across // 2)]
    if kind == "ten":
        places = [*product((0, down), (0, across)), *places]
    mirrored = (False,) if kind == "centre" else (False, True)
    return tuple(Crop(row, column, flip) for row, column in places for flip in mirrored)


def _spread(slack: int) -> list[int]:
    """The first pixels of crops that are spread evenly over an image, from edge to edge."""
    return [round(place * slack / (GRID - 1)) for place in range(GRID)]


# --- the settings -------------------------------------------------------------------------------


def check(settings: Mapping[str, Any], runs: Sequence[FinishedFolder]) -> dict[str, Any]:
    """The settings with the centre crop where nothing is chosen, and scales in order, once each.

    Raises: UserError for crops or scales that the images of a run do not have room for.
    """
    kind = settings["crops"]
    if kind is None and not settings["dense"]:
        kind = "centre"
    scales = settings["scales"] and sorted({*settings["scales"]})
    for run in runs:
        size, crop = run.images.size, run.images.crop
        if kind in APART and not scales and size == crop:
            raise UserError(
                f"--crops {kind} has no room: {run.label} {run.id} takes images of {crop} pixels "
                f"whole (data.size={size}, data.crop={crop}); name larger test scales, such as "
                f"--scales {crop + crop // 8}"
            )
        if scales and scales[0] < crop:
            raise UserError(
                f"--scales {scales[0]} is too small: {run.label} {run.id} takes inputs of {crop} "
                f"pixels (data.crop={crop})"
            )
    return {**settings, "crops": kind, "scales": scales or None}


def describe(settings: Mapping[str, Any]) -> str:
    """The settings in words: `10 crops and dense at 224, 256, 288 pixels, training images`."""
    kind, scales = settings["crops"], settings["scales"]
    words = " and ".join(filter(None, (kind and CROPS[kind], DENSE * settings["dense"])))
    if scales:
        words += f" at {', '.join(map(str, scales))} pixels"
    return words + (", training images" if settings["subset"] == "train" else "")
