"""The network of a finished run, from images of any look to posteriors, or other scores.

Shapes: B images, H, W pixels of an image, P of the side of an input, S of the run's own images, K
outputs.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from transferlab.data.transforms import InputTransform
from transferlab.evaluation.crops import crops
from transferlab.evaluation.dense import DenseNetwork
from transferlab.evaluation.protocols import Settings
from transferlab.evaluation.reading import Sight
from transferlab.runtime import bfloat16
from transferlab.training.classifier import Classifier

Images = Mapping[Sight, Sequence[np.ndarray]]


class Scorer:
    """Scores (B, K) of a network, posteriors where its loss makes some: the mean over crops and
    test scales and, with `dense`, over that and the mean of the image and its mirror image at every
    scale.

    `looks` are its own, of `reading`. In a larger or smaller image than the run's own the mean
    image is stretched over it, as if it were one of the images whose mean it is.
    """

    def __init__(
        self,
        classifier: Classifier,
        looks: Sequence[Sight],
        settings: Settings,
        device: torch.device,
    ) -> None:
        self.classifier, self.looks, self.device = classifier, tuple(looks), device
        self.crops: str | None = settings["crops"]
        self.crop = classifier.preprocess.settings.crop
        classifier.network.to(device)
        self.dense: DenseNetwork | None = None
        if settings["dense"]:
            name = f"{classifier.record['label']} {classifier.record['id']}"
            self.dense = DenseNetwork(classifier.network, name=name, size=self.crop)
        self.transforms: dict[tuple[int, int], InputTransform] = {}

    @torch.no_grad()
    def __call__(self, images: Images) -> Tensor:
        """The scores (B, K) float64, on the processor, of images (H, W, 3) uint8 by look."""
        total: list[Tensor] = []
        for look in self.looks:
            pixels = images[look]
            parts: list[tuple[list[int], Tensor]] = []
            for positions in alike(pixels):
                inputs = self.inputs(np.stack([pixels[place] for place in positions]))
                parts.append((positions, self._mean(inputs)))
            scores = torch.empty(len(pixels), parts[0][1].shape[1], dtype=torch.float64)
            for positions, values in parts:
                scores[positions] = values.cpu()
            total.append(scores)
        return torch.stack(total).mean(dim=0)

    def inputs(self, pixels: np.ndarray) -> Tensor:
        """The inputs (B, 3, H, W) of images (B, H, W, 3) uint8."""
        height, width = pixels.shape[1:3]
        if (height, width) not in self.transforms:
            self.transforms[height, width] = self._transform(height, width)
        batch = {"pixels": torch.from_numpy(pixels).to(self.device)}
        return self.transforms[height, width](batch)["input"]

    def _transform(self, height: int, width: int) -> InputTransform:
        preprocess = self.classifier.preprocess
        mean, size = preprocess.mean, preprocess.settings.size
        if mean is not None and mean.ndim == 3 and (height, width) != (size, size):
            mean = _stretched(mean, height, width)
        transform = InputTransform(
            {"input": mean},
            scale=preprocess.settings.scale,
            mirror=False,
            channels_last=preprocess.transform.channels_last,
        )
        return transform.to(self.device)

    def _mean(self, inputs: Tensor) -> Tensor:
        """The scores (B, K) float64 of inputs (B, 3, H, W)."""
        means = []
        if self.crops is not None:
            means.append(_mean(map(self._scores, self.crops_of(inputs))))
        if self.dense is not None:
            both = (inputs, _mirrored(inputs))
            means.append(_mean(self._scores(image, dense=True) for image in both))
        return _mean(iter(means))

    def crops_of(self, inputs: Tensor, kind: str | None = None) -> Iterator[Tensor]:
        """The crops (B, 3, P, P) of inputs (B, 3, H, W), laid out as the inputs are; by default
        those of the settings."""
        kind = kind or self.crops
        assert kind is not None
        height, width = inputs.shape[2:]
        channels_last = self.classifier.preprocess.transform.channels_last
        layout = torch.channels_last if channels_last else torch.contiguous_format
        for row, column, mirrored in crops(kind, height=height, width=width, crop=self.crop):
            crop = inputs[:, :, row : row + self.crop, column : column + self.crop]
            crop = _mirrored(crop) if mirrored else crop
            yield crop.contiguous(memory_format=layout)

    def _scores(self, images: Tensor, *, dense: bool = False) -> Tensor:
        network = self.dense if dense else self.classifier.network
        assert network is not None
        with bfloat16.autocast(self.device, self.classifier.precision):
            return self.classifier.posteriors(network(images).double())


def alike(pixels: Sequence[np.ndarray]) -> list[list[int]]:
    """The places of images of the same size."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for place, image in enumerate(pixels):
        groups.setdefault(image.shape, []).append(place)
    return list(groups.values())


def _stretched(mean: np.ndarray, height: int, width: int) -> np.ndarray:
    """A mean image (S, S, 3) float32 as (H, W, 3), by the filter that resizes the images."""
    batch = torch.from_numpy(mean).permute(2, 0, 1)[None]
    fitted = F.interpolate(batch, (height, width), mode="bilinear", antialias=True)
    return fitted[0].permute(1, 2, 0).contiguous().numpy()


def _mirrored(images: Tensor) -> Tensor:
    return images.flip(3)


def _mean(values: Iterator[Tensor]) -> Tensor:
    """The mean of tensors, one after the other in memory."""
    total, count = next(values), 1
    for value in values:
        total, count = total + value, count + 1
    return total / count
