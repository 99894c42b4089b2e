"""Batches read ahead into reused buffers: order, how long a batch is good, and every ending."""

import threading
import time

import numpy as np
import pytest
import torch

from transferlab.data.ring import AHEAD, LIVE, Ring

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    assert [t.name for t in threading.enumerate() if t is not threading.main_thread()] == []


class Filler:
    """Fills the images of request k with the value k."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.fails_at = fails_at
        self.filled: list[int] = []
        self.addresses: list[int] = []
        self.threads: set[str] = set()

    def __call__(self, request: tuple[int, int], out: np.ndarray) -> dict:
        if request[0] == self.fails_at:
            raise ValueError("no more")
        self.threads.add(threading.current_thread().name)
        self.filled.append(request[0])
        self.addresses.append(out.__array_interface__["data"][0])
        out[:] = request[0]
        return {"pixels": torch.from_numpy(out), "number": request[0]}


def ring(filler: Filler, sizes: list[int], device: torch.device = CPU) -> Ring:
    return Ring(
        list(enumerate(sizes)), fill=filler, count=lambda request: request[1], crop=3, device=device
    )


def filled(filler: Filler, expected: list[int]) -> bool:
    """Whether these batches are filled, however long it takes, and then no others."""
    while len(filler.filled) < len(expected):
        time.sleep(0.001)
    time.sleep(0.05)  # for one batch too many
    return filler.filled == expected


def test_batches_come_in_order_each_of_its_own_size():
    batches = [
        (b["number"], tuple(b["pixels"].shape), b["pixels"].unique().tolist())
        for b in ring(Filler(), [4, 4, 2, 4])
    ]
    assert batches == [
        (0, (4, 3, 3, 3), [0]), (1, (4, 3, 3, 3), [1]), (2, (2, 3, 3, 3), [2]),
        (3, (4, 3, 3, 3), [3]),
    ]  # fmt: skip


def test_one_thread_of_its_own_fills_a_few_buffers_again_and_again():
    filler = Filler()
    list(ring(filler, 20 * [4]))
    assert len(filler.threads) == 1
    assert threading.current_thread().name not in filler.threads
    assert len(set(filler.addresses)) == LIVE + AHEAD == 4


def test_a_batch_is_valid_until_the_second_next_is_requested():
    previous = None
    for batch in ring(Filler(), 30 * [4]):
        time.sleep(0.002)  # for the thread to do what harm it can
        assert batch["pixels"].unique().tolist() == [batch["number"]]
        if previous is not None:
            assert previous["pixels"].unique().tolist() == [batch["number"] - 1]
        previous = batch


def test_it_reads_ahead_and_not_without_bounds():
    filler = Filler()
    batches = iter(ring(filler, 30 * [4]))
    next(batches)
    assert filled(filler, [0, 1, 2, 3])
    next(batches)
    assert filled(filler, [0, 1, 2, 3])  # the first may still be used
    next(batches)
    assert filled(filler, [0, 1, 2, 3, 4])
    batches.close()


def test_it_can_be_read_again_and_twice_at_once():
    both = ring(Filler(), 6 * [4])
    for first, second in zip(both, both, strict=True):
        assert first["number"] == second["number"]
        assert first["pixels"].data_ptr() != second["pixels"].data_ptr()


def test_nothing_at_all_is_no_batch():
    assert list(ring(Filler(), [])) == []


def test_an_error_is_raised_where_the_batches_are_read():
    batches = []
    with pytest.raises(ValueError, match="no more"):
        for batch in ring(Filler(fails_at=3), 9 * [4]):
            batches.append(batch["number"])
    assert batches == [0, 1, 2]


def test_a_reader_that_leaves_takes_the_thread_along():
    filler = Filler()
    for _ in ring(filler, 1000 * [4]):
        break
    assert len(filler.filled) <= 1 + LIVE + AHEAD
