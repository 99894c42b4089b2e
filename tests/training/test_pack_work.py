"""How often a pack computes the frozen stages that its members have in common."""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

import pytest
import torch

from transferlab.experiment.config import RunConfig
from transferlab.experiment.resolve import resolve, resolve_all
from transferlab.experiment.run import Run
from transferlab.launch import inline
from transferlab.runtime import signals
from transferlab.training import build, cost
from transferlab.training.build import Subject
from transferlab.training.module import TransferModule
from transferlab.training.pack_module import PackModule
from transferlab.training.run import train_pack

Compose = Callable[..., RunConfig]
SHORT = (
    "+split=random",
    "data.size=16",
    "data.crop=16",
    "train.epochs=null",
    "train.total_steps=4",
    "train.val_every=2",
    "train.batch_size=4",
    "train.val_batch_size=100",
    "runtime.features_gb=0",  # kept features are not computed again: see test_features
)
SEVEN = [f"A{n}B" for n in range(1, 8)]


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def train_together(runs: Sequence[Run]) -> None:
    with signals.watch() as stop:
        train_pack(runs, stop)


def test_a_frozen_prefix_is_computed_once_for_a_pack_in_training_and_in_validation(
    config: Compose, monkeypatch: pytest.MonkeyPatch
):
    """Stage d is computed for the trunk, and again by the members that are cut below it."""
    passes: dict[str, Counter[str]] = defaultdict(Counter)
    batches: Counter[str] = Counter()
    build_module, measure = build.module, cost.cost
    steps = {"training": PackModule.training_step, "validation": PackModule.validation_step}
    now = ""

    def hooked(subject: Subject) -> TransferModule:
        module = build_module(subject)
        for name, stage in module.network.named_children():
            stage.register_forward_hook(lambda *_, name=name: passes[now].update([name]))
        return module

    def noting(kind: str):
        def step(module, batch, batch_idx):
            nonlocal now
            now = kind
            batches[kind] += 1
            return steps[kind](module, batch, batch_idx)

        return step

    def measuring(*arguments):
        nonlocal now
        now = "measuring what a step costs"
        return measure(*arguments)

    inline.carry_out([resolve(config(*SHORT, "transfer.variant=baseA"))])
    monkeypatch.setattr(build, "module", hooked)
    monkeypatch.setattr(cost, "cost", measuring)
    monkeypatch.setattr(PackModule, "training_step", noting("training"))
    monkeypatch.setattr(PackModule, "validation_step", noting("validation"))

    train_together(resolve_all(config(*SHORT, f"transfer.variant={variant}") for variant in SEVEN))

    # 180 images of half B in batches of 100, twice
    assert batches == {"training": 4, "validation": 4}
    of_a_batch = {
        "conv1": 1, "conv2": 2, "conv3": 3, "conv4": 4, "conv5": 5, "fc6": 6,
        "fc7": 7, "fc8": 7,  # behind dropout, which each member has for itself
    }  # fmt: skip
    for kind in ("training", "validation"):
        assert passes[kind] == {name: 4 * count for name, count in of_a_batch.items()}
