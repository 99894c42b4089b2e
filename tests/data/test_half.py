"""A half as a view on one data set: new labels, no copies, and files that cannot be read."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from transferlab.data import half
from transferlab.data.crops import Crops
from transferlab.data.datasets.images import ArraySubset, ImageSet, UnreadableImage
from transferlab.errors import UserError

CLASSES = ("ant", "bee", "cat", "dog")


@dataclass
class Broken:
    """Images, some of them unreadable; image i is full of the value i."""

    labels: np.ndarray
    bad: frozenset[int]
    size: int = 2
    in_memory: bool = True
    asked: list[int] = field(default_factory=list)

    def read(
        self, positions: np.ndarray, out: np.ndarray, crops: Crops | None
    ) -> dict[int, UnreadableImage]:
        self.asked += positions.tolist()
        self.crops = crops
        out[:] = positions.astype(np.uint8)[:, None, None, None]
        return {
            i: UnreadableImage("torn", f"train/image{p}.png", f"sha{p}")
            for i, p in enumerate(positions.tolist())
            if p in self.bad
        }

    def name(self, position: int) -> str:
        return f"image{position}.png"


def images(labels: list[int], bad: tuple[int, ...] = ()) -> ImageSet:
    train = Broken(np.array(labels), frozenset(bad))
    return ImageSet(CLASSES, "digest", train, Broken(np.array([3, 2, 1, 0, 3]), frozenset(bad)))


def cut(labels: list[int], classes: str, **settings) -> half.Half:
    options = dict(per_class=None, skip_unreadable=False, bad=()) | settings
    return half.cut(images(labels, options.pop("bad")), classes.split(), **options)


def read(view: half.View, indices: np.ndarray, **settings) -> half.Images:
    """The uncropped images."""
    size = view.subset.size
    return view.read(indices, np.empty((len(indices), size, size, 3), dtype=np.uint8), **settings)


def values(images: half.Images) -> list[int]:
    return images.pixels[:, 0, 0, 0].tolist()


def test_a_view_announces_its_images_where_they_lie_on_a_disk():
    class OnDisk(Broken):
        def announce(self, positions: np.ndarray) -> None:
            announced.append(positions.tolist())

    announced: list[list[int]] = []
    labels = np.array([0, 1, 2])
    for kind in (Broken, OnDisk):
        subset = kind(labels, frozenset())
        view = half.View(subset, np.array([7, 8, 9]), labels, skip_unreadable=False)
        view.announce(np.array([2, 0]))
    assert announced == [[9, 7]]


def test_labels_are_0_to_k_minus_1_in_the_order_given():
    cut_half = cut([0, 1, 2, 3, 1, 3, 0], "dog bee")
    assert cut_half.classes == ("dog", "bee")
    assert cut_half.train.positions.tolist() == [1, 3, 4, 5]
    assert cut_half.train.labels.tolist() == [1, 0, 1, 0]
    assert cut_half.val.positions.tolist() == [0, 2, 4]
    assert cut_half.val.labels.tolist() == [0, 1, 0]


def test_the_two_halves_share_out_every_image():
    labels = [0, 1, 2, 3, 1, 3, 0]
    a, b = cut(labels, "ant cat"), cut(labels, "bee dog")
    assert sorted(a.train.positions.tolist() + b.train.positions.tolist()) == list(range(7))
    assert sorted(a.val.positions.tolist() + b.val.positions.tolist()) == list(range(5))


def test_reading_gives_the_images_of_the_half_with_their_new_labels():
    view = cut([0, 1, 2, 3, 1, 3, 0], "dog bee").train
    batch = read(view, np.array([3, 0, 0]), replace=False)
    assert values(batch) == [5, 1, 1]
    assert batch.labels.tolist() == [0, 1, 1]
    assert batch.skipped == {}
    assert batch.pixels.shape == (3, 2, 2, 3)


def test_views_share_the_pixels_of_the_data_set():
    pixels = np.zeros((7, 4, 4, 3), dtype=np.uint8)
    subset = ArraySubset(pixels, np.array([0, 1, 2, 3, 1, 3, 0]), "fake")
    whole = ImageSet(CLASSES, "digest", subset, subset)
    halves = [
        half.cut(whole, classes, per_class=None, skip_unreadable=False)
        for classes in (("ant", "cat"), ("bee", "dog"))
    ]
    for view in (halves[0].train, halves[0].val, halves[1].train):
        assert view.subset is subset
    pixels[:] = 9  # seen by both, so nobody has a copy
    assert read(halves[0].train, np.array([0]), replace=False).pixels.min() == 9
    assert read(halves[1].train, np.array([0]), replace=False).pixels.min() == 9


def test_a_batch_may_be_written_to_without_harm():
    pixels = np.zeros((2, 4, 4, 3), dtype=np.uint8)
    subset = ArraySubset(pixels, np.array([0, 1]), "fake")
    whole = ImageSet(CLASSES, "digest", subset, subset)
    view = half.cut(whole, ("ant", "bee"), per_class=None, skip_unreadable=False).train
    batch = read(view, np.array([0, 1]), replace=False)
    batch.pixels[:], batch.labels[:] = 9, 9
    assert pixels.max() == 0
    assert view.labels.tolist() == [0, 1]


def test_per_class_keeps_the_first_images_of_each_class_for_training():
    cut_half = cut([0, 1, 0, 1, 2, 0, 1, 3], "bee ant", per_class=2)
    assert cut_half.train.positions.tolist() == [0, 1, 2, 3]
    assert cut_half.train.labels.tolist() == [1, 0, 1, 0]


def test_per_class_leaves_validation_whole():
    cut_half = cut([0, 1, 2, 3, 3, 3], "dog cat", per_class=1)
    assert cut_half.train.positions.tolist() == [2, 3]
    assert cut_half.val.positions.tolist() == [0, 1, 4]


def test_per_class_beyond_the_number_of_images_keeps_all():
    assert len(cut([0, 1, 0, 1], "ant bee", per_class=1300).train) == 4


def test_rank_in_class_counts_the_images_of_the_class_before():
    labels = np.array([2, 0, 2, 1, 0, 2, 0])
    assert half.rank_in_class(labels).tolist() == [0, 0, 1, 0, 1, 2, 2]


def test_an_unreadable_file_ends_the_run_with_its_name_and_the_reason():
    view = cut([0, 1, 0, 1], "ant bee", bad=(2,)).train
    assert values(read(view, np.array([0, 1, 3]), replace=True)) == [0, 1, 3]
    for replace in (True, False):
        with pytest.raises(UserError) as error:
            read(view, np.array([1, 2]), replace=replace)
        assert str(error.value) == (
            "image2.png cannot be read: torn; repair or delete it, or leave such files out with "
            "data.unreadable=skip"
        )


def test_the_next_readable_image_stands_in_during_training():
    view = cut([3, 0, 1, 2, 0, 1], "ant bee", bad=(2, 4), skip_unreadable=True).train
    assert view.positions.tolist() == [1, 2, 4, 5]
    batch = read(view, np.array([1, 0, 2]), replace=True)
    assert values(batch) == [5, 1, 5]  # 2 and 4 cannot be read, 3 is not of this half
    assert batch.labels.tolist() == [1, 0, 1]
    assert batch.skipped == {"train/image2.png": "sha2", "train/image4.png": "sha4"}


def test_after_the_last_image_the_first_stands_in():
    view = cut([0, 1, 1, 0], "ant bee", bad=(3,), skip_unreadable=True).train
    batch = read(view, np.array([3, 3]), replace=True)
    assert values(batch) == [0, 0]
    assert batch.labels.tolist() == [0, 0]
    assert batch.skipped == {"train/image3.png": "sha3"}


def test_unreadable_images_on_the_way_to_the_next_readable_one_are_named_too():
    view = cut([0, 1, 1, 0, 1], "ant bee", bad=(1, 2), skip_unreadable=True).train
    batch = read(view, np.array([1]), replace=True)
    assert values(batch) == [3]
    assert batch.skipped == {"train/image1.png": "sha1", "train/image2.png": "sha2"}


def test_the_stand_in_does_not_depend_on_the_rest_of_the_batch():
    view = cut([0, 1, 1, 0, 1, 0], "ant bee", bad=(0, 1), skip_unreadable=True).train
    alone = read(view, np.array([0]), replace=True)
    among = read(view, np.array([4, 1, 0, 5]), replace=True)
    assert values(alone) == [2] and alone.labels.tolist() == [1]
    assert values(among) == [4, 2, 2, 5] and among.labels.tolist() == [1, 1, 1, 0]


def test_unreadable_images_are_left_out_of_validation():
    view = cut([0, 1], "ant dog", bad=(0, 3), skip_unreadable=True).val  # positions 0, 3, 4
    batch = read(view, np.array([0, 1, 2]), replace=False)
    assert values(batch) == [4]
    assert batch.labels.tolist() == [1]
    assert batch.skipped == {"train/image0.png": "sha0", "train/image3.png": "sha3"}


def test_nothing_is_read_twice_when_everything_is_readable():
    cut_half = cut([0, 1, 0, 1], "ant bee", skip_unreadable=True)
    read(cut_half.train, np.array([2, 0]), replace=True)
    assert cut_half.train.subset.asked == [2, 0]


def test_no_readable_image_at_all_ends_the_run():
    view = cut([0, 1, 0], "ant bee", bad=(0, 1, 2), skip_unreadable=True).train
    with pytest.raises(UserError, match=r"^none of the 3 images can be read: is data\.root"):
        read(view, np.array([1]), replace=True)
