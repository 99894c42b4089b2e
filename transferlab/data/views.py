"""From bytes to the network's input, on the device: crop, mirror, subtract the mean image, cast.

Shapes: B batch, S stored size, P crop size (pixels a side). Source: yosinski/convnet_transfer,
data layers of its prototxt files: no scaling, no colour jitter, centre crop for validation.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


class Views(nn.Module):
    """The inputs of a pack's networks, one per mean image, from one batch of bytes.

    means: name -> mean image (S, S, 3), or None for no subtraction. A training batch brings
    `corners` and `flips`; one without them gets the centre crop.
    """

    def __init__(
        self,
        means: Mapping[str, np.ndarray | None],
        *,
        crop: int,
        scale: float,
        random: bool,
        channels_last: bool,
    ) -> None:
        super().__init__()
        self.names = tuple(means)
        self.crop, self.scale = crop, scale
        self.random, self.channels_last = random, channels_last
        for name, mean in means.items():
            tensor = None if mean is None else torch.from_numpy(mean)
            self.register_buffer(f"mean_{name}", tensor, persistent=False)

    def forward(self, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """One input (B, 3, P, P) float32 per view."""
        crop = self._training_crop if self.random and "corners" in batch else self._centre_crop
        pixels = crop(batch["pixels"], batch)
        inputs = {}
        for name in self.names:
            mean = getattr(self, f"mean_{name}")
            values = to_input(pixels, None if mean is None else crop(mean, batch), scale=self.scale)
            inputs[name] = values if self.channels_last else values.contiguous()
        return inputs

    def _training_crop(self, images: Tensor, batch: Mapping[str, Any]) -> Tensor:
        return training_crop(images, batch["corners"], batch["flips"], crop=self.crop)

    def _centre_crop(self, images: Tensor, batch: Mapping[str, Any]) -> Tensor:
        return centre_crop(images, crop=self.crop)


def training_crop(images: Tensor, corners: Tensor, flips: Tensor, *, crop: int) -> Tensor:
    """Random crops (B, P, P, 3) of images (B, S, S, 3), mirrored where `flips` (B,) says so.

    corners: (B, 2), row and column. A single image (S, S, 3), the mean, is cropped likewise for
    each of the B corners.
    """
    pixels = torch.arange(crop, device=images.device)
    rows = corners[:, :1] + pixels  # (B, P)
    columns = corners[:, 1:] + torch.where(flips[:, None], crop - 1 - pixels, pixels)
    if images.ndim == 3:
        return images[rows[:, :, None], columns[:, None, :]]
    batch = torch.arange(len(images), device=images.device)
    return images[batch[:, None, None], rows[:, :, None], columns[:, None, :]]


def centre_crop(images: Tensor, *, crop: int) -> Tensor:
    """The middle (..., P, P, 3) of images (..., S, S, 3)."""
    start = (images.shape[-2] - crop) // 2
    return images[..., start : start + crop, start : start + crop, :]


def to_input(pixels: Tensor, mean: Tensor | None, *, scale: float) -> Tensor:
    """Network input (B, 3, P, P) float32, from bytes (B, P, P, 3) and a mean of their shape.

    The result's memory format is channels_last, as the bytes lie.
    """
    values = pixels.float()
    if mean is not None:
        values = values - mean
    if scale != 1.0:
        values = values * scale
    return values.permute(0, 3, 1, 2)
