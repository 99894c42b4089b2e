"""Crops copied out of arrays, against slices written out."""

import numpy as np
import pytest
from support.crops import at

from transferlab.data.crops import Crops, centre, copy_crop, copy_crops
from transferlab.data.datasets.images import ArraySubset


def noise(count: int = 4, size: int = 8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def test_crops_begin_at_their_corners():
    pixels, out = noise(), np.zeros((3, 5, 5, 3), dtype=np.uint8)
    copy_crops(pixels, np.array([3, 0, 3]), out, at([[0, 3], [2, 1], [3, 0]], room=4))
    assert np.array_equal(out[0], pixels[3, 0:5, 3:8])
    assert np.array_equal(out[1], pixels[0, 2:7, 1:6])
    assert np.array_equal(out[2], pixels[3, 3:8, 0:5])


def test_without_corners_the_centre_is_copied():
    pixels, out = noise(), np.zeros((2, 4, 4, 3), dtype=np.uint8)
    copy_crops(pixels, np.array([2, 1]), out, None)
    assert np.array_equal(out, pixels[[2, 1], 2:6, 2:6])


def test_a_crop_of_the_whole_size_is_the_image():
    pixels, out = noise(), np.zeros((2, 8, 8, 3), dtype=np.uint8)
    for crops in (None, at([[0, 0], [0, 0]], room=1)):
        copy_crops(pixels, np.array([2, 1]), out, crops)
        assert np.array_equal(out, pixels[[2, 1]])


def test_the_centre_of_256_pixels_begins_at_14():
    assert centre((256, 256, 3), 227) == (14, 14)
    assert centre((256, 341, 3), 224) == (16, 58)


def test_around_a_padded_image_a_crop_is_zero():
    pixels, out = noise(), np.full((4, 8, 8, 3), 77, dtype=np.uint8)
    around = np.pad(pixels, ((0, 0), (4, 4), (4, 4), (0, 0)))
    offsets = [[0, 0], [8, 3], [4, 4], [5, 8]]
    copy_crops(pixels, np.array([3, 0, 2, 2]), out, at(offsets, room=9, pad=4))
    for slot, (image, (row, column)) in enumerate(zip([3, 0, 2, 2], offsets, strict=True)):
        assert np.array_equal(out[slot], around[image, row : row + 8, column : column + 8])


def test_a_crop_of_a_rectangle_is_a_slice_of_it():
    pixels, out = (
        np.random.default_rng(0).integers(1, 256, (6, 9, 3), dtype=np.uint8),
        np.zeros((4, 4, 3), dtype=np.uint8),
    )
    copy_crop(pixels, out, 2, 5)
    assert np.array_equal(out, pixels[2:, 5:])


class Lying(np.ndarray):
    """Notes which images are read, in which order."""

    def __getitem__(self, key):  # type: ignore[no-untyped-def]
        self.log.append(key[0])
        return super().__getitem__(key)


def test_images_are_read_in_the_order_in_which_they_lie():
    pixels = noise().view(Lying)
    pixels.log = []
    copy_crops(pixels, np.array([3, 0, 2, 1]), np.zeros((4, 8, 8, 3), dtype=np.uint8), None)
    assert pixels.log == [0, 1, 2, 3]


@pytest.mark.parametrize("size", [3, 8])
def test_an_array_knows_its_size(size: int):
    subset = ArraySubset(noise(size=size), np.zeros(4, dtype=np.int64), "noise")
    out = np.zeros((1, size, size, 3), dtype=np.uint8)
    assert subset.size == size
    assert subset.read(np.array([1]), out, None) == {}
    assert np.array_equal(out[0], subset.pixels[1])


@pytest.mark.parametrize("seed", range(5))
def test_crops_are_those_of_a_loop_over_pixels(seed: int):
    random = np.random.default_rng(seed)
    count, side, crop, pad = 6, 9, int(random.integers(1, 10)), int(random.integers(0, 3))
    pixels = random.integers(1, 256, (count, side, side, 3), dtype=np.uint8)
    positions = random.integers(0, count, 8)
    crops = Crops(random.integers(0, 2**32, (8, 2), dtype=np.uint64), None, pad, one_size=True)
    expected = np.zeros((8, crop, crop, 3), np.uint8)
    for slot, (top, left) in enumerate(crops.corners(side, crop).tolist()):
        for row in range(max(top, 0), min(top + crop, side)):
            for column in range(max(left, 0), min(left + crop, side)):
                expected[slot, row - top, column - left] = pixels[positions[slot], row, column]
    out = np.full_like(expected, 255)
    copy_crops(pixels, positions, out, crops)
    assert np.array_equal(out, expected)
