"""The update rule of a training as plain values: that part of `conf/train`, without a run.

Source: yosinski/convnet_transfer, solver and train_val prototxt files. Not here: batches, their
order, validation and precision, which belong to the data module and the Trainer.
"""

from dataclasses import dataclass, fields, replace
from typing import Literal

from transferlab.errors import UserError
from transferlab.experiment import schema
from transferlab.experiment.agreement import check_drops
from transferlab.experiment.config import TrainConfig
from transferlab.training.schedule import Cosine, Drops, Schedule, StepDecay


@dataclass(frozen=True)
class Recipe:
    """SGD with a rate by step, and the loss. By default no momentum, no decay, no warm-up.

    `schedule` is `cosine`, down to 0 at `total_steps`, or times `lr_factor`, `step`: every
    `lr_step` steps, `steps`: at each of `lr_steps`. `warmup` is the fraction of `total_steps` in
    which the rate rises linearly. Without `total_steps` the Trainer says how many there are. Biases
    and the parameters of normalisation have a rate and a decay of their own, as multiples of those
    of weights. `rate_in_velocity` is Caffe's rule: v = m v + lr g, w = w - v. `loss` is one of
    `losses.LOSSES`.
    """

    lr: float
    schedule: Literal["cosine", "step", "steps"]
    lr_step: int | None = None
    lr_steps: tuple[int, ...] | None = None
    lr_factor: float | None = None
    warmup: float = 0.0
    total_steps: int | None = None
    momentum: float = 0.0
    nesterov: bool = False
    rate_in_velocity: bool = False
    weight_decay: float = 0.0
    bias_lr_factor: float = 1.0
    bias_decay_factor: float = 1.0
    norm_lr_factor: float = 1.0
    norm_decay_factor: float = 1.0
    loss: Literal["cross_entropy", "binary", "hinge", "ranking"] = "cross_entropy"

    def __post_init__(self) -> None:
        """Raises: UserError for a value that `conf/train` does not accept either."""
        types = schema.field_types(TrainConfig)
        for field in fields(Recipe):
            schema.value(types[field.name], getattr(self, field.name), f"recipe.{field.name}")
        check_drops(vars(self), "recipe")
        if self.nesterov and self.momentum == 0:
            raise UserError("recipe.nesterov=True needs recipe.momentum above 0")

    @classmethod
    def from_config(cls, train: TrainConfig, total_steps: int | None = None) -> "Recipe":
        """The recipe of `conf/train`, over `total_steps` or as many as the Trainer makes."""
        recipe = cls(**{field.name: getattr(train, field.name) for field in fields(cls)})
        return recipe if total_steps is None else replace(recipe, total_steps=total_steps)

    def rate(self, total_steps: int) -> Schedule:
        """The learning rate of steps 1 to `total_steps`."""
        warmup_steps = round(self.warmup * total_steps)
        if self.schedule == "cosine":
            return Cosine(self.lr, total_steps, warmup_steps)
        assert self.lr_factor is not None
        if self.schedule == "steps":
            assert self.lr_steps is not None
            return Drops(self.lr, self.lr_steps, self.lr_factor, warmup_steps)
        assert self.lr_step is not None
        return StepDecay(self.lr, self.lr_step, self.lr_factor, warmup_steps)
