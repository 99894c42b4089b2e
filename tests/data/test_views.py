"""Crop, mirror and mean on the device, against slices written out."""

import numpy as np
import pytest
import torch

from transferlab.data.views import Views, centre_crop, to_input, training_crop


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def batch(images: np.ndarray, corners: list, flips: list) -> dict:
    return {
        "pixels": torch.from_numpy(images),
        "corners": torch.tensor(corners),
        "flips": torch.tensor(flips),
    }


def views(means: dict, **settings) -> Views:
    chosen: dict = dict(crop=5, scale=1.0, random=True, channels_last=False)
    return Views(means, **(chosen | settings))


def test_a_training_crop_is_a_slice_and_its_mirror_image():
    images = noise(3, 8, 8, 3)
    found = training_crop(
        torch.from_numpy(images),
        torch.tensor([[0, 3], [2, 1], [3, 0]]),
        torch.tensor([False, True, False]),
        crop=5,
    ).numpy()
    assert np.array_equal(found[0], images[0, 0:5, 3:8])
    assert np.array_equal(found[1], images[1, 2:7, 1:6][:, ::-1])
    assert np.array_equal(found[2], images[2, 3:8, 0:5])


def test_the_mean_is_cropped_and_mirrored_with_each_image():
    mean = noise(8, 8, 3)
    found = training_crop(
        torch.from_numpy(mean),
        torch.tensor([[0, 3], [2, 1]]),
        torch.tensor([False, True]),
        crop=5,
    ).numpy()
    assert found.shape == (2, 5, 5, 3)
    assert np.array_equal(found[0], mean[0:5, 3:8])
    assert np.array_equal(found[1], mean[2:7, 1:6][:, ::-1])


def test_the_crop_of_an_image_of_that_size_is_all_of_it():
    images = noise(2, 5, 5, 3)
    corners = torch.zeros(2, 2, dtype=torch.int64)
    flips = torch.tensor([False, False])
    found = training_crop(torch.from_numpy(images), corners, flips, crop=5)
    assert np.array_equal(found.numpy(), images)


def test_the_centre_of_256_pixels_begins_at_14():
    images = torch.arange(256 * 256).reshape(1, 256, 256, 1)
    found = centre_crop(images, crop=227)
    assert found.shape == (1, 227, 227, 1)
    assert int(found[0, 0, 0, 0]) == 14 * 256 + 14
    assert int(found[0, -1, -1, 0]) == 240 * 256 + 240


def test_the_centre_of_a_single_image_is_cropped_likewise():
    mean = noise(8, 8, 3)
    found = centre_crop(torch.from_numpy(mean), crop=4)
    assert np.array_equal(found.numpy(), mean[2:6, 2:6])


def test_the_input_is_bytes_minus_mean_times_scale_by_hand():
    pixels = torch.tensor([[[[0, 100, 255]]]], dtype=torch.uint8)  # one image of one pixel
    mean = torch.tensor([[[10.5, 100.0, 127.25]]])
    found = to_input(pixels, mean, scale=1.0)
    assert found.dtype == torch.float32 and found.shape == (1, 3, 1, 1)
    assert found.flatten().tolist() == [-10.5, 0.0, 127.75]
    assert to_input(pixels, mean, scale=1 / 64).flatten().tolist() == [-0.1640625, 0, 1.99609375]
    assert to_input(pixels, None, scale=0.5).flatten().tolist() == [0, 50, 127.5]


def test_without_scale_the_values_stay_grey_levels():
    images = noise(2, 5, 5, 3)
    found = to_input(torch.from_numpy(images), None, scale=1.0)
    assert np.array_equal(found.numpy(), images.transpose(0, 3, 1, 2).astype(np.float32))


def test_a_training_batch_is_cropped_with_its_corners():
    images = noise(2, 8, 8, 3)
    mean = noise(8, 8, 3, seed=1).astype(np.float32) + np.float32(0.25)
    found = views({"A": mean})(batch(images, [[3, 1], [0, 2]], [False, True]))["A"].numpy()
    first = images[0, 3:8, 1:6] - mean[3:8, 1:6]
    second = (images[1, 0:5, 2:7] - mean[0:5, 2:7])[:, ::-1]
    assert np.array_equal(found, np.stack([first, second]).transpose(0, 3, 1, 2))


def test_a_validation_batch_gets_the_centre_and_no_mirror():
    images = noise(2, 8, 8, 3)
    mean = noise(8, 8, 3, seed=1).astype(np.float32)
    found = views({"A": mean}, crop=4)({"pixels": torch.from_numpy(images)})["A"].numpy()
    expected = images[:, 2:6, 2:6] - mean[2:6, 2:6]
    assert np.array_equal(found, expected.transpose(0, 3, 1, 2))


def test_without_randomness_a_training_batch_gets_the_centre_too():
    images = noise(2, 8, 8, 3)
    found = views({"A": None}, crop=4, random=False)(batch(images, [[3, 1], [0, 2]], [False, True]))
    expected = images[:, 2:6, 2:6].transpose(0, 3, 1, 2).astype(np.float32)
    assert np.array_equal(found["A"].numpy(), expected)


def test_every_member_gets_the_mean_it_names():
    images = np.full((1, 5, 5, 3), 100, dtype=np.uint8)
    means = {
        "A": np.full((5, 5, 3), 90, dtype=np.float32),
        "B": np.full((5, 5, 3), 120, dtype=np.float32),
        "none": None,
    }
    found = views(means)(batch(images, [[0, 0]], [False]))
    assert list(found) == ["A", "B", "none"]
    assert {name: x.unique().tolist() for name, x in found.items()} == {
        "A": [10], "B": [-20], "none": [100],
    }  # fmt: skip


def test_the_scale_multiplies_every_view():
    images = np.full((1, 5, 5, 3), 100, dtype=np.uint8)
    means = {"A": np.full((5, 5, 3), 36, dtype=np.float32), "none": None}
    found = views(means, scale=1 / 64)(batch(images, [[0, 0]], [False]))
    assert found["A"].unique().tolist() == [1.0]
    assert found["none"].unique().tolist() == [1.5625]


@pytest.mark.parametrize("channels_last", [False, True])
def test_the_memory_lies_as_asked_for(channels_last: bool):
    images = noise(2, 8, 8, 3)
    chosen = views({"A": None}, channels_last=channels_last)
    found = chosen(batch(images, [[3, 1], [0, 2]], [False, True]))["A"]
    assert found.shape == (2, 3, 5, 5)
    assert found.is_contiguous(memory_format=torch.channels_last) is channels_last
    assert found.is_contiguous() is not channels_last


def test_the_memory_format_does_not_change_a_value():
    training = batch(noise(2, 8, 8, 3), [[3, 1], [0, 2]], [False, True])
    mean = {"A": noise(8, 8, 3, seed=1).astype(np.float32)}
    first = views(mean, channels_last=False)(training)["A"]
    assert torch.equal(first, views(mean, channels_last=True)(training)["A"])


def test_means_move_with_the_module_and_stay_out_of_checkpoints():
    chosen = views({"A": np.zeros((8, 8, 3), dtype=np.float32), "none": None})
    assert [name for name, _ in chosen.named_buffers()] == ["mean_A"]
    assert chosen.state_dict() == {}
    assert list(chosen.parameters()) == []
