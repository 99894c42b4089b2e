"""The order of images and their crops: pure functions of (seed, epoch, index)."""

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
    draws = sampling.uniform(2**32 - 1, np.arange(10_000))
    assert draws.min() >= 0 and draws.max() < 2**32 - 1
    assert draws.max() > 0.99 * 2**32


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


def test_crops_are_the_golden_ones():
    corners, flips = sampling.crops(0, np.zeros(4, int), np.arange(4), slack=29, mirror=True)
    assert corners.tolist() == [[25, 16], [7, 26], [16, 2], [0, 14]]
    assert flips.tolist() == [True, False, False, True]


def test_crop_offsets_are_0_to_28_for_256_and_227_pixels():
    corners, _ = sampling.crops(0, np.zeros(5000, int), np.arange(5000), slack=29, mirror=True)
    for axis in (0, 1):
        counts = np.bincount(corners[:, axis], minlength=29)
        assert len(counts) == 29  # 29 itself is never drawn
        assert counts.min() > 100 and counts.max() < 250  # 172 each, standard deviation 13


def test_rows_and_columns_are_drawn_apart():
    corners, flips = sampling.crops(0, np.zeros(5000, int), np.arange(5000), slack=29, mirror=True)
    rows, columns = corners.T
    assert 0.02 < np.mean(rows == columns) < 0.05  # 1 / 29
    for values in ((rows, columns), (rows, flips), (columns, flips)):
        assert abs(np.corrcoef(*values)[0, 1]) < 0.06


def test_about_half_of_the_images_are_mirrored():
    _, flips = sampling.crops(0, np.zeros(5000, int), np.arange(5000), slack=29, mirror=True)
    assert flips.dtype == bool
    assert 0.47 < flips.mean() < 0.53


def test_without_mirror_none_is_mirrored_and_the_corners_stay():
    some, _ = sampling.crops(0, np.zeros(500, int), np.arange(500), slack=29, mirror=True)
    same, flips = sampling.crops(0, np.zeros(500, int), np.arange(500), slack=29, mirror=False)
    assert not flips.any()
    assert np.array_equal(some, same)


def test_without_slack_every_crop_is_the_whole_image():
    corners, _ = sampling.crops(0, np.zeros(500, int), np.arange(500), slack=0, mirror=True)
    assert not corners.any()


def test_an_image_has_other_crops_in_another_epoch_and_for_another_seed():
    def corners(seed: int, epoch: int) -> list[list[int]]:
        epochs = np.full(6, epoch)
        return sampling.crops(seed, epochs, np.arange(6), slack=29, mirror=True)[0].tolist()

    assert corners(0, 0) == corners(0, 0)
    assert corners(0, 0) != corners(0, 1)
    assert corners(0, 0) != corners(1, 0)


def test_crops_belong_to_the_image_and_not_to_its_place_in_the_batch():
    forward, flips = sampling.crops(0, np.zeros(6, int), np.arange(6), slack=29, mirror=True)
    backward, back = sampling.crops(0, np.zeros(6, int), np.arange(6)[::-1], slack=29, mirror=True)
    assert np.array_equal(forward, backward[::-1])
    assert np.array_equal(flips, back[::-1])
