"""What a training step of one run costs, measured with the run alone.

A run's time is that of its pack, whose members share images and frozen stages, and is lengthened by
reading and validation. So a few steps of each finished run are measured by themselves, on the
device that trained it: forward through all stages, backward through those that learn, update.
"""

import logging
import time
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from transferlab.experiment import views
from transferlab.models.facts import NetworkFacts
from transferlab.runtime import bfloat16
from transferlab.training import build, optimiser
from transferlab.training.build import Subject
from transferlab.training.module import TransferModule

log = logging.getLogger(__name__)
MOST_STEPS = 5
TIME_S = 0.5  # for them; two are taken at least
STEPS = 1  # the length of a schedule that is not used


def cost(
    subject: Subject, facts: NetworkFacts, labels: np.ndarray, device: torch.device
) -> dict[str, Any]:
    """The `cost` of a run's record, `labels` (N,) or (N, K) being those of its images.

    `learning_parameters` and `training_macs`, the multiply-accumulates of an image in a training
    step (see `NetworkFacts`), follow from the network. `step_s`, the shortest of a few steps, and
    `peak_bytes`, the most memory that the tensors of a step hold, weights and momentum included,
    are measured with a batch of `step_images`, the share of one device. The images are noise, and
    the rate is zero. Both are None where the measurement fails, for want of memory beside the pack
    for instance: a finished training is never lost for it.
    """
    run = subject.run
    config, variant = run.config, run.config.variant
    frozen = variant.n if variant.frozen else 0
    images = max(1, config.train.batch_size // config.runtime.devices)
    step_s = peak_bytes = None
    try:
        step = _step(subject, labels[np.arange(images) % len(labels)], device)
        step.take()  # makes the momentum, chooses kernels
        peak_bytes = step.peak_bytes()
        step_s = shortest(step.take, device)
    except (RuntimeError, MemoryError) as error:
        reason = str(error).partition("\n")[0]
        log.warning("what a step of %s costs could not be measured: %s", run.label, reason)
    return {
        "learning_parameters": facts.learning_parameters(frozen),
        "training_macs": facts.training_macs(frozen),
        "step_s": step_s,
        "peak_bytes": peak_bytes,
        "step_images": images,
    }


class Step:
    """Training steps of one network with one batch."""

    def __init__(
        self,
        module: TransferModule,
        optimizer: torch.optim.Optimizer,
        x: Tensor,
        labels: Tensor,
        precision: str,
    ) -> None:
        self.module, self.optimizer = module, optimizer
        self.x, self.labels, self.precision = x, labels, precision

    def take(self) -> None:
        self.module.network.set_step(0)
        self.optimizer.zero_grad()
        with bfloat16.autocast(self.x.device, self.precision):
            loss, _ = self.module.score(self.x, self.labels)
        loss.backward()
        self.optimizer.step()

    def peak_bytes(self) -> int:
        """The most that the tensors of a step hold, on any device: no workspaces of libraries."""
        self.optimizer.zero_grad()
        with Held() as held:
            state = [self.optimizer.state[p] for p in self.module.parameters() if p.requires_grad]
            network = self.module.network
            held.add([*network.parameters(), *network.buffers(), state, self.x, self.labels])
            self.take()
        return held.peak


def _step(subject: Subject, labels: np.ndarray, device: torch.device) -> Step:
    config = subject.run.config
    crop = views.inputs(config).crop
    module = build.module(subject).to(device).train()
    if config.train.channels_last:
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer, _ = optimiser.build([module.network], module.recipe, total_steps=STEPS)
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(len(labels), 3, crop, crop, generator=generator).to(device)
    if config.train.channels_last:
        x = x.contiguous(memory_format=torch.channels_last)
    y = torch.from_numpy(labels).to(device)
    return Step(module, optimizer, x, y, config.train.precision)


def shortest(take: Callable[[], None], device: torch.device) -> float:
    """The time of a step in s: the least is that which other processes disturbed least."""
    took: list[float] = []
    while len(took) < 2 or (len(took) < MOST_STEPS and sum(took) < TIME_S):
        start = time.perf_counter()
        take()
        if device.type != "cpu":
            torch.accelerator.synchronize()
        took.append(time.perf_counter() - start)
    return min(took)


class Held(TorchDispatchMode):
    """Counts the bytes of the tensors that exist: those added and those that operations make."""

    def __init__(self) -> None:
        super().__init__()
        self.known: set[int] = set()
        self.held = self.peak = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> object:
        output = func(*args, **(kwargs or {}))
        self.add(output)
        return output

    def add(self, tree: object) -> None:
        """Count the tensors in nested lists and mappings, storages in common once."""
        for leaf in tree_leaves(tree):
            if isinstance(leaf, Tensor):
                self._hold(leaf.untyped_storage())

    def _hold(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key not in self.known:
            self.known.add(key)
            self.held += size
            self.peak = max(self.peak, self.held)
            weakref.finalize(storage, self._release, key, size)

    def _release(self, key: int, size: int) -> None:
        self.known.discard(key)
        self.held -= size
