"""Training cut at the validations, wherever it starts, and the shares of several processes."""

import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from pytorch_lightning import LightningModule, Trainer

from transferlab.data.datasets.images import ArraySubset
from transferlab.data.half import Half, View
from transferlab.data.sampling import Augmentation
from transferlab.data.transforms import InputTransform
from transferlab.errors import UserError
from transferlab.training.datamodule import HalfDataModule, Intervals, PackData, Reader


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def view(count: int) -> View:
    pixels = np.zeros((count, 4, 4, 3), dtype=np.uint8)
    pixels += np.arange(count, dtype=np.uint8)[:, None, None, None]
    labels = np.arange(count) % 2
    return View(ArraySubset(pixels, labels, "fake"), np.arange(count), labels, False)


VIEWS = InputTransform({"A": None}, scale=1.0, mirror=False, channels_last=False)


def reader(**settings) -> Reader:
    recipe: dict = dict(
        seed=0, batch_size=4, val_batch_size=3, reshuffle=True, crop=3, workers=0,
    )  # fmt: skip
    mirror = settings.pop("mirror", True)
    recipe["augmentation"] = Augmentation(mirror, pad=0, scales=None, pca=0.0, one_size=True)
    return Reader(Half(("a", "b"), view(10), view(7)), **(recipe | settings))


def pack(
    rank: int = 0, world_size: int = 1, *, start_step: int = 0, val_every: int = 4, **settings
) -> PackData:
    data = PackData(
        reader(**settings), VIEWS, start_step=start_step, total_steps=10, val_every=val_every
    )
    strategy = SimpleNamespace(root_device=torch.device("cpu"))
    data.trainer = SimpleNamespace(global_rank=rank, world_size=world_size, strategy=strategy)
    return data


def values(batch: dict) -> list[int]:
    return batch["pixels"][:, 0, 0, 0].tolist()


def intervals(start: int, total: int, every: int) -> list[list[int]]:
    """Numbers of the steps in each interval, from 0, until one is empty."""
    cuts = Intervals(iter(range(start, total)), start, total, every)
    numbers = []
    while steps := list(cuts):
        numbers.append(steps)
        assert cuts.step == steps[-1] + 1
    return numbers


def test_intervals_stop_at_multiples_of_val_every_and_at_the_end():
    assert intervals(0, 10, 4) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_intervals_that_fit_leave_no_remainder():
    assert intervals(0, 8, 4) == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_resumed_within_an_interval_they_go_on_to_the_same_boundary():
    assert intervals(2, 10, 4) == [[2, 3], [4, 5, 6, 7], [8, 9]]
    assert intervals(7, 10, 4) == [[7], [8, 9]]


def test_resumed_on_a_boundary_a_whole_interval_follows():
    assert intervals(4, 10, 4) == [[4, 5, 6, 7], [8, 9]]


def test_resumed_at_the_end_nothing_is_left():
    assert intervals(10, 10, 4) == []


def test_an_interval_longer_than_the_training_is_all_of_it():
    assert intervals(0, 3, 1000) == [[0, 1, 2]]


def test_training_batches_follow_one_another_across_intervals():
    loader = pack().train_dataloader()
    batches = [[values(batch) for batch in loader] for _ in range(3)]
    assert [len(interval) for interval in batches] == [4, 4, 2]
    assert batches[0][0] == [0, 1, 9, 4]
    assert batches[0][2] == [7, 5, 2, 1]
    images = [v for interval in batches for batch in interval for v in batch]
    assert [sorted(images[i : i + 10]) for i in range(0, 40, 10)] == 4 * [list(range(10))]


@pytest.mark.parametrize("start", [3, 4, 9])
def test_a_resumed_module_gives_the_batches_that_were_missing(start: int):
    def batches(first: int) -> list[list[int]]:
        loader = pack(start_step=first).train_dataloader()
        return [values(batch) for _ in range(3) for batch in loader]

    assert batches(start) == batches(0)[start:]
    assert len(batches(start)) == 10 - start


def test_validation_is_every_image_in_batches_of_its_own_size():
    batches = [values(batch) for batch in pack().val_dataloader()]
    assert batches == [[0, 1, 2], [3, 4, 5], [6]]


def test_processes_share_out_training_and_validation():
    whole = values(next(iter(pack().train_dataloader())))
    shares = [values(next(iter(pack(rank, 2).train_dataloader()))) for rank in (0, 1)]
    assert shares == [whole[0::2], whole[1::2]]
    held = [[v for b in pack(rank, 2).val_dataloader() for v in values(b)] for rank in (0, 1)]
    assert held == [[0, 2, 4, 6], [1, 3, 5]]


def test_the_recipe_reaches_the_stream():
    loader = pack(crop=1, mirror=False, reshuffle=False, batch_size=5, val_every=10)
    batches, images = [], []
    for batch in loader.train_dataloader():
        batches.append(batch)
        images.append(values(batch))
    assert images[0] == images[2] == [0, 1, 9, 4, 2]
    assert {batch["pixels"].shape for batch in batches} == {(5, 1, 1, 3)}
    assert not any(batch["flips"].any() for batch in batches)
    assert torch.cat([batch["corners"] for batch in batches]).max() == 2


class Slow(LightningModule):
    """Notes which images a step sees at its end, after the thread that reads had time to spoil."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.seen: dict[str, list[list[int]]] = {"train": [], "val": []}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD([self.weight], lr=0.1)

    def training_step(self, batch: dict, batch_idx: int) -> None:
        time.sleep(0.01)
        self.seen["train"].append(batch["inputs"]["A"][:, 0, 0, 0].tolist())

    def validation_step(self, batch: dict, batch_idx: int) -> None:
        time.sleep(0.01)
        self.seen["val"].append(batch["inputs"]["A"][:, 0, 0, 0].tolist())


def test_a_step_of_the_trainer_ends_with_the_images_that_it_began_with():
    loader = pack().train_dataloader()
    expected = [values(batch) for _ in range(3) for batch in loader]
    data = PackData(reader(val_batch_size=1), VIEWS, start_step=0, total_steps=10, val_every=4)
    module = Slow()
    trainer = Trainer(
        accelerator="cpu", max_epochs=3, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
    )  # fmt: skip
    trainer.fit(module, datamodule=data)
    assert module.seen["train"] == expected
    assert module.seen["val"] == 3 * [[k] for k in range(7)]


# --- one half for any Trainer -------------------------------------------------------------------


def half(tmp_path: Path, **settings) -> HalfDataModule:
    small = ["data.size=8", "data.crop=6", "data.per_class=4", f"runtime.cache={tmp_path}"]
    return HalfDataModule("digits", half="A", batch_size=8, overrides=small, **settings)


def test_a_half_stands_alone_as_inputs_and_labels(tmp_path: Path):
    data = half(tmp_path)
    data.setup()
    assert len(data.classes) == 5
    batches = list(data.train_dataloader())
    assert len(batches) == len(data.train_dataloader()) == 3  # 20 images: the last takes four more
    inputs, labels = data.on_after_batch_transfer(batches[0], 0)
    assert (inputs.shape, inputs.dtype) == ((8, 3, 6, 6), torch.float32)
    assert labels.shape == (8,) and set(labels.tolist()) <= set(range(5))


def test_the_mean_image_of_the_half_is_subtracted_unless_another_is_named(tmp_path: Path):
    totals = {}
    for mean in (None, "A", "B", "none"):
        data = half(tmp_path, mean=mean)
        data.setup()
        inputs = [data.on_after_batch_transfer(b, 0)[0].clone() for b in data.val_dataloader()]
        totals[mean] = torch.cat(inputs).mean().item()
    assert totals[None] == totals["A"] != totals["B"]
    assert abs(totals["A"]) < abs(totals["B"]) < totals["none"]


def test_a_half_continues_from_epoch_to_epoch_and_begins_anew_with_the_same(tmp_path: Path):
    def labels(epochs: int, **settings) -> list[list[int]]:
        data = half(tmp_path, **settings)
        data.setup()
        loader = data.train_dataloader()
        return [batch["labels"].tolist() for _ in range(epochs) for batch in loader]

    assert labels(2) == labels(2) != labels(2, seed=1)
    assert labels(1) == labels(2)[:3] != labels(2)[3:]


def test_a_half_that_does_not_exist_is_refused():
    with pytest.raises(UserError, match="baseC"):
        HalfDataModule("digits", half="C")
    with pytest.raises(UserError, match="mean=C"):
        HalfDataModule("digits", mean="C")


def test_an_override_that_the_data_set_does_not_use_is_refused():
    with pytest.raises(UserError, match=r"^data\.root=DIR is not used by data=digits: "):
        HalfDataModule("digits", overrides=["data.root=DIR"])
