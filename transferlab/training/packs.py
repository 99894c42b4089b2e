"""Which runs of a pack train together: those at the same step, as many as fit into memory.

A run that was once trained alone may be at another step, and less memory may be free than the plan
assumed. What a run computes does not depend on the others, so a pack can be divided at any
checkpoint.
"""

import logging
import math
from collections.abc import Iterable, Sequence
from functools import lru_cache

import torch

from transferlab import models
from transferlab.errors import UserError
from transferlab.experiment import plan, views
from transferlab.experiment.cost import memory, networks
from transferlab.experiment.cost.memory import Room
from transferlab.experiment.reuse import require_same_images
from transferlab.experiment.run import Run
from transferlab.models import shapes
from transferlab.models.facts import Facts, NetworkFacts, NetworkShape
from transferlab.runtime import commands, devices
from transferlab.training import build, checkpoints
from transferlab.training.build import Subject
from transferlab.training.checkpoints import TrainingState
from transferlab.training.trainer import build_trainer

log = logging.getLogger(__name__)
Group = list[tuple[Subject, TrainingState]]  # runs at one step, with their states
# Bytes of a parameter (value, gradient, momentum, update), and of the activations of an image for
# each of its own as float32: of alexnet 11, of VGG-16 and DenseNet a few hundred. What has room
# for so much needs no closer look, which takes seconds
PARAMETER_BYTES, ACTIVATIONS = 16, 1000


def by_step(subjects: Iterable[Subject]) -> list[Group]:
    """The subjects with their states, in groups that are at one step; usually one group."""
    groups: dict[int, Group] = {}
    for subject in subjects:
        state = state_of(subject)
        groups.setdefault(state.step, []).append((subject, state))
    return [groups[step] for step in sorted(groups)]


def state_of(subject: Subject) -> TrainingState:
    """The run's checkpoint or, before the first one, its fresh network.

    Raises: UserError if a file that was left out before the checkpoint has changed.
    """
    run, saved = subject.run, checkpoints.load(subject.run)
    if saved is not None:
        require_same_images(run, saved.skipped, run.checkpoint_file)
        return saved
    weights, skipped = build.fresh(subject).state_dict(), dict(subject.base_skipped)
    return TrainingState(0, weights, {}, (0.0, 0.0, 0.0), (), skipped, 0.0)


def fitting(group: Group) -> list[Group]:
    """The group, divided into parts that fit into the memory that this process may use.

    Raises: UserError if one of the runs does not fit by itself: see `require_memory`.
    """
    if len(group) == 1:
        require_memory(group[0][0].run)
        return [group]
    runs = [subject.run for subject, _ in group]
    config = runs[0].config
    device = build_trainer(config, [], intervals=1).strategy.root_device
    space = room(runs, device, alike=config.runtime.devices > 1)
    parts = plan.parts(group, lambda part: space.fits([subject.run for subject, _ in part]))
    if len(parts) > 1:
        need, limit = space.need(runs), space.limit(runs[0])
        assert limit is not None
        log.info(
            "%d runs together need %s: they are trained in %d parts, one after another",
            len(group),
            memory.used_of(need, limit),
            len(parts),
        )
    for part in parts:
        if len(part) == 1:
            require_memory(part[0][0].run)
    return [list(part) for part in parts]


def require_memory(run: Run) -> None:
    """Raises: UserError if training the run needs more memory than is free, so that the machine
    would swap. A GPU does not: there the estimate is only used to divide packs."""
    config, train = run.config, run.config.train
    devices_used = config.runtime.devices
    device = build_trainer(config, [], intervals=1).strategy.root_device
    with torch.device("meta"):
        parameters = sum(value.numel() for value in build.network(run).parameters())
    images = max(train.batch_size // devices_used, train.val_batch_size)
    activations = images * 3 * views.inputs(config).crop ** 2 * memory.VALUE * ACTIVATIONS
    free = room([], device, alike=devices_used > 1).limit(run)
    if device.type != "cpu" or free is None:
        return
    if config.runtime.memory_gb is None:
        free //= devices_used
    if PARAMETER_BYTES * parameters + activations <= free:
        return
    need = memory.training_bytes([run], room([run], device, alike=False).facts)
    if need <= free:
        return
    sizes = {"train.batch_size": train.batch_size, "train.val_batch_size": train.val_batch_size}
    key = max(sizes, key=sizes.__getitem__)
    each = "" if devices_used == 1 else f"each of the {devices_used} processes of "
    override = commands.setting("runtime.memory_gb", math.ceil(need / memory.GB))
    raise UserError(
        f"{each}{run.label} needs {need / memory.GB:,.1f} GB of memory with {key}={sizes[key]}, "
        f"and {free / memory.GB:,.1f} GB are free: set a lower {key}, or use a machine with more "
        f"memory; {override} overrules this estimate"
    )


def halves(members: Sequence[Subject]) -> list[Group]:
    """Runs that did not fit into memory, in two halves, from their last checkpoints."""
    devices.release_memory()
    middle = (len(members) + 1) // 2
    log.warning(
        "out of memory: the %d runs resume from their checkpoints in two parts", len(members)
    )
    return [group for half in (members[:middle], members[middle:]) for group in by_step(half)]


def too_many(members: Sequence[Subject], error: str) -> str:
    """The message for runs that several processes train, one of which ran out of memory."""
    labels = " ".join(subject.run.label for subject in members)
    return (
        f"out of memory with {len(members)} runs that several processes train together "
        f"({_first_sentence(error)}); only a single process can divide a pack: set "
        f"sweep.pack={(len(members) + 1) // 2} or lower, or a lower runtime.memory_gb: {labels}"
    )


def too_large(subject: Subject, error: str) -> str:
    """The message for a run that does not fit into memory by itself."""
    return (
        f"{subject.run.label}: out of memory, although it was trained alone "
        f"({_first_sentence(error)}): use a larger device, or several that share the batch "
        "(runtime.devices); with another train.batch_size it would be a different run: "
        f"{subject.run.folder}"
    )


def _first_sentence(text: str) -> str:
    return text.strip().partition("\n")[0].partition(". ")[0]


def room(runs: Iterable[Run], device: torch.device, *, alike: bool) -> Room:
    """The memory that the networks of these runs need, and the free memory."""
    return Room(facts(runs), devices.free_memory_bytes(device, alike=alike))


def facts(runs: Iterable[Run]) -> Facts:
    """The stages of every network that the runs have, from the cache or from the network itself."""
    known: dict[NetworkShape, NetworkFacts] = {}
    for run in runs:
        network = networks.network_of(run)
        if network in known:
            continue
        cached = networks.cached_stages(run)
        if cached is None:
            cached = (
                _examined.__wrapped__(network) if run.config.model.is_own else _examined(network)
            )
            networks.cache_stages(run, cached)
        known[network] = cached
    return known


@lru_cache(maxsize=64)  # takes a second; a network of a user's own can change under its name
def _examined(network: NetworkShape) -> NetworkFacts:
    with torch.device("meta"):
        built = models.build(
            network.model,
            num_outputs=network.num_outputs,
            image_size=network.image_size,
            cuts=network.cuts,  # type: ignore[arg-type]
            reduction=network.reduction,
        )
    stages = shapes.stages(built, network.image_size)
    return NetworkFacts(tuple(stage.facts for stage in stages), None, None, None)
