"""What a step of a run costs by itself: what it takes, on networks whose tensors can be counted."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from support.records import made
from torch import nn

from transferlab.experiment.run import make_run
from transferlab.models.initial import gaussian
from transferlab.models.stages import Stage, StagedNetwork
from transferlab.training import cost, optimiser
from transferlab.training.build import Subject
from transferlab.training.cost import Step
from transferlab.training.module import TransferModule
from transferlab.training.recipe import Recipe

RECIPE = Recipe(lr=0.1, schedule="cosine", momentum=0.9)
LARGE = 4 * 1000 * 1000  # bytes of the weights of a stage, beside which the activations are small


def step(frozen: int) -> Step:
    """Two stages of 1,000 to 1,000 without biases, one image, momentum after a first step."""
    layers = {
        name: Stage({"fc": nn.Linear(1000, 1000, bias=False)}, gaussian(0.01)) for name in "ab"
    }
    module = TransferModule(StagedNetwork(layers), n=frozen, frozen=frozen > 0, recipe=RECIPE)
    optimizer, _ = optimiser.build([module.network], RECIPE, total_steps=1)
    taken = Step(module, optimizer, torch.ones(1, 1000), torch.tensor([3]), torch.float32)
    taken.take()
    return taken


def test_the_peak_is_weights_momentum_and_gradients_of_what_learns():
    learning, frozen = step(0).peak_bytes(), step(1).peak_bytes()

    assert 6 * LARGE < learning < 6.1 * LARGE
    assert 4 * LARGE < frozen < 4.1 * LARGE  # no momentum and no gradient of the first


def test_memory_that_is_released_is_counted_no_more_and_what_is_shared_once():
    kept = torch.zeros(100)
    with cost.Held() as held:
        held.add([kept, {"again": kept[:50]}])
        assert (held.held, held.peak) == (400, 400)
        more = torch.zeros(1000)
        more.add_(1)
        assert (held.held, held.peak) == (4400, 4400)
        del more
        torch.zeros(10)

    assert (held.held, held.peak) == (400, 4400)


def test_the_time_is_that_of_the_step_which_was_disturbed_least(monkeypatch: pytest.MonkeyPatch):
    # Start and end of each, in s: 0.1, 0.3 and 0.2 are more than 0.5 together: there is no fourth
    clock = iter([0.0, 0.1, 1.0, 1.3, 2.0, 2.2, 3.0, 3.05])
    monkeypatch.setattr(cost.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(cost, "MOST_STEPS", 5)
    taken: list[int] = []

    assert cost.shortest(lambda: taken.append(1), torch.device("cpu")) == pytest.approx(0.1)
    assert len(taken) == 3


def test_a_training_is_not_lost_where_its_cost_cannot_be_measured(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def failing(*arguments: object) -> Step:
        raise torch.OutOfMemoryError("CUDA out of memory\nmore")

    monkeypatch.setattr(cost, "_step", failing)
    run = make_run(made({"train.batch_size": 8}, variant="A3B", n=None, target=None))
    facts: Any = SimpleNamespace(learning_parameters=lambda n: n, training_macs=lambda n: 10 * n)

    found = cost.cost(Subject(run, None, {}), facts, np.zeros(5, np.int64), torch.device("cpu"))

    assert found == {"learning_parameters": 3, "training_macs": 30, "step_s": None,
                     "peak_bytes": None, "step_images": 8}  # fmt: skip
    assert caplog.messages == ["what a step of A3B costs could not be measured: CUDA out of memory"]
