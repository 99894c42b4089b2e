"""Training streams and validation sequences: the same batches from any step, rank and worker."""

import ctypes
import hashlib
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.trees import load_folder

from transferlab.data import ring, waiting
from transferlab.data.datasets import folder
from transferlab.data.datasets.images import ArraySubset
from transferlab.data.datasets.listing import Files
from transferlab.data.half import Half, View, cut
from transferlab.data.loader import Sequence, Stream, auto_workers, loader
from transferlab.data.sampling import Augmentation
from transferlab.data.workers import WorkerLost
from transferlab.errors import UserError

CPU = torch.device("cpu")
CLONE_NEWNS, MS_REC, MS_PRIVATE = 0x20000, 0x4000, 0x40000  # of Linux


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def view(count: int = 10) -> View:
    """Image i is full of the value 10 i and has label i % 3."""
    pixels = np.zeros((count, 8, 8, 3), dtype=np.uint8)
    pixels += (10 * np.arange(count, dtype=np.uint8))[:, None, None, None]
    labels = np.arange(count) % 3
    return View(ArraySubset(pixels, labels, "fake"), np.arange(count), labels, False)


PLAIN = Augmentation(mirror=True, pad=0, scales=None, pca=0.0, one_size=True)


def stream(count: int = 10, **settings) -> Stream:
    defaults: dict = dict(
        count=count, seed=0, start_step=0, total_steps=9, batch_size=4, reshuffle=True,
        rank=0, world_size=1,
    )  # fmt: skip
    vary = {f.name: settings.pop(f.name) for f in fields(Augmentation) if f.name in settings}
    return Stream(**(defaults | settings), augmentation=replace(PLAIN, **vary))


def batches(view: View, requests, workers: int = 0, crop: int = 5) -> list[dict]:
    """The batches, copied: the buffers are used again."""
    read = loader(view, requests, crop=crop, workers=workers, device=CPU)
    return [batch | {"pixels": batch["pixels"].clone()} for batch in read]


def same(first: list[dict], second: list[dict]) -> bool:
    return len(first) == len(second) and all(
        a.keys() == b.keys()
        and all(a[k] == b[k] if k == "skipped" else np.array_equal(a[k], b[k]) for k in a)
        for a, b in zip(first, second, strict=True)
    )


def values(batch: dict) -> list[int]:
    return (batch["pixels"][:, 0, 0, 0] // 10).tolist()


def folder_half(root: Path, broken: tuple[str, ...] = (), skip: bool = False) -> Half:
    """Two classes with five images each and two of each for validation."""
    noise = np.random.default_rng(0)
    for subset, count in (("train", 5), ("val", 2)):
        for name in ("ant", "bee"):
            (root / subset / name).mkdir(parents=True)
            for index in range(count):
                pixels = noise.integers(0, 256, (8, 8, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / subset / name / f"{index}.png")
    for name in broken:
        (root / name).write_bytes(b"")
    folder.scan.cache_clear()
    images = load_folder(root, size=8)
    return cut(images, ("bee", "ant"), per_class=None, skip_unreadable=skip)


def test_a_training_batch_is_bytes_labels_corners_and_flips():
    batch = batches(view(), stream())[0]
    assert sorted(batch) == ["corners", "flips", "indices", "labels", "pixels", "rows", "skipped"]
    assert batch["pixels"].shape == (4, 5, 5, 3) and batch["pixels"].dtype == torch.uint8
    assert batch["labels"].dtype == torch.int64
    assert batch["corners"].shape == (4, 2) and batch["flips"].dtype == torch.bool
    assert batch["skipped"] == {}


def test_the_first_batches_are_the_golden_ones():
    first, _, third = batches(view(), stream())[:3]
    assert values(first) == [0, 1, 9, 4]
    assert first["labels"].tolist() == [0, 1, 0, 1]
    assert values(third) == [7, 5, 2, 1]  # across the end of the epoch
    assert first["corners"].max() <= 2


def test_a_stream_gives_the_batches_of_its_steps_and_no_more():
    assert len(batches(view(), stream())) == 9
    assert len(batches(view(), stream(start_step=7))) == 2
    assert batches(view(), stream(start_step=9)) == []


@pytest.mark.parametrize("start", [1, 4, 8])
def test_a_stream_that_starts_later_gives_the_same_batches(start: int):
    assert same(batches(view(), stream())[start:], batches(view(), stream(start_step=start)))


def test_a_stream_can_be_read_again():
    requests = loader(view(), stream(), crop=6, workers=0, device=CPU)
    first, second = ([values(batch) for batch in requests] for _ in range(2))
    assert first == second and len(first) == 9


class OnDisk(ArraySubset):
    """Notes the positions that are announced, and those that are read in this process."""

    def announce(self, positions: np.ndarray) -> None:
        self.events.append(("announce", positions.tolist()))

    def read(self, positions, out, crops):
        self.events.append(("read", positions.tolist()))
        return super().read(positions, out, crops)

    @property
    def events(self) -> list[tuple[str, list[int]]]:
        return self.__dict__.setdefault("noted", [])


def on_disk(count: int = 10) -> View:
    images = view(count)
    return replace(images, subset=OnDisk(images.subset.pixels, images.labels, "disk"))


def test_the_next_batch_is_announced_before_one_is_read():
    images = on_disk()
    batches(images, Sequence(10, 4))
    assert images.subset.events == [
        ("announce", [0, 1, 2, 3]),
        ("announce", [4, 5, 6, 7]),
        ("read", [0, 1, 2, 3]),
        ("announce", [8, 9]),
        ("read", [4, 5, 6, 7]),
        ("read", [8, 9]),
    ]


def test_batches_of_workers_are_announced_by_the_process_that_hands_them_out():
    images = on_disk()
    batches(images, Sequence(10, 4), workers=2)
    assert images.subset.events == [
        ("announce", [0, 1, 2, 3]),
        ("announce", [4, 5, 6, 7]),
        ("announce", [8, 9]),
    ]


@pytest.mark.parametrize("world_size", [2, 3])
def test_ranks_share_out_the_global_batch(world_size: int):
    whole = batches(view(), stream(batch_size=6))
    parts = [
        batches(view(), stream(batch_size=6, rank=rank, world_size=world_size))
        for rank in range(world_size)
    ]
    for step in range(9):
        share = [part[step] for part in parts]
        assert [len(batch["labels"]) for batch in share] == world_size * [6 // world_size]
        for key in ("pixels", "labels", "corners", "flips"):
            together = torch.empty_like(whole[step][key])
            for rank, batch in enumerate(share):
                together[rank::world_size] = batch[key]
            assert torch.equal(together, whole[step][key])


def test_reshuffle_mirror_and_seed_reach_the_order():
    repeated = batches(view(), stream(reshuffle=False, batch_size=5))
    assert values(repeated[0]) == values(repeated[2]) == [0, 1, 9, 4, 2]
    assert not torch.equal(repeated[0]["corners"], repeated[2]["corners"])
    assert not any(batch["flips"].any() for batch in batches(view(), stream(mirror=False)))
    assert any(batch["flips"].any() for batch in batches(view(), stream()))
    assert not any(batch["corners"].any() for batch in batches(view(), stream(), crop=8))
    assert values(batches(view(), stream(seed=1))[0]) == [1, 6, 5, 4]


def test_all_that_varies_is_the_same_with_workers_and_shared_out_by_ranks(tmp_path: Path):
    noise, labels = np.random.default_rng(0), np.zeros(10, np.int64)
    paths = [tmp_path / f"{number}.png" for number in range(10)]
    for number, path in enumerate(paths):
        pixels = noise.integers(0, 256, (8 + number, 12, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    files = Files(tmp_path, np.array([os.fsencode(path.name) for path in paths]), labels, labels)
    subset = folder.FileSubset("train", files, 8, "side", "exact")
    rectangles = View(subset, np.arange(10), labels, False, grey=True)
    settings = {"scales": (6, 9), "pca": 0.1, "one_size": False, "batch_size": 6}
    whole = batches(rectangles, stream(**settings))
    assert sorted(whole[0]) == ["alphas", "flips", "indices", "labels", "pixels", "rows", "skipped"]
    assert np.ptp(whole[0]["pixels"].numpy(), axis=3).max() == 0
    assert same(batches(rectangles, stream(**settings), workers=2), whole)
    assert same(batches(rectangles, stream(**settings, start_step=4)), whole[4:])
    parts = [batches(rectangles, stream(**settings, rank=rank, world_size=2)) for rank in range(2)]
    for step, batch in enumerate(whole):
        for key in ("pixels", "alphas", "flips"):
            for rank in range(2):
                assert torch.equal(parts[rank][step][key], batch[key][rank::2])


def test_workers_give_the_same_batches_in_the_same_order(tmp_path: Path):
    half = folder_half(tmp_path)
    alone = batches(half.train, stream())
    assert same(alone, batches(half.train, stream(), workers=2))
    assert len(alone) == 9 and alone[0]["pixels"].float().std() > 50
    held = Sequence(len(half.val), 3)
    assert same(batches(half.val, held), batches(half.val, held, workers=2))


def test_validation_reads_every_image_once_in_order():
    received = batches(view(), Sequence(10, 4))
    assert [values(batch) for batch in received] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert sorted(received[0]) == ["indices", "labels", "pixels", "rows", "skipped"]
    assert received[2]["labels"].tolist() == [2, 0]


@pytest.mark.parametrize("world_size", [2, 3])
def test_validation_reads_every_image_once_over_all_ranks(world_size: int):
    parts = [
        [v for batch in batches(view(), Sequence(10, 4, rank, world_size)) for v in values(batch)]
        for rank in range(world_size)
    ]
    assert sorted(v for part in parts for v in part) == list(range(10))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_a_skipped_file_is_named_and_replaced_in_training(tmp_path: Path):
    half = folder_half(tmp_path, broken=("train/ant/2.png",), skip=True)
    for workers in (0, 2):
        received = batches(half.train, stream(batch_size=5, total_steps=4), workers=workers)
        assert [len(batch["labels"]) for batch in received] == [5, 5, 5, 5]
        named = [name for batch in received for name in batch["skipped"]]
        assert named == 2 * ["train/ant/2.png"]  # once in each of two epochs


def test_a_skipped_file_is_named_and_left_out_of_validation(tmp_path: Path):
    half = folder_half(tmp_path, broken=("val/bee/0.png", "val/bee/1.png"), skip=True)
    received = batches(half.val, Sequence(4, 3))
    assert [batch["labels"].tolist() for batch in received] == [[1, 1], []]
    assert [len(batch["skipped"]) for batch in received] == [1, 1]
    assert received[0]["skipped"] == {"val/bee/0.png": hashlib.sha256(b"").hexdigest()}


@pytest.mark.parametrize("workers", [0, 2])
def test_an_unreadable_file_ends_the_reading_with_its_name_and_no_trace(
    workers: int, tmp_path: Path
):
    half = folder_half(tmp_path, broken=("val/bee/1.png",))
    with pytest.raises(UserError) as error:
        batches(half.val, Sequence(4, 3), workers=workers)
    assert str(error.value) == (
        f"{tmp_path}/val/bee/1.png cannot be read: the file is empty; repair or delete it, or "
        "leave such files out with data.unreadable=skip"
    )


def test_images_in_memory_take_no_workers_and_files_one_for_each_core_but_one(tmp_path: Path):
    files = folder_half(tmp_path).train
    assert auto_workers(view(), cores=8, resized=False) == 0
    assert auto_workers(view(), cores=8, resized=True) == 7
    assert [auto_workers(files, cores=cores, resized=False) for cores in (1, 2, 8, 64)] == [
        0,
        1,
        7,
        16,
    ]


def test_the_batches_have_the_labels_of_the_half(tmp_path: Path):
    received = batches(folder_half(tmp_path).val, Sequence(4, 4))
    assert received[0]["labels"].tolist() == [1, 1, 0, 0]


# --- worker processes ------------------------------------------------------------------------


def in_a_container(function: Callable[[], object]) -> int:
    """The exit status of a process without space in /dev/shm that calls a function, 0 if it is
    true."""
    process = os.fork()
    if process == 0:
        try:
            libc = ctypes.CDLL(None, use_errno=True)
            assert libc.unshare(CLONE_NEWNS) == 0, os.strerror(ctypes.get_errno())
            assert libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None) == 0
            assert libc.mount(b"tmpfs", b"/dev/shm", b"tmpfs", 0, b"size=4k") == 0
            (Path("/dev/shm") / "full").write_bytes(bytes(4096))
            os._exit(0 if function() else 3)
        finally:
            os._exit(4)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


@pytest.mark.root
def test_workers_need_neither_space_in_shared_memory_nor_a_short_folder_for_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    half = folder_half(tmp_path)
    alone = batches(half.train, stream())
    long = tmp_path / "/".join(3 * ["a-long-name-of-a-folder" * 3])  # sockets: 107 characters
    long.mkdir(parents=True)
    monkeypatch.setattr(tempfile, "tempdir", str(long))

    assert in_a_container(lambda: same(alone, batches(half.train, stream(), workers=2))) == 0


def children() -> list[int]:
    """The processes that this one has forked and not waited for."""
    path = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    return [int(word) for word in path.read_text().split()]


@pytest.fixture
def no_child_is_left():
    before = children()
    yield
    assert children() == before


def test_a_killed_worker_is_noticed_and_named_with_the_ways_out(
    tmp_path: Path, no_child_is_left: None
):
    before = children()
    with loader(
        folder_half(tmp_path).train, stream(total_steps=99), crop=6, workers=2, device=CPU
    ) as read:
        reading = iter(read)
        next(reading)
        os.kill((set(children()) - set(before)).pop(), signal.SIGKILL)
        start = time.monotonic()
        with pytest.raises(WorkerLost) as error:
            list(reading)

    assert time.monotonic() - start < 5
    assert str(error.value) == (
        "a worker process was killed, perhaps because memory ran out: set runtime.workers=0 or "
        "runtime.workers=1, and run the command again"
    )


@pytest.mark.parametrize("workers", [0, 2])
def test_a_reader_that_leaves_takes_thread_and_workers_along(
    workers: int, tmp_path: Path, no_child_is_left: None
):
    before = threading.active_count()
    with loader(folder_half(tmp_path).train, stream(), crop=6, workers=workers, device=CPU) as read:
        for _ in read:
            break
        assert threading.active_count() == before + 1

    assert threading.active_count() == before


def test_memory_that_the_system_refuses_is_named(tmp_path: Path, no_child_is_left: None):
    huge = Sequence(2**50, 2**50)
    with loader(folder_half(tmp_path).train, huge, crop=6, workers=2, device=CPU) as read:
        with pytest.raises(WorkerLost, match=r"GB of memory.*runtime\.workers=0"):
            next(iter(read))


@pytest.mark.parametrize("workers", [0, 2])
def test_while_a_batch_is_awaited_the_reader_is_asked_and_may_leave(
    workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_child_is_left: None
):
    monkeypatch.setattr(waiting, "SLICE_S", 0.02)
    answered = threading.Event()
    monkeypatch.setattr(folder.FileSubset, "read", lambda *_: answered.wait(60))  # a hung disk
    monkeypatch.setattr(ring, "LEAVE_S", 0.1)
    waits: list[float] = []

    def check(waited: float) -> None:
        waits.append(waited)
        if waited > 0.1:
            raise UserError("enough")

    half, threads = folder_half(tmp_path), set(threading.enumerate())
    start = time.monotonic()
    with loader(half.train, stream(), crop=6, workers=workers, device=CPU, check=check) as read:
        with pytest.raises(UserError, match="enough"):
            next(iter(read))

    assert time.monotonic() - start < 5
    assert len(waits) >= 3 and waits == sorted(waits)
    answered.set()
    for thread in set(threading.enumerate()) - threads:
        thread.join()
