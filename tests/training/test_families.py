"""A transfer study of every family of networks, in two steps: what is frozen stays, to the bit.

One network of each family, the smallest: `make test-zoo`; without those of sixty million parameters
`make test-zoo ZOO="-k 'not large'"`.
"""

import gc
import shutil
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from transferlab import models, store
from transferlab.errors import Interrupted
from transferlab.experiment.config import RunConfig
from transferlab.experiment.resolve import resolve
from transferlab.experiment.run import Run
from transferlab.launch import inline
from transferlab.models.zoo import NETWORKS, Architecture
from transferlab.runtime.signals import StopRequest
from transferlab.training.pack_module import PackModule

pytestmark = [pytest.mark.zoo, pytest.mark.timeout(900)]
Compose = Callable[..., RunConfig]
LARGE = 128  # pixels: networks of so large images are cut at one place only
LEFT_OUT = ("overfeat",)  # 145 million parameters: 11 GB, and stages as those of the others


def smallest() -> dict[str, str]:
    """Family -> its network for the smallest images, a small one if there is one."""
    found: dict[str, str] = {}
    for name, entry in sorted(NETWORKS.items(), key=lambda item: _size(*item)):
        if entry.family not in LEFT_OUT:
            found.setdefault(entry.family, name)
    return found


def _size(name: str, entry: Architecture) -> tuple[int, bool, int, str]:
    depth = entry.options.get("depth", 0)
    return entry.images[0], not name.endswith("_small"), depth, name


MASKED = ("resnet_small_stochastic", "cifar_densenet40_dropout")  # masks inside of stages


def _id(name: str) -> str:
    return f"large-{name}" if NETWORKS[name].images[0] >= LARGE else name


@pytest.mark.parametrize("name", [*smallest().values(), *MASKED], ids=_id)
def test_a_family_transfers_in_packs_and_alone_and_over_interruptions(
    config: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    torch.set_num_threads(1)
    size = NETWORKS[name].images[0]
    with torch.device("meta"):
        stages = len(models.build(name, num_outputs=5, image_size=size))
    cuts = sorted({1, stages // 2, stages - 1}) if size < LARGE else [stages // 2]

    def runs(place: str, *words: str) -> list[Run]:
        shared = (
            "+split=random", f"model={name}", f"data.size={size}", f"data.crop={size}",
            "data.per_class=8", "train.batch_size=4", "train.epochs=null", "train.total_steps=3",
            "train.val_every=3", "train.val_batch_size=50", "runtime.threads=1",
            "runtime.workers=0", "train.lr=0.0001", f"runtime.store={tmp_path}/{place}",
            f"runtime.cache={tmp_path}/cache", "data.holdout=0.05",
        )  # fmt: skip
        return [resolve(config(*shared, *words, f"transfer.n={n}")) for n in cuts]

    packs = {variant: runs("pack", f"transfer.variant={variant}") for variant in ("AnB", "AnB+")}
    (base,) = {run.base.id: run.base for run in packs["AnB"] if run.base}.values()
    train([base])
    shutil.copytree(tmp_path / "pack", tmp_path / "alone")
    for pack in packs.values():
        with monkeypatch.context() as patch, pytest.raises(Interrupted):
            stop = StopRequest()
            patch.setattr(PackModule, "training_step", stopping(stop, PackModule.training_step))
            inline.train(pack, stop)
        train(pack)
    alone = [run for variant in packs for run in runs("alone", f"transfer.variant={variant}")]
    for run in alone:
        train([run])

    together = [run for pack in packs.values() for run in pack]
    assert digests(together) == digests(alone)
    weights = load_file(base.weights_file)
    for run in together:
        trained = load_file(run.weights_file)
        names = models.build(name, num_outputs=5, image_size=size).stage_names
        first = tuple(f"{each}." for each in names[: run.config.variant.n])
        changed = {k for k, v in trained.items() if k in weights and not torch.equal(v, weights[k])}
        if run.config.variant.frozen:
            assert not any(key.startswith(first) for key in changed)
        else:
            assert {key for key in trained if key.startswith(first)} <= changed | still(trained)


def still(weights: dict[str, torch.Tensor]) -> set[str]:
    """The names of values that may stay as they are in three steps: biases of dead units."""
    return {name for name, value in weights.items() if value.ndim < 2 and "running" not in name}


def stopping(stop: StopRequest, step: Callable[..., None]) -> Callable[..., None]:
    """The training step, after which the training is asked to stop."""

    def stopped(self: PackModule, *arguments: object) -> None:
        step(self, *arguments)
        stop.number = signal.SIGTERM

    return stopped


def train(runs: Sequence[Run]) -> None:
    gc.collect()  # a network of a hundred million parameters is not left to the next turn
    inline.train(runs, StopRequest())


def digests(runs: Sequence[Run]) -> dict[str, str]:
    results = {run.label: store.read_result(run) for run in runs}
    return {name: str(result and result["weights_sha256"]) for name, result in results.items()}
