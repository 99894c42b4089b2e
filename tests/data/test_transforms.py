"""Mean, mirror and scale on the device, against slices written out."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from transferlab.data.transforms import InputTransform, convert_batch, convert_each, mirror


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


def views(means: dict, **settings) -> InputTransform:
    defaults: dict = dict(scale=1.0, mirror=True, channels_last=False)
    return InputTransform(means, **(defaults | settings))


CORNERS, FLIPS = [[0, 3], [2, 1], [3, 0]], [False, True, False]


def cropped(images: np.ndarray, corners: list = CORNERS, crop: int = 5) -> np.ndarray:
    """What a loader has read: crops (B, 5, 5, 3) of images (B, 8, 8, 3)."""
    pairs = zip(images, corners, strict=True)
    return np.stack([image[r : r + crop, c : c + crop] for image, (r, c) in pairs])


@pytest.fixture(params=[convert_each, convert_batch])
def subtract(request: pytest.FixtureRequest) -> Callable[..., torch.Tensor]:
    """Either way of doing it, for the mean alone."""
    return lambda pixels, mean, corners: request.param(pixels, mean, corners, None, 1.0)


def test_the_mean_is_cropped_with_each_image(subtract: Callable[..., torch.Tensor]):
    pixels, mean = cropped(noise(3, 8, 8, 3)), noise(8, 8, 3, seed=1).astype(np.float32)
    inputs = subtract(torch.from_numpy(pixels), torch.from_numpy(mean), torch.tensor(CORNERS))
    inputs = inputs.numpy()
    assert inputs.dtype == np.float32
    assert np.array_equal(inputs[0], pixels[0] - mean[0:5, 3:8])
    assert np.array_equal(inputs[1], pixels[1] - mean[2:7, 1:6])
    assert np.array_equal(inputs[2], pixels[2] - mean[3:8, 0:5])


def test_without_corners_the_centre_of_the_mean_is_subtracted(
    subtract: Callable[..., torch.Tensor],
):
    mean = torch.arange(256 * 256 * 3, dtype=torch.float32).reshape(256, 256, 3)
    inputs = subtract(torch.zeros(1, 227, 227, 3, dtype=torch.uint8), mean, None)
    assert inputs.shape == (1, 227, 227, 3)
    assert inputs[0, 0, 0].tolist() == [-10794, -10795, -10796]  # 3 (14 * 256 + 14) and on


def test_a_mean_of_the_crops_size_needs_no_corners(subtract: Callable[..., torch.Tensor]):
    pixels = noise(2, 5, 5, 3)
    mean = np.full((5, 5, 3), 100, dtype=np.float32)
    for corners in (None, torch.zeros(2, 2, dtype=torch.int64)):
        inputs = subtract(torch.from_numpy(pixels), torch.from_numpy(mean), corners)
        assert np.array_equal(inputs.numpy(), pixels.astype(np.float32) - 100)


def test_subtracting_leaves_the_bytes_alone_also_without_a_mean(
    subtract: Callable[..., torch.Tensor],
):
    pixels = noise(2, 5, 5, 3)
    before = pixels.copy()
    for mean in (None, torch.ones(5, 5, 3)):
        values = subtract(torch.from_numpy(pixels), mean, None)
        values.zero_()
        assert np.array_equal(pixels, before)


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_images_are_mirrored_left_to_right_where_it_says_so(kind: type):
    images = noise(3, 5, 5, 3).astype(kind)
    inputs = mirror(torch.from_numpy(images.copy()), torch.tensor(FLIPS)).numpy()
    assert np.array_equal(inputs[0], images[0])
    assert np.array_equal(inputs[1], images[1][:, ::-1])
    assert np.array_equal(inputs[2], images[2])
    assert not np.array_equal(inputs[1], images[1])


def test_other_devices_do_the_same_without_a_loop(monkeypatch: pytest.MonkeyPatch):
    pixels, mean = cropped(noise(3, 8, 8, 3)), noise(8, 8, 3, seed=1).astype(np.float32)
    training = batch(pixels, CORNERS, FLIPS)
    expected = views({"A": mean}, scale=0.5)(training)["A"]
    monkeypatch.setattr("transferlab.data.transforms.LOOPS", ())
    assert torch.equal(views({"A": mean}, scale=0.5)(training)["A"], expected)


def test_the_input_is_bytes_minus_mean_times_scale_by_hand():
    pixels = {"pixels": torch.tensor([[[[0, 100, 255]]]], dtype=torch.uint8)}  # one of one pixel
    mean = np.array([[[10.5, 100.0, 127.25]]], dtype=np.float32)
    inputs = views({"A": mean})(pixels)["A"]
    assert inputs.dtype == torch.float32 and inputs.shape == (1, 3, 1, 1)
    assert inputs.flatten().tolist() == [-10.5, 0.0, 127.75]
    small = views({"A": mean}, scale=1 / 64)(pixels)["A"]
    assert small.flatten().tolist() == [-0.1640625, 0, 1.99609375]
    assert views({"A": None}, scale=0.5)(pixels)["A"].flatten().tolist() == [0, 50, 127.5]


def test_a_colour_and_a_factor_a_channel_are_those_of_torchvision(
    monkeypatch: pytest.MonkeyPatch,
):
    """(x / 255 - mean) / std, of the ImageNet weights of torchvision and timm."""
    images, colour = noise(2, 5, 5, 3), np.array([123.675, 116.28, 103.53], dtype=np.float32)
    scale = tuple(1 / (255 * std) for std in (0.229, 0.224, 0.225))
    expected = (images / 255 - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
    expected[1] = expected[1][:, ::-1]
    training = batch(images, [[0, 1], [2, 0]], [False, True])
    for loops in (("cpu",), ()):
        monkeypatch.setattr("transferlab.data.transforms.LOOPS", loops)
        inputs = views({"A": colour}, scale=scale)(training)["A"].numpy()
        assert inputs.shape == (2, 3, 5, 5) and inputs.dtype == np.float32
        assert np.abs(inputs - expected.transpose(0, 3, 1, 2)).max() < 1e-6


@pytest.mark.parametrize("mean", ["image", "colour", "none"])
def test_padding_and_colours_are_those_of_a_plain_loop(mean: str, monkeypatch: pytest.MonkeyPatch):
    """Pixel by pixel in float64: zero outside of the image, whatever the mean and the colours."""
    size, pad, crop = 6, 2, 5
    images, scale = noise(3, size, size, 3), (0.5, 0.25, 2.0)
    means = {
        "image": noise(size, size, 3, seed=1).astype(np.float32),
        "colour": np.array([100.5, 20, 3], dtype=np.float32),
        "none": None,
    }
    components = np.array([[40, 30, 20], [5, -6, 1], [-1, 0, 2]], dtype=np.float32)
    alphas = np.array([[0.1, -0.2, 0.05], [0, 0.3, 0], [-0.15, 0.1, 0.2]], dtype=np.float32)
    corners, flips = [[-2, 3], [0, -1], [3, 1]], [False, True, True]
    pixels, expected = np.zeros((3, crop, crop, 3), np.uint8), np.zeros((3, 3, crop, crop))
    for image, (top, left) in enumerate(corners):
        for row, column in np.ndindex(crop, crop):
            y, x = top + row, left + column
            if not (0 <= y < size and 0 <= x < size):
                continue
            pixels[image, row, column] = images[image, y, x]
            value = images[image, y, x].astype(float)
            if mean == "colour":
                value -= means["colour"]
            elif mean == "image":
                value -= means["image"][y, x]
            for component, alpha in zip(components, alphas[image], strict=True):
                value += alpha * component
            place = crop - 1 - column if flips[image] else column
            expected[image, :, row, place] = value * scale
    training = batch(pixels, corners, flips) | {"alphas": torch.from_numpy(alphas)}
    settings = {"scale": scale, "padding": (size, pad), "components": components}
    for loops in (("cpu",), ()):
        monkeypatch.setattr("transferlab.data.transforms.LOOPS", loops)
        inputs = views({"A": means[mean]}, **settings)(training)["A"].double().numpy()
        np.testing.assert_allclose(inputs, expected, rtol=1e-5, atol=1e-5)
        held = {"pixels": torch.from_numpy(images[:, :5, :5].copy())}
        plain = views({"A": means[mean]}, scale=scale)(held)["A"]
        assert torch.equal(views({"A": means[mean]}, **settings)(held)["A"], plain)


def test_without_scale_the_values_stay_grey_levels():
    images = noise(2, 5, 5, 3)
    inputs = views({"A": None})({"pixels": torch.from_numpy(images)})["A"]
    assert np.array_equal(inputs.numpy(), images.transpose(0, 3, 1, 2).astype(np.float32))


def test_a_training_batch_is_subtracted_then_mirrored():
    images = noise(2, 8, 8, 3)
    mean = noise(8, 8, 3, seed=1).astype(np.float32) + np.float32(0.25)
    pixels = cropped(images, [[3, 1], [0, 2]])
    inputs = views({"A": mean})(batch(pixels, [[3, 1], [0, 2]], [False, True]))["A"].numpy()
    first = images[0, 3:8, 1:6] - mean[3:8, 1:6]
    second = (images[1, 0:5, 2:7] - mean[0:5, 2:7])[:, ::-1]
    assert np.array_equal(inputs, np.stack([first, second]).transpose(0, 3, 1, 2))


def test_a_validation_batch_gets_the_centre_of_the_mean_and_no_mirror():
    pixels = noise(2, 4, 4, 3)
    mean = noise(8, 8, 3, seed=1).astype(np.float32)
    inputs = views({"A": mean})({"pixels": torch.from_numpy(pixels)})["A"].numpy()
    assert np.array_equal(inputs, (pixels - mean[2:6, 2:6]).transpose(0, 3, 1, 2))


def test_a_recipe_without_mirror_mirrors_nothing():
    pixels = noise(2, 5, 5, 3)
    inputs = views({"A": None}, mirror=False)(batch(pixels, [[0, 0], [0, 0]], [True, True]))
    assert np.array_equal(inputs["A"].numpy(), pixels.transpose(0, 3, 1, 2).astype(np.float32))


def test_every_member_gets_the_mean_it_names():
    images = np.full((1, 5, 5, 3), 100, dtype=np.uint8)
    means = {
        "A": np.full((5, 5, 3), 90, dtype=np.float32),
        "B": np.full((5, 5, 3), 120, dtype=np.float32),
        "none": None,
    }
    inputs = views(means)(batch(images, [[0, 0]], [False]))
    assert list(inputs) == ["A", "B", "none"]
    assert {name: x.unique().tolist() for name, x in inputs.items()} == {
        "A": [10], "B": [-20], "none": [100],
    }  # fmt: skip


def test_the_scale_multiplies_every_view():
    images = np.full((1, 5, 5, 3), 100, dtype=np.uint8)
    means = {"A": np.full((5, 5, 3), 36, dtype=np.float32), "none": None}
    inputs = views(means, scale=1 / 64)(batch(images, [[0, 0]], [False]))
    assert inputs["A"].unique().tolist() == [1.0]
    assert inputs["none"].unique().tolist() == [1.5625]


@pytest.mark.parametrize("channels_last", [False, True])
def test_the_memory_format_is_as_requested(channels_last: bool):
    images = noise(2, 5, 5, 3)
    transform = views({"A": None}, channels_last=channels_last)
    inputs = transform(batch(images, [[3, 1], [0, 2]], [False, True]))["A"]
    assert inputs.shape == (2, 3, 5, 5)
    assert inputs.is_contiguous(memory_format=torch.channels_last) is channels_last
    assert inputs.is_contiguous() is not channels_last


def test_the_memory_format_does_not_change_a_value():
    training = batch(noise(2, 5, 5, 3), [[3, 1], [0, 2]], [False, True])
    mean = {"A": noise(8, 8, 3, seed=1).astype(np.float32)}
    first = views(mean, channels_last=False)(training)["A"]
    assert torch.equal(first, views(mean, channels_last=True)(training)["A"])


def test_means_move_with_the_module_and_stay_out_of_checkpoints():
    transform = views({"A": np.zeros((8, 8, 3), dtype=np.float32), "none": None})
    assert [name for name, _ in transform.named_buffers()] == ["mean_A"]
    assert transform.state_dict() == {}
    assert list(transform.parameters()) == []
