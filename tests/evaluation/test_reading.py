"""Images for evaluation: what of them is announced to a disk."""

import numpy as np

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
