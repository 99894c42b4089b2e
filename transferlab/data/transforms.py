"""From bytes to the network's input, on the device: subtract the mean, vary colours, mirror, cast.

Shapes: B batch, S stored size, P crop size (pixels a side). Source: yosinski/convnet_transfer,
data layers of its prototxt files: no scaling, no colour jitter, centre crop for validation. The
crop itself was made when the image was read.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from transferlab.runtime import compiled

LOOPS = ("cpu",)  # where a loop over images is faster than operations on batches


class InputTransform(nn.Module):
    """The inputs of a pack's networks, one per mean image, from one batch of bytes.

    means: name -> mean image (S, S, 3), mean colour (3,), or None for no subtraction. `scale` is a
    factor, or one for each of the three channels. A training batch has the `corners` of its crops,
    and in `flips` which to mirror; without corners they are from the centre.

    padding: S and the pixels around the images, whose input is zero after the subtraction. Source:
        He et al. 2015, arXiv:1512.03385, Sec. 4.2.
    components: (3, 3), a principal component of the colours in each row; the multiples `alphas`
        (B, 3) of the batch are added to all pixels of their images. Source: Krizhevsky et al. 2012,
        Sec. 4.1.
    """

    def __init__(
        self,
        means: Mapping[str, np.ndarray | None],
        *,
        scale: float | tuple[float, ...],
        mirror: bool,
        channels_last: bool,
        padding: tuple[int, int] | None = None,
        components: np.ndarray | None = None,
    ) -> None:
        super().__init__()
        size, self.pad = padding or (0, 0)
        self.names = tuple(means)
        self.mirror, self.channels_last = mirror, channels_last
        self.scale = scale
        factors = torch.tensor(scale) if isinstance(scale, tuple) else None
        self.register_buffer("factors", factors, persistent=False)
        for name, mean in means.items():
            tensor = None if mean is None else self._padded(torch.from_numpy(mean), size)
            self.register_buffer(f"mean_{name}", tensor, persistent=False)
        tensor = None if components is None else torch.from_numpy(components)
        self.register_buffer("components", tensor, persistent=False)
        inside = None if components is None else self._padded(torch.ones(3), size)
        self.register_buffer("inside", inside, persistent=False)

    def forward(self, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """One input (B, 3, P, P) float32 per view."""
        pixels, corners = batch["pixels"], batch.get("corners")
        if self.pad and corners is not None:
            corners = corners + self.pad
        shift = self._shift(batch.get("alphas"), corners, pixels.shape[2])
        flips = batch.get("flips") if self.mirror else None
        convert = convert_each if pixels.device.type in LOOPS else convert_batch
        scale: Any = self.factors if isinstance(self.scale, tuple) else self.scale
        inputs = {}
        for name in self.names:
            mean = getattr(self, f"mean_{name}")
            values = convert(pixels, mean, corners, flips, scale, shift).permute(0, 3, 1, 2)
            # channels_last, as the bytes lie
            inputs[name] = values if self.channels_last else values.contiguous()
        return inputs

    def _padded(self, values: Tensor, size: int) -> Tensor:
        """(S + 2 pad, S + 2 pad, 3), zeros around an image or a colour; itself without `pad`."""
        if not self.pad:
            return values
        margins = (0, 0, *(4 * [self.pad]))
        return pad(values.expand(size, size, 3), margins)

    def _shift(self, alphas: Tensor | None, corners: Tensor | None, crop: int) -> Tensor | None:
        """What is added to the colours of each image, (B, 1, 1, 3), or (B, P, P, 3) with zeros
        around the image; None in a validation."""
        if alphas is None:
            return None
        components: Any = self.components
        inside: Any = self.inside
        shift = (alphas[:, :, None] * components).sum(1)[:, None, None]
        if self.pad and corners is not None:
            shift = shift * _crops(inside, corners, crop)
        return shift


def convert_each(
    pixels: Tensor,
    mean: Tensor | None,
    corners: Tensor | None,
    flips: Tensor | None,
    scale: float | Tensor,
    shift: Tensor | None = None,
) -> Tensor:
    """The input (B, P, P, 3) float32 of crops (B, P, P, 3) uint8, one image after the other.

    The same crop of the mean (S, S, 3), at `corners` (B, 2), row and column, or the centre, or the
    colour (3,), is subtracted from each, and `shift`, which broadcasts to them, is added; then it
    is scaled, as a whole or by a factor a channel (3,), and mirrored if its entry of `flips` (B,)
    is true.
    """
    values = _subtracted(pixels, mean, corners)
    if shift is not None:
        values += shift
    if isinstance(scale, Tensor) or scale != 1.0:
        values *= scale
    return values if flips is None else mirror(values, flips)


@compiled.on_cuda
def convert_batch(
    pixels: Tensor,
    mean: Tensor | None,
    corners: Tensor | None,
    flips: Tensor | None,
    scale: float | Tensor,
    shift: Tensor | None = None,
) -> Tensor:
    """The same as `convert_each`, as elementwise operations on the batch, which fuse into one.

    Does not wait for the device.
    """
    values = pixels.float()
    if mean is not None and _needs_corners(pixels, mean, corners):
        assert corners is not None
        values = values - _crops(mean, corners, pixels.shape[2])
    elif mean is not None:
        values = values - _centre(mean, *pixels.shape[1:3])
    if shift is not None:
        values = values + shift
    values = values * scale
    if flips is None:
        return values
    return torch.where(flips[:, None, None, None], values.flip(2), values)


def _crops(image: Tensor, corners: Tensor, crop: int) -> Tensor:
    """The crops (B, P, P, 3) of one image (S, S, 3)."""
    along = torch.arange(crop, device=image.device)
    rows, columns = corners[:, :1] + along, corners[:, 1:] + along  # (B, P)
    return image[rows[:, :, None], columns[:, None, :]]


def mirror(images: Tensor, flips: Tensor) -> Tensor:
    """The images (B, P, P, 3), those with `flips` (B,) left to right; in place, on the host."""
    out = images.numpy()  # numpy copies bytes in half of torch's time
    for index in np.flatnonzero(flips.numpy()).tolist():
        out[index] = images[index].flip(1).numpy()
    return images


def _subtracted(pixels: Tensor, mean: Tensor | None, corners: Tensor | None) -> Tensor:
    if mean is None:
        return pixels.float()
    if not _needs_corners(pixels, mean, corners):
        return pixels - _centre(mean, *pixels.shape[1:3])
    assert corners is not None
    crop = pixels.shape[2]
    values = torch.empty(pixels.shape)
    image, out, means = pixels.numpy(), values.numpy(), mean.numpy()
    for index, (row, column) in enumerate(corners.tolist()):  # half the time of a gather
        window = means[row : row + crop, column : column + crop]
        np.subtract(image[index], window, out=out[index])
    return values


def _needs_corners(pixels: Tensor, mean: Tensor, corners: Tensor | None) -> bool:
    return corners is not None and mean.ndim == 3 and pixels.shape[2] < len(mean)


def _centre(mean: Tensor, height: int, width: int) -> Tensor:
    if mean.ndim == 1:
        return mean
    row, column = (mean.shape[0] - height) // 2, (mean.shape[1] - width) // 2
    return mean[row : row + height, column : column + width]
