"""One image file as RGB bytes, resized if need be: the picture that a viewer shows, or an error.

Any mode: grey, palette, CMYK, 16-bit, transparent, rotated by EXIF; of an animation the first
frame. libjpeg-turbo decodes JPEGs, to the bits of Pillow and torchvision, and what it warns of is
an error: it shows damaged parts as grey. Pillow decodes the rest. simplejpeg and torch are imported
when the first picture is read: listing a folder does not need them.
"""

import contextlib
import io
import struct
import warnings

import numpy as np
from PIL import Image

from transferlab.data.datasets import markers

# What is raised for a file that cannot be decoded
UNREADABLE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")  # whatever a file's ending says
# How many times smaller a scaled picture is at least. libjpeg-turbo decodes 5/8 to 7/8 of a side no
# faster than all of it (bench/README.md)
FACTOR = 2.0
SAMPLING = "Could not determine subsampling"  # libjpeg-turbo on factors that only libjpeg knows
# Of those formats, in any case
EXTENSIONS = tuple(
    ".jpg .jpeg .jpe .jfif .png .ppm .pgm .pbm .pnm .bmp .tif .tiff .webp .gif".split()
)
# Tags: TIFF 6.0, Section 8, PhotometricInterpretation being 0 for white; EXIF 2.3, Orientation
WHITE_IS_ZERO, BITS, ORIENTATION = 262, 258, 274
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_rgb(path: str, *, size: int, resize: str, decode: str = "exact") -> np.ndarray:
    """The picture in a file as `fit` makes it. Raises: one of `UNREADABLE` as `read` does."""
    return fit(read(path, least=least_side(decode, size)), size=size, resize=resize)


def least_side(decode: str, size: int) -> int:
    """The `least` of `read` of a picture that will be resized to `size`: with `scaled` no side is
    enlarged, however it is resized; with `exact` 0."""
    return size if decode == "scaled" else 0


def read(path: str, *, least: int = 0) -> np.ndarray:
    """The picture in a file, upright, as (H, W, 3) uint8: see `jpeg` for `least`.

    Raises: one of `UNREADABLE` if the file is missing, empty, damaged, no image, or too large.
    """
    with open(path, "rb", buffering=0) as file:
        content = file.read()
    if not content:
        raise OSError("the file is empty")
    return decode(content, least=least)


def decode(content: bytes, *, least: int = 0) -> np.ndarray:
    """The picture in a file's bytes, upright, as (H, W, 3) uint8: see `jpeg` for `least`. What
    Pillow decodes it decodes in full.

    Raises: one of `UNREADABLE`.
    """
    if markers.is_plain(content):
        with contextlib.suppress(ValueError):  # below, the same error or Pillow's
            return jpeg(content, least=least)
    # Reads the header, and whether the picture is too large
    with Image.open(io.BytesIO(content), formats=FORMATS) as image:
        if image.format not in ("JPEG", "MPO"):  # an MPO begins with the JPEG that is shown
            return rgb(image)
        if image.mode == "CMYK":
            jpeg(content, "CMYK")  # for its errors: the conversion to RGB is Pillow's
            return rgb(image)
        try:
            pixels, turn = jpeg(content, least=least), _turn(image)
        except ValueError as error:
            if SAMPLING in str(error):
                return rgb(image)
            raise
        return pixels if turn is None else np.array(Image.fromarray(pixels).transpose(turn))


def rgb(image: Image.Image) -> np.ndarray:
    """The picture that Pillow has opened, upright, as (H, W, 3) uint8.

    Raises: one of `UNREADABLE`.
    """
    image.load()
    turn, picture = _turn(image), to_rgb(image)
    return np.array(picture if turn is None else picture.transpose(turn))  # writable


def jpeg(content: bytes | np.ndarray, colours: str = "RGB", *, least: int = 0) -> np.ndarray:
    """A JPEG's bytes as (H, W, C) uint8, not turned.

    With `least` above 0 it is decoded at the smallest of the scales 1/8, 2/8, 3/8 and 4/8 at which
    neither side is below `least`, or in full.

    Raises: ValueError if it is damaged: at every warning of libjpeg.
    """
    import simplejpeg

    factor = FACTOR if least else 1.0
    return np.asarray(
        simplejpeg.decode_jpeg(
            content, colours, min_height=least, min_width=least, min_factor=factor, strict=True
        )
    )


def to_rgb(image: Image.Image) -> Image.Image:
    """The image in mode RGB, 8 bits a channel, on white where it is transparent.

    Raises: ValueError if its grey levels are numbers of 32 bits, signed or fractions.
    """
    if image.mode.startswith(("I", "F")):  # Pillow's own conversion clips these at 255
        return _eight_bits(image).convert("RGB")
    if image.has_transparency_data:
        opaque = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(opaque, image.convert("RGBA")).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """The high byte of each grey level of 16 bits, or of as many as a TIFF states."""
    if image.mode == "F" or (image.mode == "I" and image.format not in ("PNG", "PPM")):
        raise ValueError(
            "its grey levels are 32-bit or signed numbers, of which black and white are unknown: "
            "convert it to 8 or 16 bits"
        )
    levels, tags = np.asarray(image).astype(np.uint16), getattr(image, "tag_v2", {})
    pixels = (levels >> (tags.get(BITS, (16,))[0] - 8)).astype(np.uint8)
    if tags.get(WHITE_IS_ZERO) == 0:
        pixels = 255 - pixels
    if "transparency" in image.info:  # of a PNG: the level that is
        pixels[levels == image.info["transparency"]] = 255
    return Image.fromarray(pixels)


def _turn(image: Image.Image) -> Image.Transpose | None:
    """How to put an image upright, by its EXIF block."""
    if image.format in ("JPEG", "MPO") and not {"exif", "xmp"} & image.info.keys():
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a damaged block
            return TURNS.get(image.getexif().get(ORIENTATION, 1))
    except (SyntaxError, ValueError, KeyError, TypeError, struct.error):
        return None  # only the block is damaged


def fit(pixels: np.ndarray, *, size: int, resize: str) -> np.ndarray:
    """(H, W, 3) uint8 resized by torch's bilinear filter, which averages as it shrinks.

    `warp`: to (size, size, 3) without keeping the aspect ratio, as the authors did; `crop`: the
    centre, (size, size, 3), with the shorter side as `size`; `side`: the whole picture with the
    shorter side as `size`, the longer one rounded down (as torchvision's `Resize`).
    """
    height, width = pixels.shape[:2]
    shorter = min(height, width)
    if resize == "side":
        return _resized(pixels, height * size // shorter, width * size // shorter)
    if resize == "crop":
        top, left = (height - shorter) // 2, (width - shorter) // 2
        pixels = pixels[top : top + shorter, left : left + shorter]
    return _resized(pixels, size, size)


def to_grey(pixels: np.ndarray) -> np.ndarray:
    """Pixels (..., 3) uint8 with their luminance in all three channels, in place.

    Source: ITU-R BT.601, 0.299 red + 0.587 green + 0.114 blue, rounded as Pillow's mode L has it.
    """
    red, green, blue = (pixels[..., channel].astype(np.uint32) for channel in range(3))
    pixels[:] = ((19595 * red + 38470 * green + 7471 * blue + 0x8000) >> 16)[..., None]
    return pixels


def resize_all(pixels: np.ndarray, *, size: int) -> np.ndarray:
    """(N, S, S, 3) uint8 as (N, size, size, 3), each to the bits of `fit`."""
    return _resized(pixels, size, size)


def _resized(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """(H, W, 3) or (N, H, W, 3) uint8, resized; the same array if it has that size."""
    *several, old_height, old_width, channels = pixels.shape
    if (old_height, old_width) == (height, width):
        return pixels
    import torch
    from torch.nn.functional import interpolate

    # torch makes the axis N: numpy's of one image has the stride 0, and the output would be
    # planes, of which each later copy gathers its pixels byte by byte
    batch = torch.from_numpy(np.require(pixels, requirements=["C", "W"]))
    batch = batch.reshape(-1, old_height, old_width, channels).permute(0, 3, 1, 2)
    fitted = interpolate(batch, (height, width), mode="bilinear", antialias=True)
    return fitted.permute(0, 2, 3, 1).reshape(*several, height, width, channels).numpy()
