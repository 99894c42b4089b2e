"""A training step without a Trainer: what ours is measured against."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from transferlab.models.stages import StagedNetwork
from transferlab.training import optimiser

Batch = Mapping[str, Any]


def stepper(
    network: StagedNetwork,
    optimizer: torch.optim.Optimizer,
    schedule: optimiser.Schedule,
    views: Callable[[Batch], Mapping[str, Tensor]],
) -> Callable[[int, Batch], None]:
    """A function that makes step 0, 1, ... on a batch of half A: loss, gradient, update, in place,
    and nothing else."""

    def step(number: int, batch: Batch) -> None:
        optimiser.set_rate(optimizer, schedule(number + 1), rescale_from=None)
        network.set_step(number)
        loss = F.cross_entropy(network(views(batch)["A"]), batch["labels"])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step
