"""Images for evaluation: what of them is announced to a disk, and how often they are decoded."""

import numpy as np
import pytest

from transferlab.data.datasets.images import ArraySubset
from transferlab.data.half import View
from transferlab.evaluation.reading import Sight, batches


def test_every_image_is_announced_once_for_all_its_scales():
    class OnDisk(ArraySubset):
        def announce(self, positions: np.ndarray) -> None:
            announced.append(positions.tolist())

    announced: list[list[int]] = []
    labels = np.zeros(5, dtype=np.int64)
    images = OnDisk(np.zeros((9, 4, 4, 3), dtype=np.uint8), np.zeros(9, dtype=np.int64), "disk")
    view = View(images, np.arange(4, 9), labels, skip_unreadable=False)
    looks = [Sight(0, None), Sight(0, 4), Sight(0, 6)]
    assert len(list(batches([view], looks, batch_size=3, workers=0))) == 2
    assert announced == [[4, 5, 6], [7, 8]]


@pytest.mark.parametrize(("scaled", "decoded"), [(False, [4]), (True, [4, 6])])
def test_an_image_is_decoded_once_unless_each_scale_has_a_detail_of_its_own(
    scaled: bool, decoded: list[int]
):
    class Decoding(ArraySubset):
        def picture(self, position: int, side: int) -> np.ndarray:
            sides.append(side)
            return np.full((8, 8, 3), side, np.uint8)

    sides: list[int] = []
    labels = np.zeros(1, dtype=np.int64)
    images = Decoding(np.zeros((1, 4, 4, 3), np.uint8), labels, "files", scaled=scaled)
    view = View(images, np.arange(1), labels, skip_unreadable=False)
    looks = [Sight(0, 4), Sight(0, 6)]
    (seen,) = batches([view], looks, batch_size=3, workers=0)
    assert sides == decoded
    assert [int(seen.images[look][0].mean()) for look in looks] == [4, decoded[-1]]
