"""PASCAL VOC 2007: its lists, several labels an image, and lists that are damaged."""

from pathlib import Path

import numpy as np
import pytest
from support import voc

from transferlab import data
from transferlab.data import half
from transferlab.data.datasets.images import ImageSet
from transferlab.data.datasets.voc import CLASSES, scan
from transferlab.errors import UserError

CAR, CHAIR, HORSE, PERSON = (CLASSES.index(name) for name in ("car", "chair", "horse", "person"))


@pytest.fixture(autouse=True)
def nothing_read_before():
    forget()


def forget() -> None:
    scan.cache_clear()
    data.describe.cache_clear()
    data.train_counts.cache_clear()


def load(root: Path, val: str | None = "test") -> ImageSet:
    where = {"root": str(root), "val": val, "holdout": None}
    return data.load("voc2007", **where, size=8, resize="warp", decode="exact", cache=root)


def described(root: Path, val: str = "test") -> data.Description:
    forget()
    return data.describe("voc2007", root=str(root), val=val, holdout=None)


def refused(root: Path, val: str | None = "test") -> str:
    forget()
    with pytest.raises(UserError) as error:
        scan(str(root), val)
    return str(error.value).replace(str(root), "ROOT")


def test_labels_are_those_of_the_lists_in_their_order(tmp_path: Path):
    root = voc.devkit(tmp_path)

    images = load(root)
    assert images.classes == CLASSES
    assert (len(CLASSES), CLASSES[0], CLASSES[14], CLASSES[19]) == (
        20, "aeroplane", "person", "tvmonitor",
    )  # fmt: skip
    assert (images.train.labels.dtype, images.train.labels.shape) == (np.int8, (4, 20))
    assert images.train.labels[:, [CAR, CHAIR, HORSE, PERSON]].tolist() == [
        [1, -1, -1, -1], [-1, -1, 1, 1], [-1, 1, -1, 0], [1, -1, -1, -1],
    ]  # fmt: skip
    assert [Path(images.val.name(position)).name for position in range(3)] == [
        "000001.jpg", "000002.jpg", "000003.jpg",
    ]  # fmt: skip
    assert images.val.labels[2, CAR] == 0
    pixels = np.zeros((1, 8, 8, 3), np.uint8)
    assert images.val.read(np.array([2]), pixels, None) == {}
    assert abs(pixels[0, 4, 4].astype(int) - (120, 14, 128)).max() <= 2


def test_with_val_it_trains_on_train_alone(tmp_path: Path):
    root = voc.devkit(tmp_path)

    images = load(root, "val")
    assert (len(images.train.labels), len(images.val.labels)) == (2, 2)
    assert described(root) != described(root, "val")
    assert described(root).multi_label
    assert data.train_counts("voc2007", root=str(root), val="test", holdout=None) == (4,) * 20
    assert data.count_images((4,) * 3, multi_label=True) == 4


def test_a_copy_has_the_same_digest_and_a_label_or_an_image_another(tmp_path: Path):
    first, second = voc.devkit(tmp_path / "first"), voc.devkit(tmp_path / "second")

    digest = described(first).digest
    assert described(second).digest == digest
    voc.write_list(second, "dog_test", [("000001", 1), ("000002", 1), ("000003", -1)])
    assert described(second).digest != digest
    voc.write_list(second, "dog_test", [("000001", 1), ("000002", -1), ("000003", -1)])
    assert described(second).digest == digest
    (second / "VOC2007/JPEGImages/000002.jpg").write_bytes(b"other")
    assert described(second).digest != digest


def test_a_half_has_all_images_and_the_labels_of_its_classes(tmp_path: Path):
    images = load(voc.devkit(tmp_path))

    part = half.cut(images, ("person", "car"), per_class=None, skip_unreadable=False)
    assert part.train.positions.tolist() == [0, 1, 2, 3]
    assert part.train.labels.tolist() == [[-1, 1], [1, -1], [0, -1], [-1, 1]]
    batch = part.train.read(np.array([2, 0]), np.zeros((2, 8, 8, 3), np.uint8), replace=False)
    assert (batch.labels.tolist(), batch.indices.tolist()) == ([[0, -1], [-1, 1]], [2, 0])
    grey = half.cut(images, ("person", "car"), per_class=None, skip_unreadable=False, grey=True)
    pixels = np.zeros((1, 8, 8, 3), np.uint8)
    grey.val.read(np.array([0]), pixels, replace=False)
    assert pixels.any() and (pixels == pixels[..., :1]).all()


def test_what_is_missing_or_contradicts_is_named(tmp_path: Path):
    root = voc.devkit(tmp_path)

    assert refused(root, "train").startswith("data.val=train is no set of data=voc2007: choose")
    assert refused(root / "VOC2007") == (
        "data.root=ROOT has no folder VOC2007: name the one that holds it"
    )
    cats = [(image, -1) for image in voc.TEST]
    voc.write_list(root, "cat_test", cats[:2])
    assert refused(root) == (
        "ROOT/VOC2007: the image 000003 of test has labels of 19 of the 20 classes: it is not in "
        "cat_test.txt"
    )
    path = voc.write_list(root, "cat_test", [*cats[:2], ("000003", 2)])
    assert refused(root) == (
        "ROOT/VOC2007/ImageSets/Main/cat_test.txt, line 3: '000003 2' must be an id and its label, "
        "1 (present), -1 (absent) or 0 (only difficult objects)"
    )
    voc.write_list(root, "cat_test", [*cats, cats[0]])
    assert "cat_test.txt, line 4: 000001 is listed more than once" in refused(root)
    voc.write_list(root, "cat_test", cats[::-1])
    assert "cat_test.txt lists the images in another order than aeroplane_" in refused(root)
    path.unlink()
    assert refused(root).endswith("cat_test.txt cannot be read: No such file or directory")
    voc.write_list(root, "cat_test", cats)
    (root / "VOC2007/JPEGImages/000002.jpg").unlink()
    assert refused(root) == ("ROOT/VOC2007/JPEGImages lacks 1 of the 3 images of test: 000002.jpg")


def test_an_image_in_both_sets_is_refused(tmp_path: Path):
    root = voc.devkit(tmp_path, test=voc.TEST | {"000012": {"car": 1}})

    assert refused(root) == ("ROOT/VOC2007 has images in trainval that are in test too: 000012.jpg")


def test_labels_of_a_data_set_of_ones_own_are_checked():
    from transferlab.data.datasets.images import check_labels

    check_labels(np.array([[1, -1], [0, 1]], np.int8), ("a", "b"), "data.name=mine")
    for labels, reason in (
        (np.array([[1, 2]], np.int8), "has other labels than 1"),
        (np.array([[1, -1, 0]], np.int8), "need int64 (N,)"),
        (np.array([[1, -1]]), "need int64 (N,)"),
        (np.zeros((0, 2), np.int8), "has no images"),
    ):
        with pytest.raises(UserError, match="data.name=mine") as error:
            check_labels(labels, ("a", "b"), "data.name=mine")
        assert reason in str(error.value)
