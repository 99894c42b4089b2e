"""One image file as RGB bytes of a fixed size, whatever its mode.

Grey, palette, CMYK, 16-bit and EXIF-rotated files all become the picture that a viewer shows.
"""

import io
import struct
import warnings

import numpy as np
from PIL import Image, ImageOps

# What Pillow raises for a file that it cannot make a picture of
UNREADABLE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)
EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".pgm", ".bmp", ".tif", ".tiff", ".webp")


def read_rgb(path: str, *, size: int, resize: str) -> np.ndarray:
    """The picture as (size, size, 3) uint8.

    Raises: one of `UNREADABLE` if the file is missing, empty, cut off, no image, or too large.
    """
    with open(path, "rb") as file:
        content = file.read()
    if not content:
        raise OSError("the file is empty")
    with Image.open(io.BytesIO(content)) as image:
        image.load()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of a damaged EXIF block
                turned = ImageOps.exif_transpose(image)
        except (SyntaxError, ValueError, KeyError, TypeError, struct.error):
            turned = image  # the picture is sound, only its EXIF block is not
        return np.asarray(fit(to_rgb(turned), size=size, resize=resize))


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


def fit(image: Image.Image, *, size: int, resize: str) -> Image.Image:
    """`warp`: to size x size without keeping the aspect ratio, as the authors did; `crop`: the
    shorter side to size, then the centre."""
    if image.size == (size, size):
        return image
    if resize == "crop":
        return ImageOps.fit(image, (size, size), Image.Resampling.BILINEAR)
    return image.resize((size, size), Image.Resampling.BILINEAR)


def resize_all(pixels: np.ndarray, *, size: int) -> np.ndarray:
    """(N, S, S, 3) uint8 enlarged or shrunk to (N, size, size, 3)."""
    if pixels.shape[1:3] == (size, size):
        return pixels
    return np.stack([np.asarray(fit(Image.fromarray(p), size=size, resize="warp")) for p in pixels])
