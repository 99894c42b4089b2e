"""Which runs of a pack are trained together: those at one step, as many as the device has room for.

A run that was stopped by itself may be behind the others, and memory may be smaller than a plan
took it to be, or fuller. What a run computes does not depend on its company, so a pack can be cut
at any checkpoint.
"""

import logging
from collections.abc import Iterable, Sequence

import torch

from transferlab.experiment import plan
from transferlab.experiment.cost import memory, networks
from transferlab.experiment.cost.memory import Room
from transferlab.experiment.run import Run
from transferlab.models import shapes
from transferlab.models.facts import NetworkFacts, NetworkShape
from transferlab.runtime import devices
from transferlab.training import build, checkpoints, trainer
from transferlab.training.build import Subject
from transferlab.training.checkpoints import TrainingState

log = logging.getLogger(__name__)
Group = list[tuple[Subject, TrainingState]]  # runs that are at the same step, and where they stand


def by_step(subjects: Iterable[Subject]) -> list[Group]:
    """The subjects, with their states, in groups that can go on together; usually one group."""
    found: dict[int, Group] = {}
    for subject in subjects:
        state = state_of(subject)
        found.setdefault(state.step, []).append((subject, state))
    return [found[step] for step in sorted(found)]


def state_of(subject: Subject) -> TrainingState:
    """Where the run stands: its checkpoint, or before the first step."""
    saved = checkpoints.load(subject.run)
    if saved is not None:
        return saved
    return TrainingState(0, build.fresh(subject).state_dict(), {}, (0.0, 0.0, 0.0), (), (), 0.0)


def fitting(group: Group) -> list[Group]:
    """The group in parts that fit into the memory that this process may have."""
    if len(group) == 1:
        return [group]
    runs = [subject.run for subject, _ in group]
    config = runs[0].config
    device = trainer.build(config, [], intervals=1).strategy.root_device
    space = room(runs, device, alike=config.runtime.devices > 1)
    found = plan.parts(group, lambda part: space.fits([subject.run for subject, _ in part]))
    if len(found) > 1:
        need, limit = space.need(runs), space.limit(runs[0])
        assert limit is not None
        log.info(
            "%d runs together need %s: they are trained in %d parts, one after another",
            len(group),
            memory.words(need, limit),
            len(found),
        )
    return [list(part) for part in found]


def halves(members: Sequence[Subject]) -> list[Group]:
    """The runs for which memory was too small, from their last checkpoints, half of them each."""
    devices.release_memory()
    middle = (len(members) + 1) // 2
    log.warning(
        "the memory is full: the %d runs go on from their checkpoints in two parts", len(members)
    )
    return [group for half in (members[:middle], members[middle:]) for group in by_step(half)]


def too_many(members: Sequence[Subject], why: str) -> str:
    """The message for runs that several processes train, of which one had no memory left."""
    labels = " ".join(subject.run.label for subject in members)
    return (
        f"the memory is full of {len(members)} runs that several processes train together "
        f"({_first_sentence(why)}), and only one process alone goes on in smaller parts: give "
        f"sweep.pack={(len(members) + 1) // 2} or less, or less runtime.memory_gb: {labels}"
    )


def too_large(subject: Subject, why: str) -> str:
    """The message for a run for which alone there was no memory; `why` is the error's."""
    return (
        f"{subject.run.label}: the memory is full, and the run was alone ({_first_sentence(why)}): "
        "it needs another device, or several that share the batch out (runtime.devices); with "
        f"another train.batch_size it would be another run: {subject.run.folder}"
    )


def _first_sentence(text: str) -> str:
    return text.strip().partition("\n")[0].partition(". ")[0]


def room(runs: Iterable[Run], device: torch.device, *, alike: bool) -> Room:
    """What the networks of these runs need, and what is free for them."""
    facts: dict[NetworkShape, NetworkFacts] = {}
    for run in runs:
        network = networks.network_of(run)
        if network not in facts:
            facts[network] = networks.remembered(run) or _facts(run)
    return Room(facts, devices.free_memory_bytes(device, alike=alike))


def _facts(run: Run) -> NetworkFacts:
    with torch.device("meta"):
        network = build.network(run)
    found = shapes.stages(network, run.config.data.crop)
    return NetworkFacts(tuple(stage.facts for stage in found), None, None, None)
