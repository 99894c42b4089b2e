"""From the runs that are wanted to their being carried out: here, or by SLURM.

What every way of starting several runs has in common: a study, a Hydra multirun, a retry.
"""

import logging
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from transferlab import store
from transferlab.errors import RunFailed, UserError
from transferlab.experiment import plan
from transferlab.experiment.config import RunConfig
from transferlab.experiment.cost import estimate, networks
from transferlab.experiment.cost.estimate import Estimate
from transferlab.experiment.cost.memory import Room
from transferlab.experiment.launcher import Launcher, LocalSettings
from transferlab.experiment.plan import Fits, Pack
from transferlab.experiment.resolve import resolve_all
from transferlab.experiment.run import Run
from transferlab.launch import local, slurm
from transferlab.launch.board import Board
from transferlab.launch.cluster import Cluster, SlurmCluster
from transferlab.launch.slurm import Submission
from transferlab.models.facts import Facts
from transferlab.runtime import machine
from transferlab.store import sweeps

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Order:
    """Runs to be carried out: `runs` are all that a study is, `todo` those not finished.

    `room` is what their packs have to fit into, None until somebody has looked.
    """

    study: str
    runs: tuple[Run, ...]
    todo: tuple[Run, ...]
    launcher: Launcher
    pack: int | None
    room: Room | None = None

    @property
    def store(self) -> Path:
        return Path(self.runs[0].config.runtime.store)

    @property
    def fits(self) -> Fits | None:
        return None if self.room is None else self.room.fits

    @cached_property
    def packs(self) -> tuple[Pack, ...]:
        return plan.packs(self.todo, self.pack, fits=self.fits)


def resolved(configs: Iterable[RunConfig], launcher: Launcher) -> tuple[Run, ...]:
    """The runs of the configs, with the launcher's threads where they name none.

    Raises: UserError as `resolve` does.
    """
    return resolve_all(_threaded(config, launcher.threads) for config in configs)


def order(study: str, runs: Iterable[Run], launcher: Launcher, *, pack: int | None) -> Order:
    """The plan of these runs, in the store that they name.

    Raises: UserError if there is nothing to plan, or the store cannot be read.
    """
    runs = tuple(runs)
    if not runs:
        raise UserError(f"study={study} has no runs")
    if len({run.config.runtime.store for run in runs}) > 1:
        raise UserError("runtime.store is a list: a study is kept in one store")
    planned = plan.order(runs)
    return Order(study, planned, store.unfinished(planned), launcher, pack)


def look(wanted: Order) -> Order:
    """The order with what is known of the networks that are to be trained, and of the device.

    Raises: UserError for a network that cannot be built or has no such cut.
    """
    facts = _facts(wanted, wanted.todo, timed=False)
    networks.check(wanted.todo, facts)
    device_bytes = _device_bytes(wanted.launcher, wanted.todo[0].config, facts)
    return replace(wanted, room=Room(facts, device_bytes))


def cost(wanted: Order) -> Estimate:
    """What it takes to train what an order that was looked at has to do. Raises: UserError."""
    assert wanted.room is not None
    records = list(store.finished_records(wanted.store))
    unknown = estimate.without_records(wanted.todo, records)
    facts = {**wanted.room.facts, **_facts(wanted, unknown, timed=True)}
    launcher = wanted.launcher
    at_once = launcher.jobs if isinstance(launcher, LocalSettings) else len(wanted.todo)
    return estimate.estimate(wanted.packs, records=records, facts=facts, at_once=at_once)


def submit(wanted: Order, cluster: Cluster | None = None) -> Submission:
    """Hand over to SLURM what is not queued yet, and return. Raises: UserError."""
    sweep = sweeps.start(wanted.store, wanted.study, wanted.runs, wanted.launcher, wanted.pack)
    submission = slurm.submit(sweep, wanted.todo, cluster or SlurmCluster(), fits=wanted.fits)
    if submission.active:
        log.info("%d runs are in the queue already", len(submission.active))
    return submission


def train(wanted: Order) -> None:
    """Train here what is missing, and wait for it.

    Raises: UserError; Interrupted with everything saved; RunFailed if some runs are not done.
    """
    sweep = sweeps.start(wanted.store, wanted.study, wanted.runs, wanted.launcher, wanted.pack)
    with Board() as board:
        progress = local.carry_out(sweep, wanted.todo, board, fits=wanted.fits)
    left = store.unfinished(wanted.todo)
    if left:
        parts = [f"{len(left)} of {len(wanted.runs)} runs are not done"]
        if progress.failed:
            parts.append(f"{len(progress.failed)} failed")
        if progress.blocked:
            parts.append(f"{len(progress.blocked)} wait for a base that failed")
        raise RunFailed(
            f"{', '.join(parts)}: python -m transferlab status --store {wanted.store} tells why, "
            "and the same command tries them again"
        )


def _facts(wanted: Order, runs: Iterable[Run], *, timed: bool) -> Facts:
    cache = Path(wanted.runs[0].config.runtime.cache).expanduser()
    return networks.facts(runs, timed=timed, threads=wanted.launcher.threads, cache=cache)


def _device_bytes(launcher: Launcher, config: RunConfig, facts: Facts) -> int | None:
    """The memory that a worker has here on each of its devices; None for nodes of a cluster.

    Workers share the processor's memory, and GPUs of which there are too few.
    """
    if not isinstance(launcher, LocalSettings):
        return None
    devices = config.runtime.devices
    gpu = next(iter(facts.values())).device_bytes
    if gpu is None:
        return machine.total_bytes() // (launcher.jobs * devices)
    gpus = len(set(launcher.gpus)) if launcher.gpus else devices
    return gpu // math.ceil(launcher.jobs * devices / gpus)


def _threaded(config: RunConfig, threads: int) -> RunConfig:
    if config.runtime.threads is not None:
        return config
    return replace(config, runtime=replace(config.runtime, threads=threads))
