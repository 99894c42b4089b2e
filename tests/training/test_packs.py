"""Packs on one stream of images: what is read once, and what happens when memory is too small."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from transferlab import store
from transferlab.data.datasets.folder import FileSubset
from transferlab.errors import RunFailed, UserError
from transferlab.experiment import compose
from transferlab.experiment.build import build_config, vary_config
from transferlab.experiment.config import RunConfig
from transferlab.experiment.resolve import resolve
from transferlab.experiment.run import Run, make_run
from transferlab.launch import inline
from transferlab.runtime import devices, machine, processes
from transferlab.runtime.signals import StopRequest
from transferlab.store import schemas
from transferlab.training import packs
from transferlab.training.checkpoints import load
from transferlab.training.pack_module import PackModule
from transferlab.training.run import check

Compose = Callable[..., RunConfig]
SHORT = (
    "+split=random", "data.size=16", "data.crop=16", "train.epochs=null", "train.total_steps=12",
    "train.val_every=4", "train.batch_size=8", "train.val_batch_size=32", "runtime.threads=1",
    "transfer.variant=RnB",
)  # fmt: skip
CUTS = (1, 3, 5)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The digests of the weights of R1B, R3B and R5B when each is trained alone."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("alone")
    folders = [f"runtime.store={folder}/runs", f"runtime.cache={folder}/cache"]
    runs = [
        resolve(build_config(compose.compose("config", [*SHORT, *folders, f"transfer.n={n}"])))
        for n in CUTS
    ]
    return {o.run.label: o.result["weights_sha256"] for o in inline.carry_out(runs)}


@pytest.fixture
def pack(config: Compose) -> list[Run]:
    """R1B, R3B and R5B, not yet trained."""
    torch.set_num_threads(1)
    return [resolve(config(*SHORT, f"transfer.n={n}")) for n in CUTS]


def train(runs: list[Run]) -> None:
    inline.train(runs, StopRequest())


def results(runs: list[Run]) -> dict[str, dict[str, Any] | None]:
    return {each.label: store.read_result(each) for each in runs}


def digests(runs: list[Run]) -> dict[str, str]:
    return {name: r["weights_sha256"] for name, r in results(runs).items() if r is not None}


# --- one stream ---------------------------------------------------------------------------------


@pytest.mark.parametrize("cuts", [[3], [1, 2, 3, 4, 5, 6, 7]])
def test_every_image_is_read_once_a_step_however_many_networks_there_are(
    config: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cuts: list[int]
):
    for number in range(40):
        for subset in ("train", "val"):
            path = tmp_path / subset / "abcd"[number % 4] / f"{number:02}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (16, 16), (60 * (number % 4), number, 9)).save(path)
    read: list[int] = []
    original = FileSubset.read

    def count(self: FileSubset, positions: np.ndarray, *arguments: Any, **more: Any) -> Any:
        read.append(len(positions))
        return original(self, positions, *arguments, **more)

    monkeypatch.setattr(FileSubset, "read", count)
    runs = [
        resolve(config(
            "+split=random", "data=image_folder", f"data.root={tmp_path}", "data.size=16",
            "data.crop=16", "data.mean=none", "transfer.variant=RnB", f"transfer.n={n}",
            "train.batch_size=4", "train.epochs=null", "train.total_steps=6", "train.val_every=3",
            "runtime.workers=0", "runtime.threads=1",
        ))
        for n in cuts
    ]  # fmt: skip

    train(runs)

    assert len(digests(runs)) == len(cuts)
    # Six steps of four, and after every third of them the 20 images of half B's val
    assert sorted(read) == [4] * 6 + [20] * 2


# --- memory -------------------------------------------------------------------------------------


def test_a_pack_that_does_not_fit_is_trained_in_parts_and_gives_the_same_bits(
    pack: list[Run], alone: dict[str, str], caplog: pytest.LogCaptureFixture
):
    small = [vary(each, 1.02) for each in pack]

    with caplog.at_level(logging.INFO):
        train(small)

    assert digests(pack) == alone
    sizes = {name: r["pack_size"] for name, r in results(pack).items() if r is not None}
    assert sizes == {"R1B": 2, "R3B": 2, "R5B": 1}
    message = (
        "3 runs together need 1.03 GB of 1.02 GB: they are trained in 2 parts, one after another"
    )
    assert message in caplog.messages
    assert message in pack[0].log_file.read_text()


def test_a_pack_that_fits_is_trained_as_one(pack: list[Run], alone: dict[str, str]):
    train([vary(each, 1.2) for each in pack])

    assert digests(pack) == alone
    assert [r["pack_size"] for r in results(pack).values() if r is not None] == [3, 3, 3]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"train.batch_size": 1_000_000},
            "R1B needs 83.0 GB of memory with train.batch_size=1000000, and 16.0 GB are free: set "
            "a lower train.batch_size, or use a machine with more memory; runtime.memory_gb=83 "
            "overrules this estimate",
        ),
        (
            {"train.batch_size": 1_000_000, "runtime.devices": 2},
            "each of the 2 processes of R1B needs 41.5 GB of memory with "
            "train.batch_size=1000000, and 8.0 GB are free: ",
        ),
        ({"train.val_batch_size": 2_000_000}, "with train.val_batch_size=2000000, and 16.0 GB"),
        ({"train.batch_size": 1_000_000, "runtime.memory_gb": 50}, ", and 50.0 GB are free"),
    ],
)
def test_a_batch_that_is_larger_than_the_memory_is_refused_before_anything_is_made(
    pack: list[Run], monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], message: str
):
    monkeypatch.setattr(machine, "free_bytes", lambda: 16_000_000_000)
    monkeypatch.setattr(machine, "total_bytes", lambda: 16_000_000_000)
    large = make_run(vary_config(pack[0].config, changes), pack[0].split)

    with pytest.raises(UserError) as refused:
        check([large])
    assert message in str(refused.value)
    assert not large.folder.exists()


def test_a_run_whose_memory_is_taken_by_others_is_refused_where_it_is_trained(
    pack: list[Run], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(machine, "free_bytes", lambda: 1_000_000)

    with pytest.raises(UserError, match=r"^R1B needs .* and 0\.0 GB are free"):
        train(pack[:1])


def test_the_estimate_of_memory_can_be_overruled(pack: list[Run], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(machine, "free_bytes", lambda: 1_000_000)

    check([vary(pack[0], 2.0)])


def vary(run: Run, memory_gb: float) -> Run:
    return make_run(vary_config(run.config, {"runtime.memory_gb": memory_gb}), run.split)


class OutOfMemory:
    """Raises whenever more than `most` networks begin their step `step`."""

    def __init__(self, most: int, step: int, error: Exception) -> None:
        self.most, self.step, self.error = most, step, error
        self.original = PackModule.training_step
        self.steps: list[tuple[int, int]] = []  # how many networks, and the step they made

    def __enter__(self) -> "OutOfMemory":
        def training_step(module: PackModule, batch: Any, batch_idx: int) -> None:
            members = len(module.members)
            if members > self.most and module.step + 1 == self.step:
                raise self.error
            self.original(module, batch, batch_idx)
            self.steps.append((members, module.step))

        PackModule.training_step = training_step  # type: ignore[method-assign]
        return self

    def __exit__(self, *error: object) -> None:
        PackModule.training_step = self.original  # type: ignore[method-assign]


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB."), MemoryError()],
)
def test_a_pack_whose_memory_is_full_is_halved_and_resumes_from_its_checkpoints(
    pack: list[Run], alone: dict[str, str], error: Exception
):
    with OutOfMemory(1, 7, error) as observed:
        train(pack)

    assert digests(pack) == alone
    first, pair, single = range(1, 7), [5, 6], range(5, 13)
    assert observed.steps == [
        *((3, step) for step in first),  # a validation after the fourth, and a checkpoint
        *((2, step) for step in pair),
        *((1, step) for _ in CUTS for step in single),
    ]


def test_several_processes_cannot_halve_a_pack_and_say_what_to_do(
    pack: list[Run], alone: dict[str, str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(processes, "size", lambda: 2)

    with OutOfMemory(1, 7, torch.OutOfMemoryError("CUDA out of memory. Tried 2 GiB.")):
        with pytest.raises(RunFailed) as failed:
            train(pack)

    assert str(failed.value) == (
        "out of memory with 3 runs that several processes train together (CUDA out of memory); "
        "only a single process can divide a pack: set sweep.pack=2 or lower, or a lower "
        "runtime.memory_gb: R1B R3B R5B"
    )
    for run in pack:
        assert store.peek(run.failure_file, schemas.FAILURE)["error"] == str(failed.value)
        assert "Traceback" not in run.log_file.read_text()
    monkeypatch.undo()
    train(pack)
    assert digests(pack) == alone


def test_a_run_alone_for_which_there_is_no_memory_fails_and_says_what_to_do(
    pack: list[Run], alone: dict[str, str]
):
    first = pack[0]
    error = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nGPU 0 has ...")

    with OutOfMemory(0, 6, error), pytest.raises(RunFailed) as failed:
        train([first])

    assert str(failed.value) == (
        "R1B: out of memory, although it was trained alone (CUDA out of memory): use a larger "
        "device, or several that share the batch (runtime.devices); with another "
        f"train.batch_size it would be a different run: {first.folder}"
    )
    assert store.peek(first.failure_file, schemas.FAILURE)["error"] == str(failed.value)
    state = load(first)
    assert state is not None and state.step == 4
    train(pack)  # with enough memory
    assert digests(pack) == alone


@pytest.mark.parametrize(
    ("error", "is_full"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("any"), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: "
                      "you tried to allocate 8 bytes"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), True),
        (RunFailed("training ended early: torch.OutOfMemoryError: CUDA out of memory"), True),
        (RunFailed("A3B: the loss is nan or infinite at step 3"), False),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)  # fmt: skip
def test_what_says_that_memory_is_full(error: Exception, is_full: bool):
    assert devices.is_out_of_memory(error) is is_full


def test_the_processors_memory_is_what_is_free_and_for_several_processes_all_there_is(
    pack: list[Run], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(machine, "free_bytes", lambda: 5)
    monkeypatch.setattr(machine, "total_bytes", lambda: 9)

    rooms = [packs.room(pack, torch.device("cpu"), alike=alike) for alike in (False, True)]

    assert [room.device_bytes for room in rooms] == [5, 9]
    assert packs.room(pack, torch.device("meta"), alike=False).device_bytes is None
    assert len(rooms[0].facts) == 1
    (facts,) = rooms[0].facts.values()
    assert [stage.name for stage in facts.stages][-2:] == ["fc7", "fc8"]


def test_a_network_is_examined_once_on_a_machine(pack: list[Run]):
    (first,) = packs.facts(pack).values()
    (cached,) = (Path(pack[0].config.runtime.cache) / "networks").iterdir()
    stages = json.loads(cached.read_text("utf-8"))
    stages["stages"][0]["macs"] += 1
    cached.write_text(json.dumps(stages), "utf-8")

    (second,) = packs.facts(pack).values()

    assert [a.macs - b.macs for a, b in zip(second.stages, first.stages, strict=True)] == [
        1, 0, 0, 0, 0, 0, 0, 0,
    ]  # fmt: skip
