"""Trainings on a GPU: batches, waiting, packs, restarts. Close to one another, not bit by bit."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from transferlab import store
from transferlab.data.loader import Sequence, Stream, loader
from transferlab.errors import Interrupted
from transferlab.experiment.config import RunConfig
from transferlab.experiment.resolve import resolve
from transferlab.experiment.run import Run
from transferlab.launch import inline
from transferlab.runtime import signals
from transferlab.training import inputs
from transferlab.training.callbacks.checkpoint import RunCheckpoint
from transferlab.training.pack_module import PackModule
from transferlab.training.run import train_pack

Compose = Callable[..., RunConfig]
SMALL = (
    "+split=random", "runtime.accelerator=gpu", "data.size=20", "data.crop=16", "train.mirror=true",
    "train.epochs=null", "train.total_steps=24", "train.val_every=12",
)  # fmt: skip

FULL_SIZE = (
    "+split=random", "runtime.accelerator=gpu", "model=alexnet", "data.size=235", "data.crop=227",
    "data.per_class=40", "train.mirror=true", "train.batch_size=8", "train.lr=0.001",
    "train.channels_last=true", "train.epochs=null", "train.total_steps=46", "train.val_every=46",
    "runtime.checkpoint_every_s=1000000", "runtime.checkpoint_least_s=1000000",
)  # fmt: skip


def weights(place: Run) -> dict[str, Tensor]:
    return load_file(place.weights_file)


def train(configs: list[RunConfig]) -> list[Run]:
    runs = [resolve(config) for config in configs]
    with signals.watch() as stop:
        train_pack(runs, stop)
    return runs


def assert_close(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """Within what the order of sums can do in some steps of float32."""
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert (found[name] - value).norm() < 1e-3 * value.norm() + 1e-6, name


@pytest.mark.parametrize("workers", [0, 2])
def test_every_byte_of_every_batch_reaches_the_device(
    config: Compose, device: torch.device, workers: int
):
    chosen = resolve(config(*SMALL, "transfer.variant=baseA"))
    half = inputs.half(chosen, inputs.load_images(chosen.config), "A")
    stream = Stream(
        count=len(half.train), seed=0, start_step=3, total_steps=40, batch_size=64, reshuffle=True,
        slack=4, mirror=True, rank=0, world_size=1,
    )  # fmt: skip
    for view, requests in ((half.train, stream), (half.val, Sequence(len(half.val), 50))):
        batches = [
            loader(view, requests, crop=16, workers=count, device=where)
            for where, count in ((device, workers), (torch.device("cpu"), 0))
        ]
        for there, here in zip(*batches, strict=True):
            torch.cuda._sleep(2_000_000)  # the device lags behind, as in a training
            kept = {name: v.clone() for name, v in there.items() if torch.is_tensor(v)}
            assert kept and all(value.device.type == "cuda" for value in kept.values())
            for name, value in kept.items():
                assert torch.equal(value.cpu(), here[name]), name


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_no_step_waits_for_the_device(
    config: Compose, precision: str, monkeypatch: pytest.MonkeyPatch
):
    begin, end = RunCheckpoint.on_train_batch_start, RunCheckpoint.on_train_batch_end
    watched = []

    def start(self: RunCheckpoint, trainer: Any, module: Any, batch: Any, index: int) -> None:
        if module.step == 20:  # what is compiled and tried out is
            torch.cuda.set_sync_debug_mode("error")
        begin(self, trainer, module, batch, index)

    def stop(self: RunCheckpoint, trainer: Any, module: Any, *rest: Any) -> None:
        end(self, trainer, module, *rest)
        if torch.cuda.get_sync_debug_mode() == 2:
            watched.append(module.step)
        if module.step == 44:
            torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(RunCheckpoint, "on_train_batch_start", start)
    monkeypatch.setattr(RunCheckpoint, "on_train_batch_end", stop)
    asked = (*FULL_SIZE, f"train.precision={precision}")
    try:
        train([config(*asked, f"transfer.variant={v}") for v in ("baseB", "R2B", "R6B")])
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert watched == list(range(21, 45))


def test_members_of_a_pack_learn_what_they_learn_alone(config: Compose, tmp_path: Path):
    variants = ["A2B", "A5B", "B5B", "A5B+"]

    def configs(where: str, names: list[str]) -> list[RunConfig]:
        place = f"runtime.store={tmp_path / where}"
        return [config(*SMALL, place, f"transfer.variant={name}") for name in names]

    train(configs("both", ["baseA"]))
    train(configs("both", ["baseB"]))
    packed = [weights(place) for place in train(configs("both", variants))]
    (tmp_path / "alone").mkdir()
    for folder in (tmp_path / "both").glob("base*"):  # bit by bit the same bases
        (tmp_path / "alone" / folder.name).symlink_to(folder)
    for wanted, found in zip(configs("alone", variants), packed, strict=True):
        (alone,) = train([wanted])
        result = store.read_result(alone)
        assert result is not None and result["pack_size"] == 1
        assert result["device"].startswith("cuda: ")
        assert_close(found, weights(alone))


def test_a_stopped_run_resumes_from_its_checkpoint(
    config: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (whole,) = train([config(*SMALL, f"runtime.store={tmp_path}/whole", "transfer.variant=baseA")])
    original, stops = PackModule.training_step, [5, 17]

    def training_step(module: PackModule, batch: Any, batch_idx: int) -> None:
        original(module, batch, batch_idx)
        if stops and module.step == stops[0]:
            stops.pop(0)
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(PackModule, "training_step", training_step)
    wanted = [resolve(config(*SMALL, "transfer.variant=baseA"))]
    for _ in range(2):
        with pytest.raises(Interrupted):
            inline.carry_out(wanted)
    (outcome,) = inline.carry_out(wanted)
    assert stops == []
    assert_close(weights(outcome.run), weights(whole))
    assert outcome.result["steps"] == 24


def test_what_is_compiled_computes_what_is_not(config: Compose, tmp_path: Path):
    found = []
    for compile in (True, False):
        place = (f"runtime.store={tmp_path}/{compile}", f"runtime.compile={compile}")
        (made,) = train([config(*FULL_SIZE, *place, "transfer.variant=baseA")])
        found.append(weights(made))
    assert_close(*found)
