"""Verification of prepared data: damage that does not change the length of a file."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.trees import JPEG, RAW, prepare, spoil, tree

from transferlab.data.datasets.prepared_record import IMAGES, Pixels, read_record
from transferlab.data.prepare import chunks, verify
from transferlab.errors import UserError

# The worker processes resize with torch
pytestmark = pytest.mark.usefixtures("needs_torch")

BOTH = pytest.mark.parametrize("pixels", [RAW, JPEG], ids=["raw", "jpeg"])


@pytest.fixture(autouse=True)
def chunks_of_four(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(chunks, "CHUNK", 4)


@pytest.fixture
def make(tmp_path: Path) -> Callable[[Pixels], Path]:
    """Prepares 16 training and 7 validation images, three of which cannot be read."""

    def made(pixels: Pixels) -> Path:
        root = tree(tmp_path / "images")
        spoil(root)
        prepare(root, tmp_path / "made", pixels, skip=True)
        return tmp_path / "made"

    return made


def damage(folder: Path) -> tuple[str, ...]:
    return verify.verify(folder).damage


def flip(path: Path, at: int) -> None:
    """Change a bit of the byte at `at`."""
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def middle(images: Path, number: int) -> int:
    """A byte of an image in the file."""
    if images.name == "images.u8":
        return int(np.load(images.with_name("slots.npy"))[number]) * 8 * 8 * 3 + 96
    start, size = np.load(images.with_name("spans.npy"))[number].tolist()
    return int(start + size // 2)


def change(path: Path, edit: Callable[[np.ndarray], object]) -> None:
    array = np.load(path)
    edit(array)
    np.save(path, array)


@BOTH
def test_prepared_data_are_undamaged_and_so_is_a_copy(
    make: Callable[[Pixels], Path], pixels: Pixels
):
    folder = make(pixels)
    checked = verify.verify(folder)
    assert checked.damage == ()
    assert checked.record == read_record(folder)
    assert damage(folder.rename(folder.with_name("copy"))) == ()


@BOTH
def test_every_bit_of_the_images_counts_and_those_around_it_are_named(
    make: Callable[[Pixels], Path], pixels: Pixels
):
    folder = make(pixels)
    path = folder / "train" / IMAGES[pixels.codec]
    flip(path, middle(path, 13))
    assert damage(folder) == ("train: 4 images, cat/0.png to cat/3.png",)
    flip(path, middle(path, 0))
    # Ant/1.png, the second, is one of those that could not be read
    first = "train: 3 images, Ant/0.png to Ant/3.png"
    assert damage(folder) == (first, "train: 4 images, cat/0.png to cat/3.png")
    flip(path, middle(path, 13))
    assert damage(folder) == (first,)
    flip(path, middle(path, 0))
    assert damage(folder) == ()
    held = folder / "val" / IMAGES[pixels.codec]
    flip(held, middle(held, 0))
    assert damage(folder) == ("val: 4 images, Ant/0.png to bee/1.png",)


def test_jpegs_that_lie_elsewhere_are_damage(make: Callable[[Pixels], Path]):
    folder = make(JPEG)
    path = folder / "train" / "spans.npy"
    swapped, moved = np.load(path), np.load(path)
    swapped[[4, 5]] = swapped[[5, 4]]
    moved[5, 0] -= 1
    for spans in (swapped, moved):
        np.save(path, spans)
        assert damage(folder) == ("train: 3 images, Ant/4.png to bee/2.png",)


@BOTH
@pytest.mark.parametrize("name", ["labels.npy", "prepared.json"])
def test_labels_and_record_are_verified_too(
    make: Callable[[Pixels], Path], pixels: Pixels, name: str
):
    folder = make(pixels)
    if name == "labels.npy":
        change(folder / "train" / name, lambda labels: labels.put(0, 1))
    else:
        record = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps(record | {"classes": ["Ant", "bee", "dog"]}))
    assert damage(folder) == ("prepared.json or the labels do not belong to the images",)


def test_slots_that_lead_to_other_images_are_damage(make: Callable[[Pixels], Path]):
    folder = make(RAW)
    change(folder / "train" / "slots.npy", lambda slots: slots.put(0, 1))  # the black one
    assert damage(folder) == ("prepared.json or the labels do not belong to the images",)


def test_digests_that_are_damaged_or_missing_are_damage(make: Callable[[Pixels], Path]):
    folder = make(RAW)
    path = folder / "val" / "digests.npy"
    change(path, lambda digests: digests.put(33, digests.flat[33] ^ 1))
    assert damage(folder) == ("val: 2 images, bee/2.png to cat/0.png",)
    np.save(path, np.load(path)[:1])
    with pytest.raises(UserError, match="digests.npy is damaged .uint8 of shape .1, 32."):
        damage(folder)
    path.unlink()
    with pytest.raises(UserError, match="digests.npy is damaged .No such file or directory."):
        damage(folder)


@BOTH
def test_it_reads_an_image_at_a_time(
    make: Callable[[Pixels], Path], pixels: Pixels, monkeypatch: pytest.MonkeyPatch
):
    """The system reads 2 GiB at once and no more, which a chunk of large images exceeds."""
    folder, read = make(pixels), verify.os.pread
    most = 8 * 8 * 3 if pixels is RAW else 1000
    monkeypatch.setattr(
        verify.os, "pread", lambda f, count, start: read(f, min(count, most), start)
    )
    assert damage(folder) == ()


def test_a_file_that_is_cut_off_is_refused(make: Callable[[Pixels], Path]):
    folder = make(JPEG)
    path = folder / "train" / "images.jpegs"
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match=f"it has {size - 1} bytes, not {size}"):
        damage(folder)


def test_a_place_that_the_disk_cannot_read_is_damage_and_no_crash(
    make: Callable[[Pixels], Path], monkeypatch: pytest.MonkeyPatch
):
    folder, read = make(RAW), verify.os.pread

    def pread(file: int, count: int, start: int) -> bytes:
        if start == 4 * 8 * 8 * 3:
            raise OSError(5, "Input/output error")
        return read(file, count, start)

    monkeypatch.setattr(verify.os, "pread", pread)
    assert damage(folder) == (
        "train: 3 images, Ant/4.png to bee/2.png",
        "val: 2 images, bee/2.png to cat/0.png",
    )
