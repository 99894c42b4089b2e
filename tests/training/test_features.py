"""Features that are kept have the bits of those that are computed, or are not kept."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.stopping import stop_after
from torch import Tensor

from transferlab import store
from transferlab.experiment.config import RunConfig
from transferlab.experiment.resolve import resolve, resolve_all
from transferlab.experiment.run import Run
from transferlab.launch import inline
from transferlab.runtime import machine, signals
from transferlab.training import build
from transferlab.training.features import Compute, Features, Limit, exact_sizes
from transferlab.training.module import TransferModule
from transferlab.training.run import train_pack

# 100 images, eight epochs of them with mirroring, and three validations
SHORT = ("+split=random", "data.size=16", "data.crop=16", "data.per_class=20", "train.mirror=true",
         "train.epochs=null", "train.total_steps=24", "train.val_every=8")  # fmt: skip
VARIANTS = ("A2B", "A5B", "R3B", "A5B+")


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def passed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images were passed through frozen stages, a number a call."""
    seen: list[int] = []
    compute = TransferModule.prefix_features

    def counted(module: TransferModule, x: Tensor, cuts: Iterable[int]) -> dict[int, Tensor]:
        seen.append(len(x))
        return compute(module, x, cuts)

    monkeypatch.setattr(TransferModule, "prefix_features", counted)
    return seen


def train(runs: Sequence[Run]) -> None:
    with signals.watch() as stop:
        train_pack(runs, stop)


def test_kept_features_give_the_bits_of_computed_ones_also_after_a_resume(
    config: Callable[..., RunConfig], passed: list[int], tmp_path: Path
):
    def pack(name: str, *more: str) -> list[Run]:
        own = (*SHORT, f"runtime.store={tmp_path / name}")
        inline.carry_out([resolve(config(*own, "transfer.variant=baseA"))])
        return list(resolve_all(config(*own, *more, f"transfer.variant={v}") for v in VARIANTS))

    computed, kept = pack("computed", "runtime.features_gb=0"), pack("kept")
    train(computed)
    without = sum(passed)
    passed.clear()
    with stop_after(11):
        train(kept)
    train(kept)

    for one, other in zip(kept, computed, strict=True):
        records = [store.read_result(run) for run in (one, other)]
        found = [(r["weights_sha256"], r["metrics"]) for r in records if r is not None]
        assert found[0] == found[1]
    # Of the base and of random filters: 24 steps of 32 images, three validations of 179
    assert without == 2 * (24 * 32 + 3 * 179)
    assert sum(passed) < 0.8 * without


# --- what is kept -------------------------------------------------------------------------------


class Passes:
    """Two stages: the sum of each pixel with its right neighbour, and half of the first channel."""

    def __init__(self, spoil: Callable[[Tensor], Tensor] = lambda x: x) -> None:
        self.sizes: list[int] = []
        self.spoil = spoil

    def __call__(self, x: Tensor, cuts: Iterable[int]) -> dict[int, Tensor]:
        self.sizes.append(len(x))
        first = self.spoil(x + x.roll(1, -1))
        return {cut: first if cut == 1 else first[:, 0] / 2 for cut in cuts}


def images(numbers: Iterable[int]) -> Tensor:
    """Images (B, 3, 2, 2) whose channels lie last, each with values of its own."""
    own = torch.tensor(list(numbers), dtype=torch.float32).reshape(-1, 1, 1, 1)
    x = own + torch.arange(12.0).reshape(1, 3, 2, 2) / 16
    return x.contiguous(memory_format=torch.channels_last)


def take(kept: Features, compute: Compute, rows: Sequence[int]) -> dict[int, Tensor]:
    """The features of the images of these numbers; they must be those that are computed."""
    found = kept.take("a", [1, 2], images(rows), np.array(rows), compute)
    expected = Passes()(images(rows), [1, 2])
    for cut in (1, 2):
        assert torch.equal(found[cut], expected[cut])
        assert found[cut].stride() == expected[cut].stride()  # which decides how kernels compute
    return found


def test_only_views_that_were_not_seen_are_passed_in_parts_of_a_batch():
    kept, compute = Features(16, Limit(10**6), recurring=False), Passes()
    take(kept, compute, range(8))
    assert compute.sizes == [8, 8, 2, 4, 6]  # then in reverse order, and parts
    compute.sizes.clear()

    take(kept, compute, (7, 3, 5, 1, 0, 2, 6, 4))
    assert compute.sizes == []
    take(kept, compute, (8, 0, 9, 1, 10, 2, 3, 4))
    assert compute.sizes == [4]  # three, and one more
    take(kept, compute, (10, 9, 8, 7, 6, 5, 4, 3))
    take(kept, compute, (0, 15, 14, 13, 12, 11, 1, 10))
    take(kept, compute, range(8, 16))
    assert compute.sizes == [4, 6]


def by_place(x: Tensor) -> Tensor:
    return x + torch.arange(len(x)).reshape(-1, 1, 1, 1) / 2**20


def by_size(x: Tensor) -> Tensor:
    return x + (len(x) == 4) / 2**20


def test_where_the_bits_depend_on_the_place_nothing_is_kept_but_of_batches_that_recur():
    x = images(range(8))
    for spoil, sizes in ((by_place, []), (by_size, [2, 6, 8])):
        compute = Passes(spoil)
        assert exact_sizes(x, compute(x, [1, 2]), compute) == sizes

    for recurring, calls in ((False, 3), (True, 1)):
        kept, compute = Features(8, Limit(10**6), recurring=recurring), Passes(by_place)
        for _ in range(2):
            kept.take("a", [1, 2], x, np.arange(8), compute)
        assert len(compute.sizes) == calls


@pytest.mark.parametrize(
    ("room", "computed"),
    [
        (16 * 4 * (12 + 4), []),  # twelve values of the first stage and four of the second
        (16 * 4 * (12 + 4) - 1, [[1]]),
        (16 * 4 * 4 - 1, [[1, 2]]),
    ],
)
def test_the_deepest_cuts_are_kept_that_there_is_room_for(room: int, computed: list[list[int]]):
    kept, passes = Features(16, Limit(room), recurring=False), Passes()
    take(kept, passes, range(8))
    asked: list[list[int]] = []

    def compute(x: Tensor, cuts: Iterable[int]) -> dict[int, Tensor]:
        asked.append(sorted(cuts))
        return passes(x, cuts)

    take(kept, compute, (7, 6, 5, 4, 3, 2, 1, 0))

    assert asked == computed


def test_memory_that_other_processes_have_taken_meanwhile_is_left_to_them():
    free = iter([1000, 199, 0])
    limit = Limit(500, lambda: next(free))

    assert [limit.take(200), limit.take(200)] == [True, False]
    assert limit.left == 300
    assert not limit.take(301)  # more than is left, whatever is free
    assert next(free) == 0


def test_packs_that_begin_together_leave_half_of_the_memory(
    config: Callable[..., RunConfig], passed: list[int], monkeypatch: pytest.MonkeyPatch
):
    inline.carry_out([resolve(config(*SHORT, "transfer.variant=baseA"))])
    passed.clear()
    free = [40 * 10**9]
    begin = build.features

    def begun(*args: Any, **settings: Any) -> Mapping[str, Features]:
        features = begin(*args, **settings)
        free[0] = 19 * 10**9  # another pack has taken what it keeps
        return features

    monkeypatch.setattr(machine, "free_bytes", lambda: free[0])
    monkeypatch.setattr(build, "features", begun)

    train([resolve(config(*SHORT, "transfer.variant=A2B"))])

    # All of 24 steps and three validations, and the first batch in reverse order and in parts
    assert sum(passed) == 24 * 32 + 3 * 179 + (32 + 8 + 16 + 24)
