"""The order of images and their crops: pure functions of (seed, epoch, index)."""

from dataclasses import replace

import numpy as np
import pytest

from transferlab.data import sampling


def batches(steps: range, **settings) -> list[tuple[list[int], list[int]]]:
    defaults = dict(seed=0, count=10, batch_size=4, reshuffle=True) | settings
    return [tuple(part.tolist() for part in sampling.batch(step, **defaults)) for step in steps]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ((0,), 16294208416658607535),  # the first output of SplitMix64 seeded with 0
        ((1,), 10451216379200822465),
        ((0, 0), 12035550249420947055),
        ((1, 2, 3), 15020427595393229491),
        ((0, 42, 7, 11), 14066536787689832844),
        ((2**63, 5), 1083902114974056470),
    ],
)
def test_bits_are_the_golden_ones(keys: tuple[int, ...], expected: int):
    assert int(sampling.bits(*keys)) == expected


def test_bits_of_arrays_are_the_bits_of_their_elements():
    together = sampling.bits(3, np.arange(4)[:, None], np.arange(5))
    assert together.shape == (4, 5) and together.dtype == np.uint64
    assert together[2, 4] == sampling.bits(3, 2, 4)
    assert len(np.unique(together)) == 20


def test_bits_depend_on_the_order_of_the_keys():
    assert sampling.bits(1, 2) != sampling.bits(2, 1)


def test_uniform_gives_the_golden_numbers():
    assert sampling.uniform(10, np.arange(8)).tolist() == [8, 5, 5, 1, 4, 3, 7, 3]
    assert sampling.uniform(29, 1, 0, 0, np.arange(8)).tolist() == [25, 7, 16, 0, 18, 26, 12, 22]
    assert sampling.uniform(10, np.arange(8)).dtype == np.int64


def test_uniform_gives_every_number_about_equally_often():
    counts = np.bincount(sampling.uniform(29, 7, np.arange(29_000)), minlength=29)
    assert len(counts) == 29
    assert counts.min() > 850 and counts.max() < 1150  # five standard deviations of 31


def test_uniform_below_a_large_number_does_not_overflow():
    variation = sampling.uniform(2**32 - 1, np.arange(10_000))
    assert variation.min() >= 0 and variation.max() < 2**32 - 1
    assert variation.max() > 0.99 * 2**32


def test_purposes_have_streams_of_their_own():
    purposes = (sampling.ORDER, sampling.ROW, sampling.COLUMN, sampling.MIRROR, sampling.HOLDOUT)
    assert len({int(sampling.bits(purpose, 5, 5, 5)) for purpose in purposes}) == 5


def test_the_permutation_is_the_golden_one():
    assert sampling.permutation(0, 0, 10).tolist() == [0, 1, 9, 4, 2, 3, 6, 8, 7, 5]
    assert sampling.permutation(0, 1, 10).tolist() == [2, 1, 9, 5, 6, 3, 4, 8, 0, 7]
    assert sampling.permutation(1, 0, 10).tolist() == [1, 6, 5, 4, 8, 3, 7, 9, 2, 0]


def test_the_permutation_has_every_image_once():
    assert sorted(sampling.permutation(3, 8, 1000).tolist()) == list(range(1000))


def test_the_permutation_sends_the_first_image_everywhere():
    positions = [int(np.flatnonzero(sampling.permutation(0, e, 10) == 0)[0]) for e in range(1000)]
    counts = np.bincount(positions, minlength=10)
    assert counts.min() > 50 and counts.max() < 150  # 100 each, standard deviation 9.5


def test_the_first_batch_is_the_golden_one():
    assert batches(range(1)) == [([0, 0, 0, 0], [0, 1, 9, 4])]


def test_a_batch_across_the_end_of_an_epoch_is_filled_from_the_next():
    assert batches(range(2, 3)) == [([0, 0, 1, 1], [7, 5, 2, 1])]


def test_every_image_comes_once_an_epoch_and_every_batch_is_full():
    epochs_seen: dict[int, list[int]] = {}
    for epochs, positions in batches(range(15)):  # 60 images, 6 epochs of 10
        assert len(positions) == 4
        for epoch, position in zip(epochs, positions, strict=True):
            epochs_seen.setdefault(epoch, []).append(position)
    assert sorted(epochs_seen) == [0, 1, 2, 3, 4, 5]
    assert all(sorted(positions) == list(range(10)) for positions in epochs_seen.values())
    assert len({tuple(positions) for positions in epochs_seen.values()}) == 6


def test_epochs_follow_one_another_without_a_gap():
    epochs = [epoch for batch in batches(range(15)) for epoch in batch[0]]
    assert epochs == sorted(epochs)
    assert epochs[9:12] == [0, 1, 1]


def test_without_reshuffle_every_epoch_has_the_order_of_the_first():
    positions = [p for batch in batches(range(15), reshuffle=False) for p in batch[1]]
    assert positions == 6 * [0, 1, 9, 4, 2, 3, 6, 8, 7, 5]
    epochs = [e for batch in batches(range(15), reshuffle=False) for e in batch[0]]
    assert epochs[::10] == [0, 1, 2, 3, 4, 5]  # the crops differ by epoch all the same


def test_a_batch_larger_than_the_data_holds_several_epochs():
    epochs, positions = batches(range(1), count=3, batch_size=7)[0]
    assert epochs == [0, 0, 0, 1, 1, 1, 2]
    assert sorted(positions[:3]) == sorted(positions[3:6]) == [0, 1, 2]


def test_a_batch_does_not_depend_on_earlier_requests():
    forward = batches(range(12))
    sampling.permutation.cache_clear()
    backward = batches(range(11, -1, -1))[::-1]
    sampling.permutation.cache_clear()
    alone = batches(range(7, 8))[0]
    assert forward == backward
    assert forward[7] == alone


def test_the_seed_changes_the_batches():
    assert batches(range(3)) != batches(range(3), seed=1)


def test_a_late_step_of_the_longest_recipe_is_computed_immediately():
    epochs, positions = batches(
        range(449_999, 450_000), count=641_149, batch_size=256, reshuffle=False
    )[0]
    assert epochs[-1] == 179  # 450,000 x 256 images are 179.7 passes over half 0A
    assert len(set(positions)) == 256


SIDES = [483, 413, 469, 261]
ALPHAS = [
    [0.347171, 0.0807497, 0.008983],
    [0.1227039, -0.203043, 0.0801668],
    [0.0582984, -0.0178785, 0.1171867],
    [-0.0242794, -0.079085, 0.1131572],
]
PLAIN = sampling.Augmentation(mirror=True, pad=0, scales=None, pca=0.0, one_size=True)


def draw(
    positions: np.ndarray, *, seed: int = 0, epoch: int = 0, **settings: object
) -> sampling.Variation:
    """What is drawn for the images at these positions in an epoch."""
    augmentation = replace(PLAIN, **settings)
    return sampling.draw(augmentation, seed, np.full(len(positions), epoch), positions)


def crops(
    *, count: int = 0, positions: np.ndarray | None = None, crop: int = 227, **settings
) -> tuple[np.ndarray, np.ndarray]:
    """The corners (B, 2) of crops of images with 256 pixels a side, and mirror flags (B,)."""
    variation = draw(np.arange(count) if positions is None else positions, **settings)
    return variation.crops.corners(256, crop), variation.flips


def test_crops_are_the_golden_ones():
    corners, flips = crops(count=4)
    assert corners.tolist() == [[25, 16], [7, 26], [16, 2], [0, 14]]
    assert flips.tolist() == [True, False, False, True]


def test_crop_offsets_are_0_to_28_for_256_and_227_pixels():
    corners, _ = crops(count=5000)
    for axis in (0, 1):
        counts = np.bincount(corners[:, axis], minlength=29)
        assert len(counts) == 29  # 29 itself is never drawn
        assert counts.min() > 100 and counts.max() < 250  # 172 each, standard deviation 13


def test_rows_and_columns_are_drawn_apart():
    corners, flips = crops(count=5000)
    rows, columns = corners.T
    assert 0.02 < np.mean(rows == columns) < 0.05  # 1 / 29
    for values in ((rows, columns), (rows, flips), (columns, flips)):
        assert abs(np.corrcoef(*values)[0, 1]) < 0.06


def test_about_half_of_the_images_are_mirrored():
    _, flips = crops(count=5000)
    assert flips.dtype == bool
    assert 0.47 < flips.mean() < 0.53


def test_without_mirror_none_is_mirrored_and_the_corners_stay():
    some, _ = crops(count=500)
    same, flips = crops(count=500, mirror=False)
    assert not flips.any()
    assert np.array_equal(some, same)


def test_without_slack_every_crop_is_the_whole_image():
    corners, _ = crops(count=500, crop=256)
    assert not corners.any()


def test_an_image_has_other_crops_in_another_epoch_and_for_another_seed():
    def corners(seed: int, epoch: int) -> list[list[int]]:
        return crops(count=6, seed=seed, epoch=epoch)[0].tolist()

    assert corners(0, 0) == corners(0, 0)
    assert corners(0, 0) != corners(0, 1)
    assert corners(0, 0) != corners(1, 0)


def test_crops_belong_to_the_image_and_not_to_its_place_in_the_batch():
    forward, flips = crops(positions=np.arange(6))
    backward, back = crops(positions=np.arange(6)[::-1])
    assert np.array_equal(forward, backward[::-1])
    assert np.array_equal(flips, back[::-1])


# --- what else varies ----------------------------------------------------------------------------


def test_scales_pad_and_colours_are_the_golden_ones_and_leave_the_crops_alone():
    every = draw(np.arange(4), scales=(256, 512), pca=0.1)
    plain = draw(np.arange(4))
    assert every.crops.sides.tolist() == SIDES
    assert every.alphas.dtype == np.float32
    assert np.allclose(every.alphas, ALPHAS, rtol=0, atol=1e-7)
    assert np.array_equal(every.crops.bits, plain.crops.bits)
    assert np.array_equal(every.flips, plain.flips)
    assert plain.crops.sides is None and plain.alphas is None
    later = draw(np.arange(4), scales=(256, 512), pca=0.1, epoch=1)
    assert later.crops.sides.tolist() != SIDES and later.alphas.tolist() != every.alphas.tolist()


def test_each_side_between_the_scales_is_as_likely():
    sides = draw(np.arange(5000), scales=(256, 264)).crops.sides
    counts = np.bincount(sides - 256)
    assert len(counts) == 9  # 256 to 264
    assert counts.min() > 480 and counts.max() < 630  # 556 each, standard deviation 22


def test_each_offset_of_a_padded_image_is_as_likely():
    """He et al. 2015, Sec. 4.2: 4 pixels on each side of 32, a crop of 32: nine offsets."""
    corners = draw(np.arange(5000), pad=4).crops.corners(32, 32)
    for axis in (0, 1):
        counts = np.bincount(corners[:, axis] + 4)
        assert len(counts) == 9  # -4 to 4
        assert counts.min() > 480 and counts.max() < 630


def test_each_offset_in_a_rectangle_is_as_likely():
    crops = draw(np.arange(5000), one_size=False).crops
    corners = np.array([crops.corner(slot, (20, 24, 3), 16) for slot in range(5000)])
    for axis, offsets in ((0, 5), (1, 9)):  # 0 to 4 and 0 to 8
        counts = np.bincount(corners[:, axis])
        assert len(counts) == offsets
        assert abs(counts * offsets / 5000 - 1).max() < 0.15


def test_a_crop_of_a_square_is_the_same_by_either_way():
    for settings in ({}, {"pad": 4}, {"one_size": False}):
        crops = draw(np.arange(50), **settings).crops
        alone = [list(crops.corner(slot, (40, 40, 3), 32)) for slot in range(50)]
        assert crops.corners(40, 32).tolist() == alone


def test_multiples_of_the_components_are_gaussian_and_independent():
    alphas = draw(np.arange(5000), pca=0.1).alphas
    assert alphas.shape == (5000, 3)
    assert abs(alphas.mean(axis=0)).max() < 0.006  # four standard errors
    assert abs(alphas.std(axis=0) - 0.1).max() < 0.004
    shares = [(abs(alphas) < 0.1 * width).mean() for width in (1, 2, 3)]
    assert shares == pytest.approx([0.6827, 0.9545, 0.9973], abs=0.01)
    assert abs(np.corrcoef(alphas.T) - np.eye(3)).max() < 0.06


def test_extreme_random_bits_give_finite_gaussian_numbers(monkeypatch: pytest.MonkeyPatch):
    for level, expected in ((0, -6.337), (2**64 - 1, 6.337), (2**63, 0.0)):
        monkeypatch.setattr(sampling, "bits", lambda *_, level=level: np.array([level], np.uint64))
        assert sampling.normal(1.0).tolist() == pytest.approx([expected], abs=1e-3)
