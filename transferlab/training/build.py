"""From one run's config to its parts: the fresh network, its place in a pack, images, schedule.

Every part is made with plain arguments; a config goes no further than this file and `run`.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from transferlab import models, store
from transferlab.data.datasets.images import ImageSet
from transferlab.data.half import Half
from transferlab.data.transforms import InputTransform
from transferlab.errors import RunFailed
from transferlab.experiment.config import RunConfig
from transferlab.experiment.identity import base_of
from transferlab.experiment.resolve import split_of
from transferlab.models.facts import check_cut
from transferlab.models.stages import StagedNetwork
from transferlab.store import Run
from transferlab.training import checkpoints, inputs
from transferlab.training.checkpoints import TrainingState
from transferlab.training.datamodule import PackData, Reader
from transferlab.training.inputs import mean_letter
from transferlab.training.module import TransferModule
from transferlab.training.pack_module import Member, PackModule
from transferlab.training.recipe import Recipe

log = logging.getLogger(__name__)


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
        run, base = store.locate(config), base_of(config)
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
    check_cut(len(built), config.variant.n, keep=config.transfer.keep, model=config.model.name)
    return built


def module(subject: Subject) -> TransferModule:
    """The run's network before its first step: drawn, copied, frozen."""
    config, variant = subject.config, subject.config.variant
    return TransferModule(
        network(config),
        n=variant.n,
        base=subject.base_weights,
        frozen=variant.frozen,
        keep=config.transfer.keep,
        recipe=Recipe.from_config(config.train),
        seed=config.seed,
        label=subject.run.label,
    )


def fresh(subject: Subject) -> StagedNetwork:
    """The network of `module`."""
    return module(subject).network


def member(subject: Subject) -> Member:
    """The run's network in a pack, with what it may share, and which input it takes."""
    origin = subject.run.id if subject.base is None else subject.base.id
    view = mean_letter(subject.config)
    return Member(module(subject), trunk=f"{origin}/{view}", view=view)


def pack_module(
    subjects: Sequence[Subject], states: Sequence[TrainingState], *, total_steps: int
) -> PackModule:
    """The networks of a pack as the states say, ready for a Trainer."""
    members = [member(subject) for subject in subjects]
    for each, subject, state in zip(members, subjects, states, strict=True):
        each.network.load_state_dict(state.weights)
        if subject.config.train.channels_last:
            each.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    pack = PackModule(
        members,
        total_steps=total_steps,
        step=states[0].step,
        velocities=[state.velocity for state in states],
    )
    pack.train_sums.copy_(torch.tensor([s.sums for s in states], dtype=torch.float64).T)
    return pack


def pack_data(
    subjects: Sequence[Subject],
    images: ImageSet,
    target: Half,
    *,
    start_step: int,
    total_steps: int,
    val_every: int,
    workers: int,
) -> PackData:
    """The batches of a pack: of the target half, as each of its networks sees them.

    `workers` processes read the images, also those for a mean image that is not cached.
    """
    config = subjects[0].config
    train = config.train
    views = InputTransform(
        {
            letter: inputs.mean_image(config, images, letter, workers=workers)
            for letter in sorted({mean_letter(subject.config) for subject in subjects})
        },
        scale=config.data.scale,
        mirror=train.mirror,
        channels_last=train.channels_last,
    )
    reader = Reader(
        target,
        seed=config.seed,
        batch_size=train.batch_size,
        val_batch_size=train.val_batch_size,
        reshuffle=train.reshuffle,
        crop=config.data.crop,
        mirror=train.mirror,
        workers=workers,
    )
    return PackData(
        reader, views, start_step=start_step, total_steps=total_steps, val_every=val_every
    )
