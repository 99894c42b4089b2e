"""Image files of every mode, against the colours that a viewer shows."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision import transforms

from transferlab.data.datasets import decode

RED, GREEN, BLUE, YELLOW = (250, 10, 20), (10, 240, 30), (20, 30, 245), (240, 230, 15)


def quadrants() -> np.ndarray:
    """Red and green above, blue and yellow below, (32, 32, 3)."""
    pixels = np.zeros((32, 32, 3), dtype=np.uint8)
    pixels[:16, :16], pixels[:16, 16:] = RED, GREEN
    pixels[16:, :16], pixels[16:, 16:] = BLUE, YELLOW
    return pixels


def corners(pixels: np.ndarray) -> list[tuple[int, int, int]]:
    """The colours well inside the quadrants: above left, above right, below left, below right."""
    low, high = len(pixels) // 4, 3 * len(pixels) // 4
    corners = ((low, low), (low, high), (high, low), (high, high))
    return [tuple(pixels[corner].tolist()) for corner in corners]


def saved(image: Image.Image, path: Path, **settings) -> np.ndarray:
    image.save(path, **settings)
    pixels = decode.read_rgb(str(path), size=32, resize="warp")
    assert pixels.shape == (32, 32, 3) and pixels.dtype == np.uint8
    return pixels


def close(pixels: list, expected: list, tolerance: int) -> bool:
    return np.abs(np.array(pixels, dtype=int) - np.array(expected, dtype=int)).max() <= tolerance


@pytest.mark.parametrize("ending", ["png", "ppm", "bmp", "tif", "tiff"])
def test_a_lossless_file_is_read_to_the_bit(ending: str, tmp_path: Path):
    pixels = saved(Image.fromarray(quadrants()), tmp_path / f"image.{ending}")
    assert np.array_equal(pixels, quadrants())


@pytest.mark.parametrize("ending", ["jpg", "jpeg", "webp"])
def test_a_lossy_file_has_the_colours_of_the_picture(ending: str, tmp_path: Path):
    pixels = saved(Image.fromarray(quadrants()), tmp_path / f"image.{ending}", quality=95)
    assert close(corners(pixels), [RED, GREEN, BLUE, YELLOW], 6)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("settings", [{}, {"progressive": True}, {"quality": 30}])
def test_a_jpeg_has_the_bits_that_pillow_gives_it(mode: str, settings: dict, tmp_path: Path):
    noise = np.random.default_rng(0).integers(0, 256, (19, 33, 3), dtype=np.uint8)
    path = tmp_path / "image.jpg"
    Image.fromarray(noise).convert(mode).save(path, **settings)
    with Image.open(path) as image:
        expected = np.asarray(image.convert("RGB"))
    assert np.array_equal(decode.decode(path.read_bytes()), expected)


def photograph(mode: str = "RGB") -> bytes:
    """A JPEG of 96 x 96 pixels of noise."""
    noise = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).convert(mode).save(file, "JPEG")
    return file.getvalue()


def damaged(content: bytes) -> dict[str, bytes]:
    """The ways in which a copy, a disk or a download damages a file."""
    middle, end = len(content) // 2, len(content)
    return {
        "no end marker": content[:-2],
        "cut off": content[:middle],
        "zeros at the end": content[:-1000] + bytes(1000),
        "zeros before the end marker": content[:-1000] + bytes(998) + content[-2:],
        "zeros in the middle": content[:middle] + bytes(1000) + content[middle + 1000 :],
        "a part is missing": content[:middle] + content[middle + 512 :],
        "noise at the end": content[:-1000] + np.random.default_rng(1).bytes(1000),
        "another file at the end": content[:middle] + b"<html>" * (end // 12),
    }


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("damage", damaged(photograph()))
def test_a_damaged_jpeg_is_refused_without_a_word_of_libjpeg(
    mode: str, damage: str, capfd: pytest.CaptureFixture[str]
):
    with pytest.raises(decode.UNREADABLE):
        decode.decode(damaged(photograph(mode))[damage])
    assert capfd.readouterr() == ("", "")


def test_the_reason_is_what_libjpeg_warns_of():
    with pytest.raises(ValueError, match=r"^Premature end of JPEG file$"):
        decode.decode(photograph()[:-2])


def test_what_follows_the_end_of_a_jpeg_does_not_matter():
    assert np.array_equal(decode.decode(photograph() + b"more"), decode.decode(photograph()))


def test_a_jpeg_of_unusual_sampling_is_read():
    file = io.BytesIO()
    Image.new("RGB", (24, 8), (128, 128, 128)).save(file, "JPEG", subsampling=0)
    content = file.getvalue()
    sampling = content.index(b"\xff\xc0") + 11  # of the first component, three to one
    scan = content.index(b"\xff\xda") + 14
    # Of each block the code of no difference and that of its end: three of light, two of colour
    bits = "001010" * 3 + "0000" * 2 + "111111"
    content = (
        content[:sampling] + b"\x31" + content[sampling + 1 : scan]
        + int(bits, 2).to_bytes(4, "big") + b"\xff\xd9"
    )  # fmt: skip
    assert decode.decode(content).tolist() == [[[128, 128, 128]] * 24] * 8


@pytest.mark.parametrize("name", ["image.jpg", "image.eps"])
def test_postscript_is_no_image_whatever_its_name(name: str, tmp_path: Path):
    (tmp_path / name).write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n/run exec\n"
    )
    with pytest.raises(OSError, match="cannot identify image file"):
        decode.read_rgb(str(tmp_path / name), size=8, resize="warp")


@pytest.mark.parametrize("ending", ["gif", "png", "webp", "tif"])
def test_of_several_pictures_the_first_is_read(ending: str, tmp_path: Path):
    first, second = Image.fromarray(quadrants()), Image.new("RGB", (32, 32), BLUE)
    settings = {"lossless": True} if ending == "webp" else {}
    pixels = saved(first, tmp_path / f"image.{ending}",
                   save_all=True, append_images=[second], **settings)  # fmt: skip
    assert close(corners(pixels), [RED, GREEN, BLUE, YELLOW], 1)


def test_of_a_jpeg_with_several_pictures_the_first_is_read(tmp_path: Path):
    path = tmp_path / "image.jpg"
    Image.fromarray(quadrants()).save(
        path, "MPO", save_all=True, append_images=[Image.new("RGB", (32, 32), BLUE)], quality=95
    )
    pixels = decode.read_rgb(str(path), size=32, resize="warp")
    assert close(corners(pixels), [RED, GREEN, BLUE, YELLOW], 6)


@pytest.mark.parametrize("ending", ["png", "jpg", "pgm", "tif"])
def test_grey_becomes_three_equal_channels(ending: str, tmp_path: Path):
    grey = np.full((32, 32), 77, dtype=np.uint8)
    grey[16:] = 200
    pixels = saved(Image.fromarray(grey), tmp_path / f"image.{ending}")
    assert close(corners(pixels), [(77,) * 3, (77,) * 3, (200,) * 3, (200,) * 3], 2)


def test_grey_with_alpha_keeps_the_grey(tmp_path: Path):
    image = Image.new("LA", (32, 32), (77, 255))
    assert corners(saved(image, tmp_path / "image.png")) == [(77, 77, 77)] * 4


def test_cmyk_is_converted(tmp_path: Path):
    # no ink but full magenta and half black: half-bright red and blue, no green
    image = Image.new("CMYK", (32, 32), (0, 255, 0, 128))
    for ending in ("jpg", "tif"):
        pixels = saved(image, tmp_path / f"image.{ending}")
        assert close(corners(pixels), [(127, 0, 127)] * 4, 3)


def test_a_palette_is_looked_up(tmp_path: Path):
    image = Image.fromarray(quadrants()).quantize(4)
    assert image.mode == "P"
    pixels = saved(image, tmp_path / "image.png")
    assert close(corners(pixels), [RED, GREEN, BLUE, YELLOW], 1)


WHITE = (255, 255, 255)
TINTED = (132, 247, 142)  # GREEN of opacity 128 / 255 on white


@pytest.mark.parametrize(
    ("transparency", "expected"),
    [
        (0, [WHITE, GREEN, BLUE, YELLOW]),
        (bytes([255] * 4), [RED, GREEN, BLUE, YELLOW]),
        (bytes([0, 128, 255]), [WHITE, TINTED, BLUE, YELLOW]),
        (bytes(4), [WHITE] * 4),
    ],
)
def test_a_transparent_colour_of_a_palette_shows_white(
    transparency: int | bytes, expected: list, tmp_path: Path
):
    image = Image.fromarray(np.array([[0, 1], [2, 3]], np.uint8).repeat(16, 0).repeat(16, 1), "P")
    image.putpalette([*RED, *GREEN, *BLUE, *YELLOW])
    pixels = saved(image, tmp_path / "image.png", transparency=transparency)
    assert close(corners(pixels), expected, 1)


@pytest.mark.parametrize("ending", ["png", "tif", "webp"])
def test_a_transparent_picture_is_shown_on_white(ending: str, tmp_path: Path):
    image = Image.fromarray(quadrants()).convert("RGBA")
    opacity = np.array([[0, 128], [255, 255]], np.uint8).repeat(16, 0).repeat(16, 1)
    image.putalpha(Image.fromarray(opacity))
    settings = {"lossless": True} if ending == "webp" else {}
    pixels = saved(image, tmp_path / f"image.{ending}", **settings)
    assert close(corners(pixels), [WHITE, TINTED, BLUE, YELLOW], 1)


def test_transparent_grey_is_shown_on_white(tmp_path: Path):
    image = Image.new("LA", (32, 32), (77, 0))
    image.paste((77, 51), (16, 0, 32, 16))
    assert corners(saved(image, tmp_path / "image.png"))[:2] == [WHITE, (219, 219, 219)]


@pytest.mark.parametrize(
    ("mode", "transparency", "expected"),
    [
        ("RGB", RED, [WHITE, GREEN, BLUE, YELLOW]),
        ("L", 77, [WHITE] * 4),
        ("1", 0, [WHITE] * 4),
        ("I;16", 500, [WHITE] * 4),
    ],
)
def test_one_colour_that_is_transparent_shows_white(
    mode: str, transparency: int, expected: list, tmp_path: Path
):
    image = {
        "RGB": Image.fromarray(quadrants()),
        "L": Image.new("L", (32, 32), 77),
        "1": Image.new("1", (32, 32), 0),
        "I;16": Image.fromarray(np.full((32, 32), 500, np.uint16)),
    }[mode]
    pixels = saved(image, tmp_path / "image.png", transparency=transparency)
    assert corners(pixels) == expected


def test_an_animation_begins_on_white_where_it_is_transparent(tmp_path: Path):
    image = Image.new("P", (32, 32), 0)
    image.putpalette([*RED, *GREEN])
    image.paste(1, (16, 0, 32, 32))
    pixels = saved(image, tmp_path / "image.gif", transparency=0)
    assert corners(pixels) == [WHITE, GREEN, WHITE, GREEN]


def test_an_opaque_picture_with_alpha_keeps_its_colours(tmp_path: Path):
    image = Image.fromarray(quadrants()).convert("RGBA")
    for ending in ("png", "tif"):
        assert np.array_equal(saved(image, tmp_path / f"image.{ending}"), quadrants())


def test_one_bit_becomes_black_and_white(tmp_path: Path):
    black_above = np.zeros((32, 32), dtype=bool)
    black_above[16:] = True
    for ending in ("png", "bmp", "tif"):
        pixels = saved(Image.fromarray(black_above), tmp_path / f"image.{ending}")
        assert corners(pixels) == [(0, 0, 0), (0, 0, 0), (255, 255, 255), (255, 255, 255)]


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_sixteen_bits_of_grey_keep_their_high_byte(ending: str, tmp_path: Path):
    wide = np.zeros((32, 32), dtype=np.uint16)
    wide[:16, :16], wide[:16, 16:], wide[16:, :16], wide[16:, 16:] = 255, 256, 0x1234, 65535
    pixels = saved(Image.fromarray(wide), tmp_path / f"image.{ending}")
    assert corners(pixels) == [(0, 0, 0), (1, 1, 1), (0x12, 0x12, 0x12), (255, 255, 255)]


def test_sixteen_bits_of_a_pgm_keep_their_high_byte(tmp_path: Path):
    wide = np.array([[255, 256], [0x1234, 65535]], ">u2").repeat(16, 0).repeat(16, 1)
    (tmp_path / "image.pgm").write_bytes(b"P5 32 32 65535\n" + wide.tobytes())
    pixels = decode.read_rgb(str(tmp_path / "image.pgm"), size=32, resize="warp")
    assert corners(pixels) == [(0, 0, 0), (1, 1, 1), (0x12, 0x12, 0x12), (255, 255, 255)]


def tiff(samples: bytes, **tags: int) -> bytes:
    """A TIFF of 2 x 2 pixels of one sample each, uncompressed, with these tags too."""
    fields = {"width": 2, "height": 2, "bits": 16, "compression": 1, "white_is_zero": 1,
              "offset": 8, "per_pixel": 1, "rows": 2, "bytes": len(samples), **tags}  # fmt: skip
    numbers = {"width": 256, "height": 257, "bits": 258, "compression": 259, "white_is_zero": 262,
               "offset": 273, "per_pixel": 277, "rows": 278, "bytes": 279,
               "kind": 339}  # fmt: skip
    entries = b"".join(
        struct.pack("<HHII", numbers[name], 4, 1, value) for name, value in fields.items()
    )
    samples += bytes(len(samples) % 2)
    return (
        struct.pack("<2sHI", b"II", 42, 8 + len(samples)) + samples
        + struct.pack("<H", len(fields)) + entries + bytes(4)
    )  # fmt: skip


def greys(content: bytes) -> list[list[int]]:
    return decode.decode(content)[..., 0].tolist()


def test_a_tiff_of_sixteen_bits_in_which_white_is_zero_is_inverted():
    samples = np.array([0, 0x1234, 0x8000, 65535], "<u2").tobytes()
    assert greys(tiff(samples)) == [[0, 0x12], [0x80, 255]]
    assert greys(tiff(samples, white_is_zero=0)) == [[255, 0xED], [0x7F, 0]]


def test_a_tiff_of_twelve_bits_uses_the_whole_range():
    samples = bytes([0xFF, 0xF0, 0x00, 0x12, 0x38, 0x00])  # 0xFFF 0x000, 0x123 0x800
    assert greys(tiff(samples, bits=12)) == [[255, 0], [0x12, 0x80]]


@pytest.mark.parametrize(
    ("name", "levels"),
    [
        ("fractions", np.linspace(0, 1, 1024, dtype=np.float32)),
        ("grey levels as fractions", np.linspace(0, 255, 1024, dtype=np.float32)),
        ("no numbers", np.full(1024, np.nan, np.float32)),
        ("integers of 32 bits", np.arange(1024, dtype=np.int32)),
    ],
)
def test_grey_levels_without_a_known_white_are_refused(
    name: str, levels: np.ndarray, tmp_path: Path
):
    Image.fromarray(levels.reshape(32, 32)).save(tmp_path / "image.tif")
    with pytest.raises(ValueError, match=r"^its grey levels are 32-bit or signed numbers, of which "
                       r"black and white are unknown: convert it to 8 or 16 bits$"):  # fmt: skip
        decode.read_rgb(str(tmp_path / "image.tif"), size=32, resize="warp")


def test_signed_grey_levels_and_those_of_a_pfm_are_refused():
    signed = tiff(np.array([-1, 0, 1, 2], "<i2").tobytes(), kind=2)
    fractions = b"Pf\n2 2\n-1.0\n" + np.ones(4, "<f4").tobytes()
    for content in (signed, fractions):
        with pytest.raises(ValueError, match="black and white are unknown"):
            decode.decode(content)


def test_sixteen_bits_in_either_byte_order_are_the_same_picture():
    wide = np.array([[0, 0x1234], [0x8000, 65535]], dtype=np.uint16)
    little = Image.fromarray(wide)
    big = Image.frombytes("I;16B", (2, 2), wide.astype(">u2").tobytes())
    assert np.asarray(decode.to_rgb(little))[..., 0].tolist() == [[0, 0x12], [0x80, 255]]
    assert np.asarray(decode.to_rgb(big))[..., 0].tolist() == [[0, 0x12], [0x80, 255]]


@pytest.mark.parametrize(
    ("orientation", "expected"),
    [
        (1, [RED, GREEN, BLUE, YELLOW]),
        (2, [GREEN, RED, YELLOW, BLUE]),  # mirrored left to right
        (3, [YELLOW, BLUE, GREEN, RED]),  # upside down
        (4, [BLUE, YELLOW, RED, GREEN]),  # mirrored top to bottom
        (5, [RED, BLUE, GREEN, YELLOW]),  # rows and columns exchanged
        (6, [BLUE, RED, YELLOW, GREEN]),  # to be turned a quarter clockwise
        (7, [YELLOW, GREEN, BLUE, RED]),
        (8, [GREEN, YELLOW, RED, BLUE]),  # to be turned a quarter anticlockwise
    ],
)
def test_a_rotated_photograph_is_put_upright(orientation: int, expected: list, tmp_path: Path):
    exif = Image.Exif()
    exif[0x0112] = orientation
    for ending, tolerance in (("jpg", 6), ("png", 0)):
        path = tmp_path / f"image.{ending}"
        settings = {"quality": 95} if ending == "jpg" else {}
        pixels = saved(Image.fromarray(quadrants()), path, exif=exif, **settings)
        assert close(corners(pixels), expected, tolerance)


GARBAGE = [
    b"garbage",  # no header
    b"II*\x00",  # a header cut off
    b"II*\x00\xff\xff\xff\xff",  # that points beyond the end
    b"MM\x00*\x00\x00\x00\x08\xff\xff\x01\x12",  # with a list that is cut off
    b"MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x02\x00\x00\x00\x02r\x00\x00\x00",  # text
]


@pytest.mark.parametrize("exif", GARBAGE)
def test_a_picture_with_a_garbled_exif_block_is_read_as_it_lies(exif: bytes, tmp_path: Path):
    path = tmp_path / "image.png"
    pixels = saved(Image.fromarray(quadrants()), path, exif=exif)
    assert b"eXIf" + exif in path.read_bytes()
    assert np.array_equal(pixels, quadrants())


def stripes(height: int, width: int) -> Image.Image:
    """A fifth of red, three fifths of green, a fifth of blue along the longer side."""
    colours = np.repeat(np.array([RED, GREEN, GREEN, GREEN, BLUE], dtype=np.uint8), 20, axis=0)
    pixels = np.broadcast_to(colours, (20, 100, 3))
    image = Image.fromarray(np.ascontiguousarray(pixels))
    return image if width > height else image.transpose(Image.Transpose.ROTATE_270)


@pytest.mark.parametrize(("height", "width"), [(20, 100), (100, 20)])
def test_warp_keeps_all_of_the_picture_and_not_its_shape(height: int, width: int, tmp_path: Path):
    stripes(height, width).save(tmp_path / "image.png")
    pixels = decode.read_rgb(str(tmp_path / "image.png"), size=10, resize="warp")
    line = pixels[5] if width > height else pixels[:, 5]
    assert [tuple(p) for p in line[[0, 3, 5, 9]].tolist()] == [RED, GREEN, GREEN, BLUE]


@pytest.mark.parametrize(("height", "width"), [(20, 100), (100, 20)])
def test_crop_keeps_the_shape_and_the_centre_of_the_picture(
    height: int, width: int, tmp_path: Path
):
    stripes(height, width).save(tmp_path / "image.png")
    pixels = decode.read_rgb(str(tmp_path / "image.png"), size=10, resize="crop")
    assert pixels.shape == (10, 10, 3)
    assert np.array_equal(pixels, np.broadcast_to(np.array(GREEN, np.uint8), (10, 10, 3)))


@pytest.mark.parametrize(("height", "width"), [(20, 100), (100, 20)])
def test_side_keeps_the_shape_and_all_of_the_picture(height: int, width: int, tmp_path: Path):
    stripes(height, width).save(tmp_path / "image.png")
    pixels = decode.read_rgb(str(tmp_path / "image.png"), size=10, resize="side")
    assert pixels.shape == (height // 2, width // 2, 3)
    line = pixels[5] if width > height else pixels[:, 5]
    assert [tuple(p) for p in line[[0, 20, 30, 49]].tolist()] == [RED, GREEN, GREEN, BLUE]


def test_the_longer_side_is_rounded_down_as_torchvision_does():
    for height, width, size in ((375, 500, 256), (500, 333, 232), (71, 70, 47), (7, 7, 3)):
        given = np.zeros((height, width, 3), np.uint8)
        expected = transforms.Resize(size)(Image.fromarray(given))
        fitted = decode.fit(given, size=size, resize="side")
        assert fitted.shape == (expected.height, expected.width, 3)
    assert decode.fit(np.zeros((375, 500, 3), np.uint8), size=256, resize="side").shape[1] == 341


def test_an_image_of_the_right_size_is_not_touched(tmp_path: Path):
    noise = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "image.png")
    for resize in ("warp", "crop", "side"):
        pixels = decode.read_rgb(str(tmp_path / "image.png"), size=16, resize=resize)
        assert np.array_equal(pixels, noise)


def test_shrinking_averages_all_pixels(tmp_path: Path):
    board = np.indices((64, 64)).sum(axis=0) % 2 * np.uint8(200)
    Image.fromarray(board.astype(np.uint8)).save(tmp_path / "image.png")
    pixels = decode.read_rgb(str(tmp_path / "image.png"), size=8, resize="warp")
    assert np.abs(pixels.astype(int) - 100).max() <= 2  # not the 0 or 200 of single pixels


def test_an_empty_file_is_refused(tmp_path: Path):
    (tmp_path / "image.jpg").write_bytes(b"")
    with pytest.raises(OSError, match="the file is empty"):
        decode.read_rgb(str(tmp_path / "image.jpg"), size=8, resize="warp")


@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "bmp", "tif", "ppm"])
def test_a_file_that_was_cut_off_is_refused(ending: str, tmp_path: Path):
    path = tmp_path / f"image.{ending}"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises((OSError, ValueError, SyntaxError)):
        decode.read_rgb(str(path), size=8, resize="warp")


def test_a_file_that_is_not_an_image_is_refused(tmp_path: Path):
    (tmp_path / "image.jpg").write_text("<html>404 not found</html>")
    with pytest.raises(OSError, match="cannot identify image file"):
        decode.read_rgb(str(tmp_path / "image.jpg"), size=8, resize="warp")


def test_a_missing_file_is_refused(tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        decode.read_rgb(str(tmp_path / "image.jpg"), size=8, resize="warp")


def test_a_file_of_too_many_pixels_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    Image.fromarray(quadrants()).save(tmp_path / "image.png")
    monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", 511)  # Pillow raises from twice that on
    with pytest.raises(decode.UNREADABLE, match=r"^Image size \(1024 pixels\) exceeds limit"):
        decode.read_rgb(str(tmp_path / "image.png"), size=8, resize="warp")


def test_grey_is_the_luminance_that_pillow_computes():
    pixels = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    expected = np.asarray(Image.fromarray(pixels).convert("L"))
    assert np.array_equal(decode.to_grey(pixels), np.stack(3 * [expected], axis=2))
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]], np.uint8)
    assert decode.to_grey(colours)[:, 1].tolist() == [76, 150, 29, 255]


def test_arrays_are_resized_one_by_one():
    pixels = np.zeros((3, 8, 8, 3), dtype=np.uint8)
    pixels[1] = 90
    pixels[2, :, 4:] = (0, 0, 240)
    large = decode.resize_all(pixels, size=16)
    assert large.shape == (3, 16, 16, 3) and large.dtype == np.uint8
    assert large[0].max() == 0
    assert large[1].min() == large[1].max() == 90
    assert large[2, 3, [0, 15]].tolist() == [[0, 0, 0], [0, 0, 240]]


def test_an_array_is_resized_to_the_bits_of_a_file_with_the_same_pixels(tmp_path: Path):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    for number, image in enumerate(pixels):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    files = [decode.read_rgb(str(tmp_path / f"{n}.png"), size=31, resize="warp") for n in range(2)]
    assert np.array_equal(decode.resize_all(pixels, size=31), np.stack(files))


def test_arrays_of_the_right_size_are_not_copied():
    pixels = np.zeros((3, 8, 8, 3), dtype=np.uint8)
    assert decode.resize_all(pixels, size=8) is pixels


@pytest.mark.parametrize("resize", ["warp", "crop", "side"])
def test_a_resized_picture_lies_in_memory_as_it_is_read(resize: str):
    """Rows of pixels of three bytes: copied otherwise, each byte is gathered by itself."""
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    fitted = decode.fit(noise, size=24, resize=resize)
    assert fitted.flags["C_CONTIGUOUS"]
    assert fitted.strides == (fitted.shape[1] * 3, 3, 1)


# --- scales of the format -------------------------------------------------------------------------


def rectangle(mode: str = "RGB", **settings: object) -> bytes:
    """A smooth JPEG of 96 x 64 pixels, red grows to the right and green downwards."""
    across, down = np.meshgrid(np.linspace(0, 255, 96), np.linspace(0, 255, 64))
    pixels = np.stack([across, down, np.full_like(across, 60)], axis=2).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, "JPEG", quality=95, **settings)
    return file.getvalue()


@pytest.mark.parametrize(
    ("least", "shape"),
    [
        (0, (64, 96, 3)), (1, (8, 12, 3)), (8, (8, 12, 3)), (9, (16, 24, 3)), (16, (16, 24, 3)),
        (17, (24, 36, 3)), (24, (24, 36, 3)), (25, (32, 48, 3)), (32, (32, 48, 3)),
        (33, (64, 96, 3)), (64, (64, 96, 3)), (65, (64, 96, 3)), (500, (64, 96, 3)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_jpeg_is_decoded_at_the_smallest_scale_with_no_side_too_short(
    least: int, shape: tuple[int, ...], mode: str
):
    assert decode.decode(rectangle(mode), least=least).shape == shape


def test_a_scaled_picture_is_the_average_of_the_pixels():
    whole, scaled = decode.decode(rectangle()), decode.decode(rectangle(), least=16)
    blocks = whole.reshape(16, 4, 24, 4, 3).mean(axis=(1, 3))
    assert np.abs(blocks - scaled).max() < 4


def test_a_turned_jpeg_is_scaled_too():
    exif = Image.Exif()
    exif[decode.ORIENTATION] = 6
    content = rectangle(exif=exif.tobytes())
    assert decode.decode(content).shape == (96, 64, 3)
    assert decode.decode(content, least=16).shape == (24, 16, 3)


def test_what_pillow_decodes_is_decoded_in_full():
    assert decode.decode(rectangle("CMYK"), least=8).shape == (64, 96, 3)
    file = io.BytesIO()
    Image.new("RGB", (96, 64)).save(file, "PNG")
    assert decode.decode(file.getvalue(), least=8).shape == (64, 96, 3)


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("damage", damaged(photograph()))
def test_a_damaged_jpeg_is_refused_at_any_scale(mode: str, damage: str):
    with pytest.raises(ValueError):
        decode.decode(damaged(photograph(mode))[damage], least=12)


@pytest.mark.parametrize("resize", ["warp", "crop", "side"])
def test_a_scaled_file_is_resized_like_any_other(resize: str, tmp_path: Path):
    path = tmp_path / "image.jpg"
    path.write_bytes(rectangle())
    found = decode.read_rgb(str(path), size=15, resize=resize, decode="scaled")
    half = decode.decode(rectangle(), least=15)
    assert half.shape == (16, 24, 3)
    assert np.array_equal(found, decode.fit(half, size=15, resize=resize))
    exact = decode.read_rgb(str(path), size=15, resize=resize)
    assert 0 < np.abs(found.astype(int) - exact).max() < 12
    assert np.array_equal(exact, decode.fit(decode.decode(rectangle()), size=15, resize=resize))
