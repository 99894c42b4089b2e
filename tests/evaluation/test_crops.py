"""Where crops are taken, and which settings suit the runs."""

from pathlib import Path
from typing import Any

import pytest
from support.stores import config, record

from transferlab.errors import UserError
from transferlab.evaluation.crops import check, crops, describe
from transferlab.evaluation.runs import FinishedFolder

NOTHING: dict[str, Any] = {"crops": None, "scales": None, "dense": False, "subset": "val"}


def run(size: int, crop: int) -> FinishedFolder:
    chosen = config("baseB", {"data.size": size, "data.crop": crop})
    return FinishedFolder(Path("run"), record(chosen, 0.5), chosen)


def places(kind: str, height: int, width: int) -> list[tuple[int, int, bool]]:
    return [tuple(crop) for crop in crops(kind, height=height, width=width, crop=224)]


def test_ten_crops_are_the_corners_and_the_centre_with_their_mirror_images():
    corners = [(0, 0), (0, 76), (32, 0), (32, 76), (16, 38)]
    assert places("ten", 256, 300) == [(r, c, flip) for r, c in corners for flip in (False, True)]
    assert places("centre", 256, 341) == [(16, 58, False)]
    assert places("flip", 224, 341) == [(0, 58, False), (0, 58, True)]


def test_a_grid_is_spread_evenly_from_edge_to_edge():
    found = places("grid", 256, 300)

    assert len(found) == 50 and len({*found}) == 50
    assert sorted({row for row, _, _ in found}) == [0, 8, 16, 24, 32]
    assert sorted({column for _, column, _ in found}) == [0, 19, 38, 57, 76]


def test_settings_have_one_spelling():
    runs = [run(256, 224)]

    assert check(NOTHING, runs) == {**NOTHING, "crops": "centre"}
    assert check({**NOTHING, "crops": "centre"}, runs) == {**NOTHING, "crops": "centre"}
    assert check({**NOTHING, "dense": True}, runs) == {**NOTHING, "dense": True}
    scales = {**NOTHING, "scales": [288, 224, 256, 224], "dense": True}
    assert check(scales, runs)["scales"] == [224, 256, 288]


def test_settings_are_described_in_words():
    for changes, words in (
        ({"crops": "centre"}, "centre crop"),
        ({"crops": "ten", "subset": "train"}, "10 crops, training images"),
        ({"dense": True, "scales": [256, 384]}, "dense at 256, 384 pixels"),
        ({"crops": "grid", "dense": True}, "50 crops of a 5 x 5 grid and dense"),
    ):
        assert describe({**NOTHING, **changes}) == words


def test_crops_and_scales_that_have_no_room_are_refused():
    whole = run(32, 32)
    with pytest.raises(UserError) as error:
        check({**NOTHING, "crops": "ten"}, [run(36, 32), whole])
    assert str(error.value) == (
        f"--crops ten has no room: baseB {whole.id} takes images of 32 pixels whole "
        "(data.size=32, data.crop=32); name larger test scales, such as --scales 36"
    )
    assert check({**NOTHING, "crops": "ten", "scales": [36]}, [whole])["crops"] == "ten"
    with pytest.raises(UserError, match=f"--scales 28 is too small: baseB {whole.id} takes inputs"):
        check({**NOTHING, "scales": [28, 36]}, [whole])
