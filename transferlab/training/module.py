"""The LightningModule of one network: a base network, or one with its first stages copied.

Yosinski et al. 2014, Sec. 2. A plain Lightning module with automatic optimisation: callbacks,
loggers and checkpoints work as on any other. `PackModule` trains many of them on one stream of
images, with the same steps.

Shapes: B batch, C channels, P pixels a side, K classes.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import LightningModule
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from transferlab.errors import UserError
from transferlab.models import transfer
from transferlab.models.stages import StagedNetwork
from transferlab.training import optimiser
from transferlab.training.checkpoints import load_weights
from transferlab.training.losses import LOSSES
from transferlab.training.recipe import Recipe
from transferlab.training.scores import ValidationScores
from transferlab.training.seeds import network_seed

Weights = Mapping[str, Tensor]


class TransferModule(LightningModule):
    """Trains `network`, in place: fresh from `seed`, its first n stages copied from `base`.

    A batch is a pair of inputs (B, C, P, P) and labels (B,), or for several labels an image (B, K)
    int8 of 1, -1 and 0. Logs train/loss, train/accuracy, val/loss and val/accuracy as means over
    the images of an epoch; accuracies are in [0, 1]. With several labels val/map11 and val/map take
    the place of both accuracies: see `experiment.average_precision`.

    n: the cut point, 0 <= n < number of stages; 0 is a base network.
    base: a state dict, a network, or a safetensors file. None copies nothing: a base network, or
        with n > 0 a random prefix.
    frozen: stages 1..n do not learn: no gradient, not in the optimiser, batch norm in evaluation.
    keep: how many stages after the cut are copied too, as initial values that learn.
    seed: initial values and dropout masks are functions of it, of `split` and of `label`. None
        keeps the values that the network has; its dropout masks are then those of seed 0.
    split: what the halves are called in the seeds; that of a run is `HalfDataModule.split_digest`.
    label: what the network is called in its seeds, `A3B`; networks with other labels have other
        heads. By default `base` or `n3`, `n3+`.

    Raises: UserError if n or keep is no cut point, or the base's weights do not fit.
    """

    def __init__(
        self,
        network: StagedNetwork,
        *,
        n: int = 0,
        base: Weights | nn.Module | str | Path | None = None,
        frozen: bool = False,
        keep: int = 0,
        recipe: Recipe | Mapping[str, Any],
        seed: int | None = 0,
        split: str = "",
        label: str | None = None,
    ) -> None:
        super().__init__()
        self.recipe = recipe if isinstance(recipe, Recipe) else Recipe(**recipe)
        self.label = _default_label(n, frozen) if label is None else label
        self.save_hyperparameters(
            {
                "n": n,
                "frozen": frozen,
                "keep": keep,
                "seed": seed,
                "split": split,
                "label": self.label,
                "recipe": asdict(self.recipe),
            }
        )
        self.network = network
        self.frozen_stages = n if frozen else 0
        self.loss = LOSSES[self.recipe.loss]
        self.scores = ValidationScores()
        self.seen = 0  # images of this process in the current validation
        self.rows = 0  # of the current step, in all processes, that came before this batch
        if seed is not None:
            network.initialise(partial(network_seed, seed, split, self.label, "init"))
        network.key_dropout(partial(network_seed, seed or 0, split, self.label, "dropout"))
        weights = None if base is None else _weights(base)
        transfer.graft(network, n=n, keep=keep, frozen=frozen, base=weights)

    def train(self, mode: bool = True) -> "TransferModule":
        """As `nn.Module.train`, but batch norm of frozen stages stays in evaluation mode."""
        super().train(mode)
        if self.frozen_stages:
            transfer.freeze_stages(self.network, self.frozen_stages)
        return self

    def forward(self, x: Tensor, *, start: int = 0) -> Tensor:
        """Logits (B, K), float32 whatever the precision; from the features after `start` stages."""
        for _, features in self._stages(x, start):
            x = features
        return x.float()

    def score(self, x: Tensor, labels: Tensor, *, start: int = 0) -> tuple[Tensor, Tensor]:
        """The loss, a scalar, and the logits (B, K), for inputs and their labels.

        In training the loss has the terms of the auxiliary classifiers on stages that learn.
        """
        auxiliary = []
        for depth, features in self._stages(x, start):
            x = features
            if self.training and depth > self.frozen_stages:
                auxiliary += [
                    weight * self.loss(head(x).float(), labels)
                    for head, weight in self.network.auxiliary_at(depth)
                ]
        logits = x.float()
        return sum(auxiliary, self.loss(logits, labels)), logits.detach()

    def prefix_features(self, x: Tensor, cuts: Iterable[int]) -> dict[int, Tensor]:
        """The features after each of these numbers of stages, in one pass."""
        depths, kept = set(cuts), {}
        for depth, features in self._stages(x, 0, max(depths)):
            if depth in depths:  # features between cuts need not stay in memory
                kept[depth] = features
        return kept

    def _stages(
        self, x: Tensor, start: int, end: int | None = None
    ) -> Iterator[tuple[int, Tensor]]:
        """Stages start + 1..end: the number and the output of each, without a graph if frozen."""
        for depth, stage in enumerate(list(self.network)[start:end], start + 1):
            with torch.set_grad_enabled(torch.is_grad_enabled() and depth > self.frozen_stages):
                x = stage(x)
            yield depth, x

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """The recipe's optimiser and its rate by step.

        Raises: UserError if neither the recipe nor the Trainer determines the number of steps.
        """
        total_steps = self.recipe.total_steps
        if total_steps is None:
            steps = self.trainer.estimated_stepping_batches
            if not 0 < steps < float("inf"):
                raise UserError(
                    "recipe.total_steps=None needs a Trainer that ends: give it max_epochs or "
                    "max_steps, or the recipe its total_steps"
                )
            total_steps = int(steps)
        optimizer, scheduler = optimiser.build([self.network], self.recipe, total_steps=total_steps)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }

    def training_step(self, batch: Sequence[Tensor], batch_idx: int) -> Tensor:
        trainer = self.trainer
        if batch_idx % trainer.accumulate_grad_batches == 0:
            self.rows = 0  # batches whose gradients are accumulated are parts of one
        self.network.set_step(
            trainer.global_step, first=self.rows + trainer.global_rank, stride=trainer.world_size
        )
        self.rows += len(batch[1]) * trainer.world_size
        x, labels = batch
        loss, logits = self.score(x, labels)
        self._log_means("train", loss, logits, labels)
        return loss

    def on_validation_epoch_start(self) -> None:
        self.seen = 0

    def validation_step(self, batch: Sequence[Tensor], batch_idx: int) -> None:
        x, labels = batch
        loss, logits = self.score(x, labels)
        self._log_means("val", loss, logits, labels)
        if labels.ndim == 2:
            count, stride = len(labels), self.trainer.world_size
            indices = self.seen + torch.arange(count, device=labels.device)
            self.scores.add(self.trainer.global_rank + stride * indices, labels, [logits])
            self.seen += count

    def on_validation_epoch_end(self) -> None:
        if self.scores.parts:
            self._log(self.scores.take()[0], images=self.seen)

    def _log_means(self, subset: str, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        means = {f"{subset}/loss": loss}
        if labels.ndim == 1:
            means[f"{subset}/accuracy"] = count_hits(logits, labels) / len(labels)
        self._log(means, images=len(labels))

    def _log(self, values: Mapping[str, Tensor | float], *, images: int) -> None:
        self.log_dict(
            dict(values),
            on_step=False,
            on_epoch=True,
            prog_bar=True,
            batch_size=images,
            sync_dist=self.trainer.world_size > 1,
        )


def count_hits(logits: Tensor, labels: Tensor) -> Tensor:
    """The number of images whose highest logit is that of their label: (B, K) and (B,)."""
    return (logits.argmax(dim=1) == labels).sum()


def _default_label(n: int, frozen: bool) -> str:
    return "base" if n == 0 else f"n{n}" if frozen else f"n{n}+"


def _weights(base: Weights | nn.Module | str | Path) -> Weights:
    if isinstance(base, nn.Module):
        return base.state_dict()
    return load_weights(Path(base)) if isinstance(base, str | Path) else base
