"""One run as frozen dataclasses: the fields of `conf/`, group by group, each with its bounds.

Every default lives in conf/ and none here; `build` makes a config from a plain dict and checks what
must agree. Paths (`data.root`, `data.val`, `split.groups`) are those of this machine. The `digest`
fields beside them, filled in by `resolve`, identify the content, and only they enter the run id.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from transferlab import models
from transferlab.experiment import variables, variants
from transferlab.experiment.schema import above, at_least, below
from transferlab.experiment.variants import Variant
from transferlab.runtime import paths
from transferlab.runtime.hashes import Hashed, hashed_once

Seed = Annotated[int, at_least(0)]
Count = Annotated[int, at_least(1)]
NonNegative = Annotated[float, at_least(0)]
Positive = Annotated[float, above(0)]
BelowOne = Annotated[float, at_least(0), below(1)]
Colour = tuple[float, float, float]  # red, green, blue


class Section(Hashed):
    """A part of a config. A study of 100,000 runs has few, which its runs share."""

    __slots__ = ()


@hashed_once
@dataclass(frozen=True)
class DataConfig(Section):
    name: str
    root: str | None
    val: str | None
    holdout: Annotated[float, above(0), below(1)] | None  # fraction of every class
    per_class: Count | None
    size: Count
    resize: Literal["warp", "crop", "side"]
    decode: Literal["exact", "scaled"]
    crop: Count
    scales: tuple[Count, Count] | None
    pad: Annotated[int, at_least(0)]
    pca: NonNegative
    grey: bool
    mean: Literal["base", "target", "none"] | Colour  # in grey levels
    scale: float | Colour
    unreadable: Literal["error", "skip"]
    digest: str | None

    @property
    def one_size(self) -> bool:
        """Whether all images are squares of `size` pixels a side: their mean is an image then."""
        return self.resize != "side" and self.scales is None

    @property
    def one_view(self) -> bool:
        """Whether an image is seen in training as in validation, or mirrored."""
        return self.one_size and self.size == self.crop and self.pad == 0 and self.pca == 0


@hashed_once
@dataclass(frozen=True)
class SplitConfig(Section):
    name: str
    seed: Seed | None
    groups: str | None
    digest: str | None
    weights: str | None  # of the network that A is, where A has no images
    a: DataConfig | None  # the data set of A, where A is no half of `data`; of weights, their view


@hashed_once
@dataclass(frozen=True)
class ModelConfig(Section):
    name: str
    num_outputs: Annotated[int, at_least(2)] | None
    cuts: Literal["stage", "fine"]
    reduction: Literal["maxpool", "strided", "parallel"] | None

    @property
    def is_own(self) -> bool:
        """Whether the network is code of a user's own, which has to be imported."""
        return models.is_own(self.name)


@hashed_once
@dataclass(frozen=True)
class TransferConfig(Section):
    variant: str
    n: int | None
    target: str | None
    keep: Annotated[int, at_least(0)]

    __slots__ = ("__dict__", "_meaning")  # beside the fields, so that `vars` has only these

    @property
    def meaning(self) -> Variant:
        """The variant that `variant`, `n` and `target` specify. Raises: UserError."""
        try:
            return self._meaning  # type: ignore[attr-defined, no-any-return]
        except AttributeError:
            parsed = variants.parse(self.variant, n=self.n, target=self.target)
            object.__setattr__(self, "_meaning", parsed)
            return parsed


@hashed_once
@dataclass(frozen=True)
class TrainConfig(Section):
    batch_size: Count
    total_steps: Count | None
    epochs: Positive | None
    lr: NonNegative
    schedule: Literal["step", "steps", "cosine"]
    warmup: BelowOne  # fraction of the steps
    lr_step: Count | None
    lr_steps: tuple[Count, ...] | None
    lr_factor: NonNegative | None
    momentum: BelowOne
    nesterov: bool
    rate_in_velocity: bool
    weight_decay: NonNegative
    bias_lr_factor: NonNegative
    bias_decay_factor: NonNegative
    norm_lr_factor: NonNegative
    norm_decay_factor: NonNegative
    reshuffle: bool
    mirror: bool
    loss: Literal["cross_entropy", "binary", "hinge", "ranking"]
    precision: Literal["float32", "bfloat16"]
    channels_last: bool
    val_every: Count | None
    val_batch_size: Count


@hashed_once
@dataclass(frozen=True)
class RuntimeConfig(Section):
    store: str
    cache: str | None
    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps"]
    devices: Count
    workers: Annotated[int, at_least(0)] | None
    threads: Count | None
    compile: bool
    memory_gb: Positive | None
    features_gb: NonNegative | None
    logger: Literal["csv", "tensorboard", "wandb"]
    wandb_project: str
    checkpoint_every_s: NonNegative
    checkpoint_least_s: NonNegative


@dataclass(frozen=True)
class RunConfig:
    revision: Count  # of the rules by which the rest becomes numbers: see `identity.REVISION`
    seed: Seed
    split: SplitConfig
    data: DataConfig
    model: ModelConfig
    transfer: TransferConfig
    train: TrainConfig
    runtime: RuntimeConfig

    @property
    def variant(self) -> Variant:
        """The variant that `transfer.variant`, `transfer.n` and `transfer.target` specify."""
        return self.transfer.meaning

    @property
    def is_pretrained(self) -> bool:
        """Whether its network is given, by `split.weights`, and is not trained."""
        return self.split.weights is not None and self.variant.target == "A"

    @property
    def label(self) -> str:
        """`A3B`; with stages copied after the cut `A3B-keep2`."""
        keep = f"-keep{self.transfer.keep}" if self.transfer.keep else ""
        return variants.label(self.variant) + keep

    @property
    def split_label(self) -> str:
        """`random0`, `manmade_natural`."""
        return self.split.name + ("" if self.split.seed is None else str(self.split.seed))

    def with_sections(self, sections: Mapping[str, Any]) -> "RunConfig":
        """As `replace`, in a third of the time: a study may have 100,000 runs."""
        other = object.__new__(RunConfig)
        vars(other).update(vars(self), **sections)
        return other


def total_steps(config: RunConfig, train_images: int) -> int:
    """The number of training steps, for a number of training images."""
    if config.train.total_steps is not None:
        return config.train.total_steps
    assert config.train.epochs is not None
    return math.ceil(config.train.epochs * train_images / config.train.batch_size)


def cache_folder(config: RunConfig) -> Path:
    """The folder of mean images and downloads. Raises: UserError as `variables.expand` does."""
    setting = config.runtime.cache
    return paths.cache(None if setting is None else variables.expand("runtime.cache", setting))
