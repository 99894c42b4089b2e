"""One image file as RGB bytes of a fixed size, whatever its mode.

Grey, palette, CMYK, 16-bit and EXIF-rotated files are all decoded to the picture that a viewer
shows. torchvision decodes JPEGs, to the same bits as Pillow and faster; Pillow decodes the rest.
torch is imported when the first file is read: listing a folder does not need it.
"""

import io
import struct
import warnings

import numpy as np
from PIL import Image, ImageOps

# What Pillow raises for a file that it cannot decode
UNREADABLE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)
# Of those formats, in any case
EXTENSIONS = tuple(
    ".jpg .jpeg .jpe .jfif .png .ppm .pgm .pbm .pnm .bmp .tif .tiff .webp .gif".split()
)


def read_rgb(path: str, *, size: int, resize: str) -> np.ndarray:
    """The picture as (size, size, 3) uint8.

    Raises: one of `UNREADABLE` if the file is missing, empty, cut off, no image, or too large.
    """
    with open(path, "rb") as file:
        content = file.read()
    if not content:
        raise OSError("the file is empty")
    return fit(decode(content), size=size, resize=resize)


def decode(content: bytes) -> np.ndarray:
    """The picture in a file's bytes, upright, as (H, W, 3) uint8.

    Raises: one of `UNREADABLE`.
    """
    with Image.open(io.BytesIO(content)) as image:  # its header, and whether it is too large
        pixels = jpeg(content) if image.format == "JPEG" else None
        if pixels is not None:
            return pixels
        return rgb(image)


def rgb(image: Image.Image) -> np.ndarray:
    """The picture that Pillow has opened, upright, as (H, W, 3) uint8.

    Raises: one of `UNREADABLE`.
    """
    image.load()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a damaged EXIF block
            turned = ImageOps.exif_transpose(image)
    except (SyntaxError, ValueError, KeyError, TypeError, struct.error):
        turned = image  # only its EXIF block is damaged
    return np.array(to_rgb(turned))  # writable


def jpeg(content: bytes | np.ndarray) -> np.ndarray | None:
    """A JPEG's bytes as (H, W, 3) uint8, upright; None if Pillow has to decode it."""
    import torch
    from torchvision.io import ImageReadMode, decode_jpeg

    data = torch.frombuffer(bytearray(content), dtype=torch.uint8)
    try:
        pixels = decode_jpeg(data, mode=ImageReadMode.RGB, apply_exif_orientation=True)
    except RuntimeError:
        return None
    return pixels.permute(1, 2, 0).numpy()  # the order of the bytes in memory


def to_rgb(image: Image.Image) -> Image.Image:
    """The image in mode RGB, 8 bits a channel.

    16-bit greys keep their high byte; wider integers and floats are taken for 16-bit greys.
    Transparency is dropped.
    """
    if image.mode.startswith(("I", "F")):  # Pillow's own conversion clips these at 255
        wide = np.clip(np.asarray(image), 0, 65535).astype(np.uint16)
        image = Image.fromarray((wide >> 8).astype(np.uint8))
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # Pillow warns of anything else
    return image if image.mode == "RGB" else image.convert("RGB")


def fit(pixels: np.ndarray, *, size: int, resize: str) -> np.ndarray:
    """(H, W, 3) uint8 as (size, size, 3), by torch's bilinear filter, which averages as it shrinks.

    `warp`: without keeping the aspect ratio, as the authors did; `crop`: the shorter side to
    size, then the centre.
    """
    height, width = pixels.shape[:2]
    if (height, width) == (size, size):
        return pixels
    if resize == "crop":
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        pixels = pixels[top : top + side, left : left + side]
    return _resized(pixels[None], size)[0]


def resize_all(pixels: np.ndarray, *, size: int) -> np.ndarray:
    """(N, S, S, 3) uint8 as (N, size, size, 3), each to the bits of `fit`."""
    return pixels if pixels.shape[1:3] == (size, size) else _resized(pixels, size)


def _resized(pixels: np.ndarray, size: int) -> np.ndarray:
    import torch
    from torch.nn.functional import interpolate

    batch = torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2)
    fitted = interpolate(batch, (size, size), mode="bilinear", antialias=True)
    return fitted.permute(0, 2, 3, 1).numpy()
