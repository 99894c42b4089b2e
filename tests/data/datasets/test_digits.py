"""The default data set: the same real images, divided in the same way, everywhere."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from transferlab import data
from transferlab.data.datasets import digits
from transferlab.data.datasets.images import ImageSet
from transferlab.errors import UserError

# sha256 over the positions of the held-out images in scikit-learn's order, as little-endian int64
HELD_OUT = "d584d3de9b24e5c646bdbc59d8195ee4cb9b7566fb9c75fcb0bbf94c13635db4"


@pytest.fixture(scope="module")
def small() -> ImageSet:
    return digits.load(holdout=0.2, size=8)


def raw() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits

    loaded = load_digits()
    return loaded.images, loaded.target


def test_there_are_1797_digits_in_ten_classes(small: ImageSet):
    assert small.classes == ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")
    assert len(small.train.labels) == 1438
    assert len(small.val.labels) == 359


def test_a_fifth_of_every_class_is_held_out(small: ImageSet):
    held, kept = np.bincount(small.val.labels), np.bincount(small.train.labels)
    assert held.tolist() == [36, 36, 35, 37, 36, 36, 36, 36, 35, 36]
    assert kept.tolist() == [142, 146, 142, 146, 145, 146, 145, 143, 139, 144]


def test_the_held_out_images_are_the_golden_ones(small: ImageSet):
    images, labels = raw()
    held = {image.tobytes() for image in small.val.pixels[..., 0]}
    levels = np.rint(images * (255 / 16)).astype(np.uint8)
    positions = np.array([i for i, image in enumerate(levels) if image.tobytes() in held])
    assert positions[:6].tolist() == [13, 15, 17, 23, 25, 38]
    assert hashlib.sha256(positions.astype("<i8").tobytes()).hexdigest() == HELD_OUT
    assert np.array_equal(labels[positions], small.val.labels)


def test_the_images_keep_the_grey_levels_of_scikit_learn(small: ImageSet):
    assert small.val.pixels.shape == (359, 8, 8, 3) and small.val.pixels.dtype == np.uint8
    assert small.val.pixels[0, :3, :, 1].tolist() == [
        [0, 32, 143, 239, 223, 143, 48, 0],
        [0, 64, 207, 128, 143, 255, 128, 0],
        [0, 0, 0, 96, 223, 239, 48, 0],
    ]
    assert small.val.labels[0] == 3
    assert np.array_equal(small.train.pixels[..., 0], small.train.pixels[..., 2])


def test_images_are_enlarged_to_the_requested_size():
    large = digits.load(holdout=0.2, size=32)
    assert large.train.pixels.shape == (1438, 32, 32, 3)
    assert large.train.in_memory is True
    small = digits.load(holdout=0.2, size=8)
    assert abs(large.train.pixels.mean() - small.train.pixels.mean()) < 0.5


def test_a_picture_of_a_digit_has_8_pixels_a_side(small: ImageSet):
    picture = digits.load(holdout=0.2, size=16).val.picture(7, 16)
    assert np.array_equal(picture, small.val.pixels[7])


def test_another_part_holds_out_other_images():
    half = digits.load(holdout=0.5, size=8)
    assert abs(len(half.train.labels) - len(half.val.labels)) <= 10
    assert len(half.train.labels) + len(half.val.labels) == 1797


def test_the_digest_is_the_golden_one_and_known_without_loading(small: ImageSet):
    expected = "2356fb3fe5cfab035a566ce5184cd027bb66ebbdb2d49fb283da50ec73922ec5"
    assert small.digest == expected
    assert digits.digest(0.2) == expected
    described = data.describe("digits", root=None, val=None, holdout=0.2)
    assert (described.classes, described.digest) == (small.classes, expected)


def test_the_digest_changes_with_the_holdout():
    assert digits.digest(0.1) == "146d7703bbf2e51d5a0056527e18731637a57941d357dae7b1b551699ac8c488"


def test_without_holdout_there_is_no_validation():
    with pytest.raises(UserError) as error:
        digits.load(holdout=None, size=8)
    assert str(error.value) == (
        "data.holdout is missing: data=digits has no validation subset, set data.holdout=0.2"
    )


def test_other_digits_than_the_known_ones_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    rows = np.loadtxt(digits._file(), delimiter=",")
    rows[5, 27] += 1
    np.savetxt(tmp_path / "digits.csv.gz", rows, "%d", ",")
    monkeypatch.setattr(digits, "_file", lambda: tmp_path / "digits.csv.gz")
    with pytest.raises(UserError, match=r"^scikit-learn's digits are not the expected ones"):
        digits.load(holdout=0.2, size=8)
