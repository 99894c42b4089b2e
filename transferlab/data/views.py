"""From bytes to the network's input, on the device: subtract the mean image, mirror, cast.

Shapes: B batch, S stored size, P crop size (pixels a side). Source: yosinski/convnet_transfer,
data layers of its prototxt files: no scaling, no colour jitter, centre crop for validation. The
crop itself was made when the image was read.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

LOOPS = ("cpu",)  # devices on which a loop over images is quick, and reading from them is no wait


class Views(nn.Module):
    """The inputs of a pack's networks, one per mean image, from one batch of bytes.

    means: name -> mean image (S, S, 3), or None for no subtraction. A training batch brings the
    `corners` of its crops, and which are to be mirrored in `flips`; one without was cut from the
    centre.
    """

    def __init__(
        self,
        means: Mapping[str, np.ndarray | None],
        *,
        scale: float,
        mirror: bool,
        channels_last: bool,
    ) -> None:
        super().__init__()
        self.names = tuple(means)
        self.scale, self.mirror, self.channels_last = scale, mirror, channels_last
        for name, mean in means.items():
            tensor = None if mean is None else torch.from_numpy(mean)
            self.register_buffer(f"mean_{name}", tensor, persistent=False)

    def forward(self, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """One input (B, 3, P, P) float32 per view."""
        pixels, corners = batch["pixels"], batch.get("corners")
        flips = batch.get("flips") if self.mirror else None
        inputs = {}
        for name in self.names:
            values = subtract(pixels, getattr(self, f"mean_{name}"), corners)
            if self.scale != 1.0:
                values *= self.scale
            if flips is not None:
                values = mirrored(values, flips)
            values = values.permute(0, 3, 1, 2)  # channels_last, as the bytes lie
            inputs[name] = values if self.channels_last else values.contiguous()
        return inputs


def subtract(pixels: Tensor, mean: Tensor | None, corners: Tensor | None) -> Tensor:
    """Crops (B, P, P, 3) uint8 minus the same crops of the mean (S, S, 3), as new float32.

    corners: (B, 2), row and column; None for the centre.
    """
    if mean is None:
        return pixels.float()
    crop, size = pixels.shape[2], len(mean)
    if corners is None or crop == size:
        start = (size - crop) // 2
        return pixels - mean[start : start + crop, start : start + crop]
    values = torch.empty(pixels.shape, device=pixels.device)
    if pixels.device.type not in LOOPS:
        windows = mean.unfold(0, crop, 1).unfold(1, crop, 1)[corners[:, 0], corners[:, 1]]
        return torch.sub(pixels, windows.permute(0, 2, 3, 1), out=values)
    whole, image, out = mean.numpy(), pixels.numpy(), values.numpy()
    for place, (row, column) in enumerate(corners.tolist()):  # half the time of gathering
        window = whole[row : row + crop, column : column + crop]
        np.subtract(image[place], window, out=out[place])
    return values


def mirrored(images: Tensor, flips: Tensor) -> Tensor:
    """The images (B, P, P, 3), left to right where `flips` (B,) says so; possibly in place."""
    if images.device.type not in LOOPS:
        return torch.where(flips[:, None, None, None], images.flip(2), images)
    for place in np.flatnonzero(flips.numpy()).tolist():
        images[place] = images[place].flip(1)
    return images
