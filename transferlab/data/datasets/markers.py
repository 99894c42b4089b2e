"""The segments before the scan of a JPEG: whether libjpeg alone makes the picture of it.

Pillow reads them too, but takes as long as decoding a picture of 64 pixels does. What is unusual,
or may be damaged, is left to it.
Source: ITU-T T.81, Annex B.
"""

from PIL import Image

START, SCAN, APP1, APP2 = b"\xff\xd8", 0xDA, 0xE1, 0xE2
FRAMES = (0xC0, 0xC1, 0xC2)  # Huffman coding: baseline, extended, progressive
BARE = frozenset((0x00, 0x01, *range(0xD0, 0xDA), 0xFF))  # no length follows these
CHANNELS, BITS = (1, 3), 8


def is_plain(content: bytes) -> bool:
    """Whether it is a grey or coloured JPEG of 8 bits, neither turned by an EXIF block nor one of
    several pictures, and of no more pixels than Pillow opens without a warning."""
    if content[:2] != START:
        return False
    at, end, framed = 2, len(content) - 4, False
    while at < end and content[at] == 0xFF:
        marker, body = content[at + 1], at + 4
        if marker == SCAN:
            return framed
        if marker in BARE or marker == APP1:
            return False
        if marker == APP2 and content[body : body + 4] == b"MPF\0":
            return False
        if marker in FRAMES:
            if framed or not _is_usual(content[body : body + 6]):
                return False
            framed = True
        at += 2 + (content[at + 2] << 8 | content[at + 3])
    return False


def _is_usual(frame: bytes) -> bool:
    """Of the header of a frame: bits, height and width in two bytes each, channels."""
    if len(frame) < 6:
        return False
    height, width = frame[1] << 8 | frame[2], frame[3] << 8 | frame[4]
    limit = Image.MAX_IMAGE_PIXELS
    small = limit is None or height * width <= limit
    return frame[0] == BITS and frame[5] in CHANNELS and height > 0 and width > 0 and small
