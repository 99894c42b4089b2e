"""The LightningModule of a pack: one or more networks that learn from one stream of images.

Every member computes exactly what it would compute alone: it has its own initial values and
dropout masks, and no term of its loss or its update depends on the others. Frozen members of one
base share one forward pass of its first stages, tapped at each one's cut.

Shapes: B batch, M members, K outputs. Losses are means over the batch, accuracies in [0, 1].
Not here: what a run is, files, and when to stop.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as lightning
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transferlab.training import optimiser

NEVER = -1
Means = tuple[list[float], list[float]]


@dataclass(frozen=True)
class Member:
    """One network of a pack.

    `frozen` stages do not learn. The first `shared` of them are without dropout, and members with
    one `trunk` have them bit for bit in common. `view` says which of the inputs is this one's.
    """

    name: str
    network: nn.Sequential
    frozen: int
    shared: int
    trunk: str
    view: str


class PackModule(lightning.LightningModule):
    """Trains the members with one optimiser; step `self.step` of `schedule` is the next.

    `views` turns a batch into one network input (B, 3, P, P) per view, on the device.
    """

    def __init__(
        self,
        members: Iterable[Member],
        *,
        views: Callable[[Mapping[str, Any]], Mapping[str, Tensor]],
        schedule: optimiser.Schedule,
        optimizer: Callable[[Iterable[nn.Module]], torch.optim.Optimizer],
        rate_in_velocity: bool,
        step: int,
        velocities: Iterable[Mapping[str, Tensor]],
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.members = tuple(members)
        self.networks = nn.ModuleList(member.network for member in self.members)
        self.views = views
        self.schedule = schedule
        self.make_optimizer = optimizer
        self.rate_in_velocity = rate_in_velocity
        self.step = step
        self.velocities = tuple(velocities)
        self.active = list(range(len(self.members)))
        self.train_sums: Tensor
        self.val_sums: Tensor
        self.first_bad: Tensor
        # losses, hits and images since the last validation, (3, M): read by `means`
        zeros = torch.zeros(3, len(self.members), dtype=torch.float64)
        self.register_buffer("train_sums", zeros, persistent=False)
        self.register_buffer("val_sums", zeros.clone(), persistent=False)
        bad = torch.full((len(self.members),), NEVER)
        self.register_buffer("first_bad", bad, persistent=False)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        optimizer = self.make_optimizer(self.networks)
        for network, saved in zip(self.networks, self.velocities, strict=True):
            optimiser.restore_velocity(optimizer, network, saved)
        self.velocities = ()
        return optimizer

    def training_step(self, batch: Mapping[str, Any], batch_idx: int) -> None:
        optimizer = self.optimizers(use_pl_optimizer=False)
        assert isinstance(optimizer, torch.optim.Optimizer)
        number = self.step + 1
        before = self.schedule(self.step) if self.rate_in_velocity and self.step else None
        optimiser.set_rate(optimizer, self.schedule(number), rescale_from=before)
        for index in self.active:
            self.members[index].network.set_step(self.step)  # type: ignore[operator]
        losses, hits = self._losses(batch)
        optimizer.zero_grad()
        self.manual_backward(losses.sum())
        optimizer.step()
        losses = losses.detach()
        _count(self.train_sums, losses, hits, len(batch["labels"]))
        self.step = number
        self._note_bad(losses)

    def validation_step(self, batch: Mapping[str, Any], batch_idx: int) -> None:
        losses, hits = self._losses(batch)
        _count(self.val_sums, losses, hits, len(batch["labels"]))
        self._note_bad(losses)  # the last update may have spoiled the weights

    def drop_failed(self) -> dict[str, int]:
        """Take members whose loss was not finite out of the pack; name -> the step it was seen at.

        Reads from the device, so not for every step.
        """
        failed = {}
        for index, step in enumerate(self.first_bad.tolist()):
            if step != NEVER and index in self.active:
                self.active.remove(index)
                failed[self.members[index].name] = step
                for parameter in self.networks[index].parameters():
                    parameter.grad = None  # which the optimiser passes over
                    parameter.requires_grad_(False)
        return failed

    def end_interval(self) -> tuple[Means, Means]:
        """Training and validation means since the last call, over all processes; then zero."""
        results = []
        for sums in (self.train_sums, self.val_sums):
            if self.trainer.world_size > 1:
                results.append(means(self.trainer.strategy.reduce(sums.clone(), reduce_op="sum")))
            else:
                results.append(means(sums))
            sums.zero_()
        return results[0], results[1]

    def _note_bad(self, losses: Tensor) -> None:
        """Remember, on the device, at which step a member's loss was first not finite."""
        bad = ~torch.isfinite(losses) & (self.first_bad == NEVER)
        self.first_bad.masked_fill_(bad, self.step)

    def _losses(self, batch: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
        """Mean losses (M,) and numbers of hits (M,); zero for members that have left."""
        labels = batch["labels"]
        inputs = self.views(batch)
        taps = self._trunks(inputs)
        losses = [torch.zeros((), device=self.device)] * len(self.members)
        hits = [torch.zeros((), device=self.device)] * len(self.members)
        for index in self.active:
            member = self.members[index]
            x = taps.get((member.trunk, member.shared), inputs[member.view])
            for depth, stage in enumerate(member.network):
                if depth >= member.shared:
                    x = _apply(stage, x, frozen=depth < member.frozen)
            logits = x.float()  # (B, K): the loss is computed in float32 whatever the precision
            losses[index] = F.cross_entropy(logits, labels)
            hits[index] = (logits.detach().argmax(dim=1) == labels).sum()
        return torch.stack(losses), torch.stack(hits)

    def _trunks(self, inputs: Mapping[str, Tensor]) -> dict[tuple[str, int], Tensor]:
        """The frozen prefixes' outputs, each computed once: (trunk, depth) -> features."""
        wanted: dict[str, list[Member]] = {}
        for index in self.active:
            if self.members[index].shared:
                wanted.setdefault(self.members[index].trunk, []).append(self.members[index])
        taps = {}
        for trunk, sharers in wanted.items():
            cuts = {member.shared for member in sharers}
            deepest = max(sharers, key=lambda member: member.shared)
            x = inputs[deepest.view]
            for depth, stage in enumerate(deepest.network[: deepest.shared], start=1):
                x = _apply(stage, x, frozen=True)
                if depth in cuts:  # others need not stay in memory
                    taps[trunk, depth] = x
        return taps


def as_pack(module: lightning.LightningModule) -> PackModule:
    """The module that a callback is given, as what it is."""
    assert isinstance(module, PackModule)
    return module


def means(sums: Tensor) -> Means:
    """Mean loss and accuracy of each member, from losses, hits and images (3, M)."""
    losses, hits, images = sums
    count = images.clamp(min=1)
    return (losses / count).tolist(), (hits / count).tolist()


def _count(sums: Tensor, losses: Tensor, hits: Tensor, images: int) -> None:
    """Add a batch to the sums, in place: mean losses (M,), numbers of hits (M,)."""
    sums[0] += losses.double() * images
    sums[1] += hits
    sums[2] += images


def _apply(stage: nn.Module, x: Tensor, *, frozen: bool) -> Tensor:
    if not frozen:
        return stage(x)
    with torch.no_grad():
        return stage(x)
