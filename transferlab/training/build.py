"""From one run's config to its parts: the fresh network, its place in a pack, images, schedule.

Every part is made with plain arguments; a config goes no further than this file and `run`.
"""

import hashlib
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from transferlab import models, store
from transferlab.data.datasets.images import ImageSet
from transferlab.data.transforms import Views
from transferlab.errors import RunFailed
from transferlab.experiment.config import RunConfig
from transferlab.experiment.identity import base_of
from transferlab.experiment.resolve import split_of
from transferlab.models import transfer
from transferlab.models.facts import check_cut
from transferlab.models.stages import StagedNetwork
from transferlab.store import Run
from transferlab.training import checkpoints, inputs, optimiser
from transferlab.training.checkpoints import State
from transferlab.training.inputs import mean_letter
from transferlab.training.module import Member, PackModule

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


def fresh(subject: Subject) -> StagedNetwork:
    """The run's network before its first step: drawn, copied, frozen."""
    config = subject.config
    built = network(config)
    built.initialise(partial(seed_of, config.seed, subject.run.label, "init"))
    built.key_dropout(partial(seed_of, config.seed, subject.run.label, "dropout"))
    transfer.graft(
        built,
        n=config.variant.n,
        keep=config.transfer.keep,
        frozen=config.variant.frozen,
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


def pack_module(
    subjects: Sequence[Subject],
    states: Sequence[State],
    images: ImageSet,
    *,
    total_steps: int,
    workers: int,
) -> PackModule:
    """The networks of a pack as the states say, ready for a Trainer.

    `workers` processes read the images for a mean image that is not cached.
    """
    config, members = subjects[0].config, []
    train = config.train
    for subject, state in zip(subjects, states, strict=True):
        network = fresh(subject)
        network.load_state_dict(state.weights)
        if train.channels_last:
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        members.append(member(subject, network))
    views = Views(
        {
            letter: inputs.mean_image(config, images, letter, workers=workers)
            for letter in sorted({member.view for member in members})
        },
        scale=config.data.scale,
        mirror=train.mirror,
        channels_last=train.channels_last,
    )
    module = PackModule(
        members,
        views=views,
        schedule=schedule(config, total_steps),
        optimizer=make_optimizer(config),
        rate_in_velocity=train.rate_in_velocity,
        step=states[0].step,
        velocities=[state.velocity for state in states],
    )
    module.train_sums.copy_(torch.tensor([s.sums for s in states], dtype=torch.float64).T)
    return module
