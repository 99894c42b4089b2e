"""A mapped file: what of it is announced to the disk, and how."""

import errno
import mmap
import os
from pathlib import Path

import numpy as np
import pytest

from transferlab.data.datasets.mapped import Mapped

Advice = list[tuple[int, int]]


@pytest.fixture
def mapped(tmp_path: Path) -> Mapped:
    path = tmp_path / "bytes"
    path.write_bytes(bytes(1_000_000))
    return Mapped(path)


@pytest.fixture
def advice(monkeypatch: pytest.MonkeyPatch) -> Advice:
    """The parts of the file that are announced, first byte and size of each."""
    parts: Advice = []

    def advise(file: int, start: int, size: int, kind: int) -> None:
        assert kind == os.POSIX_FADV_WILLNEED
        parts.append((start, size))

    monkeypatch.setattr(os, "posix_fadvise", advise)
    return parts


def looked_at(monkeypatch: pytest.MonkeyPatch, *, missing: int | None) -> list[int]:
    """The places that are looked for in memory, where all but one are."""
    starts: list[int] = []

    def is_cached(self: Mapped, start: int) -> bool:
        starts.append(start)
        return start != missing

    monkeypatch.setattr(Mapped, "is_cached", is_cached)
    return starts


def fetch(mapped: Mapped, *parts: tuple[int, int]) -> None:
    mapped.fetch(*(np.array(numbers) for numbers in zip(*parts, strict=True)))


def test_a_batch_in_memory_is_not_announced(
    mapped: Mapped, advice: Advice, monkeypatch: pytest.MonkeyPatch
):
    looks = looked_at(monkeypatch, missing=None)
    fetch(mapped, (10, 1_100_000), (5_000_000, 900_000), (2_000_000, 1_200_000))
    assert looks == [10, 5_000_000, 2_000_000]
    assert advice == []


def test_all_of_a_batch_is_announced_if_one_of_its_images_is_not_in_memory(
    mapped: Mapped, advice: Advice, monkeypatch: pytest.MonkeyPatch
):
    looked_at(monkeypatch, missing=10)
    fetch(mapped, (10, 70_000), (500_000, 131_072), (200_000, 70_000))
    assert advice == [(10, 70_000), (500_000, 131_072), (200_000, 70_000)]


def test_no_announcement_is_longer_than_the_usual_readahead_to_which_it_would_be_cut(
    mapped: Mapped, advice: Advice, monkeypatch: pytest.MonkeyPatch
):
    looked_at(monkeypatch, missing=0)
    fetch(mapped, (0, 196_608), (600_000, 300_000))
    assert advice == [
        (0, 131_072), (131_072, 65_536),
        (600_000, 131_072), (731_072, 131_072), (862_144, 37_856),
    ]  # fmt: skip


def test_smaller_images_are_looked_for_once_in_a_million_bytes(
    mapped: Mapped, advice: Advice, monkeypatch: pytest.MonkeyPatch
):
    looks = looked_at(monkeypatch, missing=None)
    fetch(mapped, *((number * 196_608, 196_608) for number in range(14)))
    assert looks == [0, 5 * 196_608, 10 * 196_608]


def test_an_empty_batch_announces_nothing(mapped: Mapped, advice: Advice):
    mapped.fetch(np.empty(0, np.int64), np.empty(0, np.int64))
    assert advice == []


@pytest.mark.parametrize("error", [OSError(95, "not supported"), BlockingIOError(11, "not read")])
def test_what_the_system_does_not_find_in_memory_is_announced(
    mapped: Mapped, advice: Advice, monkeypatch: pytest.MonkeyPatch, error: OSError
):
    def preadv(*_: object) -> int:
        raise error

    monkeypatch.setattr(os, "preadv", preadv)
    fetch(mapped, (5, 10))
    assert advice == [(5, 10)]


def test_bytes_just_written_are_in_memory(mapped: Mapped, advice: Advice):
    try:
        os.preadv(mapped.file.fileno(), [bytearray(1)], 0, os.RWF_NOWAIT)
    except OSError as error:
        assert error.errno == errno.EOPNOTSUPP
        pytest.skip("the file system, as that of /dev/shm, does not say what is in memory")
    fetch(mapped, (0, 100_000), (900_000, 100_000))
    assert advice == []


def test_the_map_and_the_announcements_have_an_opening_each(
    mapped: Mapped, monkeypatch: pytest.MonkeyPatch
):
    """The position in the file belongs to an opening: copies of a descriptor share it."""
    copies: list[int] = []

    def copy(file: int, *_: object, **__: object) -> bytearray:  # as mmap does
        copies.append(os.dup(file))
        return bytearray(1)

    monkeypatch.setattr(mmap, "mmap", copy)
    again = Mapped(mapped.path)
    os.lseek(again.file.fileno(), 7, os.SEEK_SET)
    assert os.lseek(copies[0], 0, os.SEEK_CUR) == 0
    os.close(copies[0])
