"""Posteriors of crops, test scales and dense evaluation against slow, plain references, to 1e-5.

Pictures are rectangles of several sizes; the mean image has a value of its own for each pixel.
"""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from transferlab import models
from transferlab.data.datasets import decode
from transferlab.evaluation.reading import Sight
from transferlab.evaluation.scorer import Scorer
from transferlab.training.classifier import Classifier
from transferlab.training.inference import Inference, Preprocessing

SIZE, CROP, SCALE = 36, 32, 1 / 64
SHAPES = ((40, 61), (40, 61), (70, 33))
GENERATOR = np.random.default_rng(0)
PICTURES = [GENERATOR.integers(0, 256, (*shape, 3), dtype=np.uint8) for shape in SHAPES]
MEAN = GENERATOR.uniform(90, 160, (SIZE, SIZE, 3)).astype(np.float32)


def classifier(name: str) -> Classifier:
    network = models.build(name, num_outputs=7, image_size=CROP)
    network.initialise(lambda stage: len(stage) + 3)
    seen = Preprocessing("RGB", SIZE, "warp", CROP, "0" * 64, SCALE)
    interface = Inference(name, None, 7, tuple("abcdefg"), seen, "float32", False)
    record = {"label": "baseB", "id": "0" * 12, "config": {"train": {}}}
    return Classifier(network.eval(), interface, MEAN, record)


@pytest.fixture(params=["alexnet_small", "vgg_small", "nin_small"])
def known(request: pytest.FixtureRequest) -> Classifier:
    return classifier(request.param)


def scored(known: Classifier, scales: list[int | None], **settings: object) -> np.ndarray:
    sights = [Sight(0, scale) for scale in scales]
    images = {
        sight: [
            decode.fit(p, size=SIZE, resize="warp")
            if sight.scale is None
            else decode.fit(p, size=sight.scale, resize="side")
            for p in PICTURES
        ]
        for sight in sights
    }
    settings = {"crops": None, "dense": False, **settings}
    return Scorer(known, sights, settings, torch.device("cpu"))(images).numpy()


# --- the references -------------------------------------------------------------------------------


def resized(pixels: np.ndarray, height: int, width: int) -> Tensor:
    batch = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    return F.interpolate(batch, (height, width), mode="bilinear", antialias=True)[0]


def inputs(picture: np.ndarray, scale: int | None) -> Tensor:
    """(3, H, W): the whole picture less the mean, which is stretched over it."""
    height, width = picture.shape[:2]
    if scale is None:
        sides = (SIZE, SIZE)
    elif height < width:
        sides = (scale, scale * width // height)
    else:
        sides = (scale * height // width, scale)
    return (resized(picture, *sides) - resized(MEAN, *sides)) * SCALE


def crop(x: Tensor, row: int, column: int) -> Tensor:
    return x[:, row : row + CROP, column : column + CROP]


def ten(x: Tensor) -> Iterator[Tensor]:
    down, across = x.shape[1] - CROP, x.shape[2] - CROP
    for row, column in ((0, 0), (0, across), (down, 0), (down, across), (down // 2, across // 2)):
        yield crop(x, row, column)
        yield torch.flip(crop(x, row, column), [2])


def softmax(logits: Tensor) -> np.ndarray:
    powers = np.exp(logits.numpy().astype(float))
    return powers / powers.sum()


@torch.no_grad()
def over_crops(known: Classifier, x: Tensor) -> np.ndarray:
    return np.mean([softmax(known.network(each[None])[0]) for each in ten(x)], axis=0)


@torch.no_grad()
def over_map(known: Classifier, x: Tensor) -> np.ndarray:
    """The mean of the logits at each place of the map of the last convolution, then the softmax;
    of the image and its mirror image."""
    both = []
    for image in (x, torch.flip(x, [2])):
        if "mlpconv1" in known.network.stage_names:
            both.append(softmax(known.network(image[None])[0]))
            continue
        stages = sum(not name.startswith("fc") for name in known.network.stage_names)
        features, head = known.network.prefix(stages)(image[None]), known.network.head(stages)
        side = known.network.prefix(stages)(torch.zeros(1, 3, CROP, CROP)).shape[2]
        rows, columns = (n - side + 1 for n in features.shape[2:])
        logits = [
            head(features[:, :, row : row + side, column : column + side])[0]
            for row in range(rows)
            for column in range(columns)
        ]
        both.append(softmax(torch.stack(logits).mean(dim=0)))
    return np.mean(both, axis=0)


# --- the comparisons ------------------------------------------------------------------------------


def agree(found: np.ndarray, expected: list[np.ndarray]) -> None:
    assert np.abs(found - np.stack(expected)).max() < 1e-5
    assert np.ptp(found[:, 0]) > 1e-3  # the pictures differ by far more


def test_the_centre_crop_is_what_a_finished_run_classifies(known: Classifier):
    expected = known.logits(PICTURES).double().softmax(dim=1).numpy()

    assert np.array_equal(scored(known, [None], crops="centre"), expected)


def test_ten_crops(known: Classifier):
    expected = [over_crops(known, inputs(picture, None)) for picture in PICTURES]

    agree(scored(known, [None], crops="ten"), expected)


def test_several_test_scales(known: Classifier):
    expected = [
        np.mean([over_crops(known, inputs(picture, scale)) for scale in (33, 40, 52)], axis=0)
        for picture in PICTURES
    ]

    agree(scored(known, [33, 40, 52], crops="ten"), expected)


def test_dense_evaluation(known: Classifier):
    expected = [
        np.mean([over_map(known, inputs(picture, scale)) for scale in (36, 48)], axis=0)
        for picture in PICTURES
    ]

    agree(scored(known, [36, 48], dense=True), expected)


def test_crops_and_dense_evaluation_have_equal_weights():
    known = classifier("alexnet_small")
    expected = [
        (over_crops(known, inputs(p, 40)) + over_map(known, inputs(p, 40))) / 2 for p in PICTURES
    ]

    agree(scored(known, [40], crops="ten", dense=True), expected)


def test_a_grid_has_25_places_and_their_mirror_images():
    known = classifier("nin_small")
    places = [0, 2, 4, 6, 8]  # of 40 - 32 pixels

    with torch.no_grad():
        expected = []
        for picture in PICTURES[2:]:
            x = inputs(picture, 40)
            columns = [round(place * (x.shape[1] - CROP) / 4) for place in range(5)]
            crops = [crop(x, row, column) for row in columns for column in places]
            both = [*crops, *(torch.flip(each, [2]) for each in crops)]
            values = [softmax(known.network(each[None])[0]) for each in both]
            expected.append(np.mean(values, axis=0))

    assert np.abs(scored(known, [40], crops="grid")[2:] - np.stack(expected)).max() < 1e-5
