"""Which JPEGs are decoded without Pillow, by the segments before their scan."""

import io

import numpy as np
import pytest
from PIL import Image

from transferlab.data.datasets import decode, markers

NOISE = np.random.default_rng(0).integers(0, 256, (19, 33, 3), dtype=np.uint8)


def jpeg(mode: str = "RGB", **settings: object) -> bytes:
    """Noise of 33 x 19 pixels."""
    file = io.BytesIO()
    Image.fromarray(NOISE).convert(mode).save(file, "JPEG", **settings)
    return file.getvalue()


def with_segment(marker: int, body: bytes) -> bytes:
    """The noise with one more segment, the first."""
    content = jpeg()
    size = (len(body) + 2).to_bytes(2, "big")
    return content[:2] + bytes((0xFF, marker)) + size + body + content[2:]


PLAIN = {
    "coloured": jpeg(),
    "grey": jpeg("L"),
    "progressive": jpeg(progressive=True),
    "without subsampling": jpeg(subsampling=0),
    "with a colour profile": jpeg(icc_profile=bytes(70_000)),  # in two segments
    "with a comment": jpeg(comment=b"\xff\xda no scan"),
    "of Adobe": with_segment(0xEE, b"Adobe\0\x64\0\0\0\0\1"),
    "with more behind its end": jpeg() + b"more",
}


@pytest.mark.parametrize("kind", PLAIN)
def test_a_common_jpeg_is_decoded_without_pillow(kind: str, monkeypatch: pytest.MonkeyPatch):
    with Image.open(io.BytesIO(PLAIN[kind])) as image:
        expected = np.asarray(image.convert("RGB"))
    assert markers.is_plain(PLAIN[kind])
    monkeypatch.delattr(Image, "open")
    assert np.array_equal(decode.decode(PLAIN[kind]), expected)


def exif() -> bytes:
    block = Image.Exif()
    block[decode.ORIENTATION] = 6
    return block.tobytes()


def framed(**changes: int) -> bytes:
    """The noise with other numbers in the header of its frame: byte -> value."""
    content = bytearray(jpeg())
    at = content.index(b"\xff\xc0")
    for name, value in changes.items():
        content[at + {"code": 1, "bits": 4, "height": 6, "width": 8, "channels": 9}[name]] = value
    return bytes(content)


OTHER = {
    "CMYK": jpeg("CMYK"),
    "turned": jpeg(exif=exif()),
    "with XMP, which can turn it": with_segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x/>"),
    "with an index of pictures": with_segment(0xE2, b"MPF\0" + bytes(20)),
    "arithmetic": framed(code=0xC9),
    "lossless": framed(code=0xC3),
    "of twelve bits": framed(bits=12),
    "without rows": framed(height=0),
    "without columns": framed(width=0),
    "of two channels": framed(channels=2),
    "cut off before its scan": jpeg()[: jpeg().index(b"\xff\xda")],
    "cut off in its frame": jpeg()[: jpeg().index(b"\xff\xc0") + 7],
    "with two frames": with_segment(0xC0, bytes((8, 0, 19, 0, 33, 3)) + bytes(9)),
    "with a scan and no frame": b"\xff\xd8\xff\xda\0\x0c" + bytes(20),
    # libjpeg looks for the next marker behind these; "\0\4xx" is no segment, but looks like it
    "with a gap": jpeg()[:2] + b"\0\xe0\0\4xx" + jpeg()[2:],
    "with a fill byte": jpeg()[:2] + b"\xff\xff\0\4xx" + jpeg()[2:],
    "with a marker that has no length": jpeg()[:2] + b"\xff\xd0\0\4xx" + jpeg()[2:],
    "only a beginning": b"\xff\xd8",
    "a PNG": b"\x89PNG\r\n\x1a\n" + bytes(20),
    "empty": b"",
}


@pytest.mark.parametrize("kind", OTHER)
def test_what_is_unusual_or_damaged_is_left_to_pillow(kind: str):
    assert not markers.is_plain(OTHER[kind])


def test_a_picture_that_pillow_warns_of_is_left_to_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 33 * 19)
    assert markers.is_plain(jpeg())
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 33 * 19 - 1)
    assert not markers.is_plain(jpeg())
    with pytest.warns(Image.DecompressionBombWarning):
        decode.decode(jpeg())
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert markers.is_plain(jpeg())
