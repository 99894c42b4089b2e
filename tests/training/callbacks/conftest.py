"""A pack of two tiny networks at step 6 of 10, with runs in a folder, and a Trainer's facts."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from support.records import made_run
from torch import nn

from transferlab.experiment.run import Run
from transferlab.models.initial import gaussian
from transferlab.models.stages import Stage, StagedNetwork
from transferlab.training.checkpoints import TrainingState
from transferlab.training.module import TransferModule
from transferlab.training.pack_module import Member, PackModule
from transferlab.training.recipe import Recipe

LABELS = ("A1B", "B1B")


@pytest.fixture
def runs(tmp_path: Path) -> list[Run]:
    store = {"runtime.store": str(tmp_path)}
    runs = [made_run(store, variant=pattern, n=1) for pattern in ("AnB", "BnB")]
    for run in runs:
        run.folder.mkdir(parents=True)
    return runs


@pytest.fixture
def pack() -> PackModule:
    def network() -> StagedNetwork:
        return StagedNetwork({name: Stage({"fc": nn.Linear(2, 2)}, gaussian(1.0)) for name in "ab"})

    recipe = Recipe(lr=0.1, schedule="cosine", momentum=0.9)
    modules = [TransferModule(network(), n=1, recipe=recipe, label=label) for label in LABELS]
    members = [Member(module, trunk=module.label, view="B") for module in modules]
    return PackModule(members, total_steps=10, step=6, velocities=[{}, {}])


@pytest.fixture
def states(pack: PackModule) -> list[TrainingState]:
    """The states of the two runs at the start of the session: after 4 steps, 100 s and 200 s."""
    return [
        TrainingState(
            step=4,
            weights=member.network.state_dict(),
            velocity={"b.fc.bias": torch.tensor([1.0, 2.0])},
            sums=(0.0, 0.0, 0.0),
            curve=({"step": 4, "val/accuracy": 0.5},),
            skipped={"old.png": "aa"},
            time_s=seconds,
        )
        for member, seconds in zip(pack.members, (100.0, 200.0), strict=True)
    ]


@pytest.fixture
def trainer(pack: PackModule) -> Any:
    """What the pack and its callbacks ask of a Trainer: the first of one process, on the CPU."""
    facts = SimpleNamespace(
        is_global_zero=True,
        world_size=1,
        optimizers=[],
        strategy=SimpleNamespace(root_device=torch.device("cpu"), barrier=lambda: None),
    )
    pack.trainer = facts  # type: ignore[assignment]
    return facts


class Clock:
    """Stands in for `time.monotonic`; a test sets `now`."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("time.monotonic", clock)
    return clock
