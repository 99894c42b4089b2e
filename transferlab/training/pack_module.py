"""The LightningModule of a pack: one or more networks that learn from one stream of images.

Every member is a `TransferModule` and computes exactly what it would compute alone: it has its own
initial values and dropout masks, and no term of its loss or its update depends on the others.
Frozen members of one base share one forward pass of its first stages, tapped at each one's cut.

Shapes: B batch, M members, K outputs. Losses are those of the batch, accuracies in [0, 1].
Knows nothing of runs and files, nor when to stop.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from pytorch_lightning import LightningModule
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from transferlab.models.stages import StagedNetwork
from transferlab.training import optimiser
from transferlab.training.features import Features
from transferlab.training.module import TransferModule, count_hits
from transferlab.training.scores import ValidationScores

NEVER = -1
READ_EVERY = 50  # steps between two reads of the device, each of which waits for it
Means = tuple[list[float], list[float]]


@dataclass(frozen=True)
class Member:
    """One network of a pack.

    Members with one `trunk` have bit-identical frozen stages and the same input, the `view` of the
    batch. They share the frozen stages that have no dropout.
    """

    module: TransferModule
    trunk: str
    view: str

    @property
    def name(self) -> str:
        return self.module.label

    @property
    def network(self) -> StagedNetwork:
        return self.module.network

    @property
    def shared(self) -> int:
        return min(self.module.frozen_stages, self.network.deterministic_stages())


class PackModule(LightningModule):
    """Trains the members with one optimiser; step `self.step`, counted from 0, is the next.

    A batch has `inputs`, one (B, C, P, P) per view, `labels` (B,), or (B, K) for several an image,
    and the `indices` (B,) of its images in their subset. `velocities` are the momenta
    of the members after `step` steps. `features`, by subset, `train` and `val`, keep those of
    shared stages; a batch then has its `rows` in them. Where it does itself what a
    `TransferModule` leaves to Lightning, a comment gives the reason.
    """

    def __init__(
        self,
        members: Iterable[Member],
        *,
        total_steps: int,
        step: int,
        velocities: Iterable[Mapping[str, Tensor]],
        features: Mapping[str, Features] | None = None,
    ) -> None:
        super().__init__()
        # Manual: weights, `step` and the sums change together, so that no checkpoint mixes steps
        self.automatic_optimization = False
        self.members = tuple(members)
        self.networks = nn.ModuleList(member.network for member in self.members)
        self.recipe = self.members[0].module.recipe  # that of all
        self.total_steps = total_steps
        self.schedule = self.recipe.rate(total_steps)
        # Not Trainer.global_step: a run is resumed in a Trainer of its own, with other members
        self.step = step
        self.velocities = tuple(velocities)
        self.features = features or {}
        self.active = list(range(len(self.members)))
        self.shared = [member.shared for member in self.members]
        self.train_sums: Tensor
        self.val_sums: Tensor
        self.first_bad: Tensor
        # Not self.log: losses, hits and images since the last validation stay on the device, as
        # (3, M), survive an interruption, and are read by `means`
        zeros = torch.zeros(3, len(self.members), dtype=torch.float64)
        self.register_buffer("train_sums", zeros, persistent=False)
        self.register_buffer("val_sums", zeros.clone(), persistent=False)
        bad = torch.full((len(self.members),), NEVER)
        self.register_buffer("first_bad", bad, persistent=False)
        self.val_scores = ValidationScores()  # of images with several labels, which have no hits

    def train(self, mode: bool = True) -> "PackModule":
        """As of its members: batch norm of frozen stages stays in evaluation."""
        super().train(mode)
        for member in self.members:
            member.module.train(mode)
        return self

    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimizer, scheduler = optimiser.build(
            self.networks, self.recipe, total_steps=self.total_steps, step=self.step
        )
        for network, velocity in zip(self.networks, self.velocities, strict=True):
            optimiser.restore_velocity(optimizer, network, velocity)
        self.velocities = tuple({} for _ in self.members)
        return [optimizer], [scheduler]  # which `training_step` steps

    def training_step(self, batch: Mapping[str, Any], batch_idx: int) -> None:
        optimizer, scheduler = self.optimizers(use_pl_optimizer=False), self.lr_schedulers()
        assert isinstance(optimizer, torch.optim.Optimizer)
        assert isinstance(scheduler, torch.optim.lr_scheduler.LambdaLR)
        share = {"first": self.trainer.global_rank, "stride": self.trainer.world_size}
        for index in self.active:
            self.members[index].network.set_step(self.step, **share)
        losses, hits, _ = self._losses(batch, self.features.get("train"))
        optimizer.zero_grad()
        self.manual_backward(losses.sum())
        optimizer.step()
        scheduler.step()
        losses = losses.detach()
        _count(self.train_sums, losses, hits, len(batch["labels"]))
        self.step += 1
        self._note_bad(losses)

    def validation_step(self, batch: Mapping[str, Any], batch_idx: int) -> None:
        losses, hits, logits = self._losses(batch, self.features.get("val"))
        _count(self.val_sums, losses, hits, len(batch["labels"]))
        if batch["labels"].ndim == 2:
            self.val_scores.add(batch["indices"], batch["labels"], logits)
        self._note_bad(losses)  # the last update may have made weights nan

    def drop_failed(self) -> dict[str, int]:
        """Remove members whose loss was not finite from the pack; name -> the step of that loss.

        Reads from the device, so not for every step.
        """
        failed = {}
        for index, step in enumerate(self.first_bad.tolist()):
            if step != NEVER and index in self.active:
                self.active.remove(index)
                failed[self.members[index].name] = step
                for parameter in self.networks[index].parameters():
                    parameter.grad = None  # which the optimiser skips
                    parameter.requires_grad_(False)
        return failed

    def end_interval(self) -> list[dict[str, float]]:
        """What each member reached since the last call, over all processes; then zero.

        `train/loss`, `train/accuracy`, `val/loss` and `val/accuracy`; with several labels an image
        `train/loss`, `val/loss`, `val/map11` and `val/map`.
        """
        several = bool(self.val_scores.parts)
        rows = self.val_scores.take() if several else [{} for _ in self.members]
        for subset, sums in (("train", self.train_sums), ("val", self.val_sums)):
            total = sums
            if self.trainer.world_size > 1:
                total = self.trainer.strategy.reduce(sums.clone(), reduce_op="sum")
            for row, loss, accuracy in zip(rows, *means(total), strict=True):
                row[f"{subset}/loss"] = loss
                if not several:
                    row[f"{subset}/accuracy"] = accuracy
            sums.zero_()
        return rows

    def _note_bad(self, losses: Tensor) -> None:
        """Record, on the device, the first step at which a member's loss was not finite."""
        bad = ~torch.isfinite(losses) & (self.first_bad == NEVER)
        self.first_bad.masked_fill_(bad, self.step)

    def _losses(
        self, batch: Mapping[str, Any], kept: Features | None = None
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        """The members' losses (M,), numbers of hits (M,) and logits (B, K); zero for those that
        have left. Images with several labels have no hits."""
        inputs = batch["inputs"]
        trunks = self._trunks(inputs, batch, kept)
        losses = [torch.zeros((), device=self.device)] * len(self.members)
        hits = [torch.zeros((), device=self.device)] * len(self.members)
        labels = batch["labels"]
        logits = [torch.zeros_like(labels, dtype=torch.float32)] * len(self.members)
        for index in self.active:
            member, shared = self.members[index], self.shared[index]
            x = trunks[member.trunk][shared] if shared else inputs[member.view]
            losses[index], logits[index] = member.module.score(x, labels, start=shared)
            if labels.ndim == 1:
                hits[index] = count_hits(logits[index], labels)
        return torch.stack(losses), torch.stack(hits), logits

    def _trunks(
        self, inputs: Mapping[str, Tensor], batch: Mapping[str, Any], kept: Features | None
    ) -> dict[str, dict[int, Tensor]]:
        """The shared stages' outputs, each computed once, or kept: trunk -> number of stages ->
        features."""
        sharers: dict[str, dict[int, Member]] = {}
        for index in self.active:
            if self.shared[index]:
                member = self.members[index]
                sharers.setdefault(member.trunk, {})[self.shared[index]] = member
        features = {}
        for trunk, by_cut in sharers.items():
            deepest = by_cut[max(by_cut)]
            x, compute = inputs[deepest.view], deepest.module.prefix_features
            if kept is None:
                features[trunk] = compute(x, by_cut)
            else:
                features[trunk] = kept.take(trunk, by_cut, x, batch["rows"], compute)
        return features


def as_pack(module: LightningModule) -> PackModule:
    """The module passed to a callback, with its type."""
    assert isinstance(module, PackModule)
    return module


def means(sums: Tensor) -> Means:
    """Mean loss and accuracy of each member, from losses, hits and images (3, M)."""
    losses, hits, images = sums
    count = images.clamp(min=1)
    return (losses / count).tolist(), (hits / count).tolist()


def _count(sums: Tensor, losses: Tensor, hits: Tensor, images: int) -> None:
    """Add a batch to the sums, in place: losses (M,), numbers of hits (M,)."""
    sums[0] += losses.double() * images
    sums[1] += hits
    sums[2] += images
