"""From one run's config to its parts: the fresh network, its place in a pack, images, schedule.

Every part is made with plain arguments; a config goes no further than this file and `run`.
"""

import hashlib
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from transferlab import checkpoints, data, models, optimiser, plan, store, transfer, variants
from transferlab.config import RunConfig
from transferlab.data import half as halves
from transferlab.data import mean as means
from transferlab.data.half import Half
from transferlab.data.images import ImageSet
from transferlab.errors import RunFailed
from transferlab.models.stages import StagedNetwork
from transferlab.module import Member
from transferlab.resolve import split_of
from transferlab.store import Run

log = logging.getLogger(__name__)
NO_MEAN = "none"


@dataclass(frozen=True)
class Subject:
    """One run of a pack: its config, its place, and the base network that it starts from."""

    config: RunConfig
    run: Run
    base: Run | None
    base_weights: dict[str, Tensor] | None


def subject(config: RunConfig) -> Subject:
    """The run with its base network. Raises: as `subjects` does."""
    return subjects([config])[0]


def subjects(configs: Iterable[RunConfig]) -> list[Subject]:
    """The runs with their base networks, each loaded once and checked against its digest.

    Raises: UserError if a base was damaged, RunFailed if it is not finished.
    """
    found: list[Subject] = []
    loaded: dict[Path, dict[str, Tensor]] = {}
    for config in configs:
        run, base = store.locate(config), plan.base_of(config)
        if base is None:
            found.append(Subject(config, run, None, None))
            continue
        place = store.locate(base)
        if place.folder not in loaded:
            result = store.read_result(place)
            if result is None:
                raise RunFailed(
                    f"{run.label} needs {place.label}, and {place.folder} is not finished"
                )
            loaded[place.folder] = checkpoints.load_weights(store.check_weights(place, result))
        found.append(Subject(config, run, place, loaded[place.folder]))
    return found


def network(config: RunConfig) -> StagedNetwork:
    """The run's network with weights not yet drawn.

    Raises: UserError if the model, the image size or the cut do not fit.
    """
    outputs = config.model.num_outputs or len(split_of(config).half(config.variant.target))
    built = models.build(config.model.name, num_outputs=outputs, image_size=config.data.crop)
    variants.check_cut(
        len(built), config.variant.n, keep=config.transfer.keep, model=config.model.name
    )
    return built


def fresh(subject: Subject) -> StagedNetwork:
    """The run's network before its first step: drawn, copied, frozen."""
    config = subject.config
    built = network(config)
    built.initialise(partial(seed_of, config.seed, subject.run.label, "init"))
    built.key_dropout(partial(seed_of, config.seed, subject.run.label, "dropout"))
    transfer.graft(
        built,
        config.variant,
        keep=config.transfer.keep,
        base=subject.base_weights,
        model=config.model.name,
    )
    return built


def seed_of(seed: int, label: str, purpose: str, stage: str) -> int:
    """A seed for one purpose of one stage of one network, independent of all others.

    The label counts, so that B3B does not get the head that baseB began with: it would fit the
    copied stages better than a fresh one, and the co-adaptation gap would look smaller.
    """
    digest = hashlib.sha256(f"{seed}/{label}/{purpose}/{stage}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def member(subject: Subject, built: StagedNetwork) -> Member:
    """The network's place in a pack: what it may share, and which input it takes."""
    variant = subject.config.variant
    frozen = variant.n if variant.frozen else 0
    origin = subject.run.id if subject.base is None else subject.base.id
    view = mean_letter(subject.config)
    return Member(
        name=subject.run.label,
        network=built,
        frozen=frozen,
        shared=min(frozen, built.deterministic_stages()),
        trunk=f"{origin}/{view}",
        view=view,
    )


def cache_folder(config: RunConfig) -> Path:
    """Where mean images and downloads are kept."""
    return Path(config.runtime.cache).expanduser()


def load_images(config: RunConfig) -> ImageSet:
    """The data set, all classes."""
    chosen = config.data
    return data.load(
        chosen.name,
        root=chosen.root,
        val=chosen.val,
        holdout=chosen.holdout,
        size=chosen.size,
        resize=chosen.resize,
        cache=cache_folder(config),
    )


def half(config: RunConfig, images: ImageSet, letter: str) -> Half:
    """Half A or B of the data set."""
    return halves.cut(
        images,
        split_of(config).half(letter),
        per_class=config.data.per_class,
        skip_unreadable=config.data.unreadable == "skip",
    )


def mean_letter(config: RunConfig) -> str:
    """Whose mean image the run subtracts: the base half's, as the authors did, unless told."""
    if config.data.mean == "none":
        return NO_MEAN
    base, target = config.variant.base, config.variant.target
    return base if config.data.mean == "base" and base in variants.HALVES else target  # type: ignore[return-value]


def mean_image(
    config: RunConfig, images: ImageSet, letter: str, *, workers: int
) -> np.ndarray | None:
    """The mean (S, S, 3) over a half's training images, cached; None for `NO_MEAN`."""
    if letter == NO_MEAN:
        return None
    chosen = half(config, images, letter)

    def tell(done: int) -> None:
        if done % (20 * means.BATCH) == 0:
            log.info("mean image of half %s: %d of %d images", letter, done, len(chosen.train))

    return means.mean_image(
        chosen.train,
        cache=cache_folder(config),
        name=means.key(
            images.digest,
            chosen.classes,
            size=config.data.size,
            resize=config.data.resize,
            per_class=config.data.per_class,
        ),
        workers=workers,
        on_progress=tell,
    )


def schedule(config: RunConfig, steps: int) -> optimiser.Schedule:
    """The recipe's learning rate by step."""
    train = config.train
    warmup_steps = round(train.warmup * steps)
    if train.schedule == "cosine":
        return optimiser.Cosine(train.lr, steps, warmup_steps)
    assert train.lr_step is not None and train.lr_factor is not None
    return optimiser.StepDecay(train.lr, train.lr_step, train.lr_factor, warmup_steps)


def make_optimizer(
    config: RunConfig,
) -> Callable[[Iterable[nn.Module]], torch.optim.Optimizer]:
    """The recipe's optimiser, to be given the networks."""
    train = config.train
    return partial(
        optimiser.build,
        momentum=train.momentum,
        nesterov=train.nesterov,
        weight_decay=train.weight_decay,
        bias_lr_factor=train.bias_lr_factor,
        bias_decay_factor=train.bias_decay_factor,
    )
