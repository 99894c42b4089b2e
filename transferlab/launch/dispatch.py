"""From requested runs to their execution, here or on SLURM.

The common path of a study, a Hydra multirun and a retry.
"""

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from transferlab import store
from transferlab.errors import RunFailed, UserError
from transferlab.experiment import fit, plan
from transferlab.experiment.config import RunConfig, cache_folder
from transferlab.experiment.cost import estimate, networks
from transferlab.experiment.cost.estimate import Estimate
from transferlab.experiment.cost.memory import Room
from transferlab.experiment.launcher import Launcher, LocalSettings
from transferlab.experiment.plan import Fits, Pack
from transferlab.experiment.resolve import resolve_all
from transferlab.experiment.reuse import require_same_images
from transferlab.experiment.run import Run
from transferlab.launch import inline, local, measured, slurm
from transferlab.launch.board import Board
from transferlab.launch.cluster import Cluster, SlurmCluster
from transferlab.launch.slurm import Submission
from transferlab.models.facts import Facts
from transferlab.runtime import commands, machine
from transferlab.runtime.garbage import uncollected
from transferlab.runtime.reading import Damaged, Unreadable
from transferlab.store import sweeps
from transferlab.store.kept import FinishedRuns, Skipped

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Order:
    """Runs to be carried out: `runs` are all runs of a study, `todo` those not finished.

    `left_out` has, by run id, the reason of those that are neither finished nor in `todo`: a record
    that cannot be used, their own or that of their base. `room` is the memory that their packs must
    fit into; None until `look` has determined it.
    """

    study: str
    runs: tuple[Run, ...]
    todo: tuple[Run, ...]
    launcher: Launcher
    pack: int | None
    room: Room | None = None
    left_out: Mapping[str, str] = field(default_factory=dict)

    @property
    def done(self) -> int:
        """The number of finished runs."""
        return len(self.runs) - len(self.todo) - len(self.left_out)

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
    return resolve_all(configs, threads=launcher.threads)


@uncollected()
def order(study: str, runs: Iterable[Run], launcher: Launcher, *, pack: int | None) -> Order:
    """The plan of these runs, in the store that they name.

    Raises: UserError if there is nothing to plan, the store cannot be read, or a finished run was
    trained without files that have changed.
    """
    runs = tuple(runs)
    if not runs:
        raise UserError(f"study={study} has no runs")
    if len({run.config.runtime.store for run in runs}) > 1:
        raise UserError(
            "runtime.store is a list: a study needs one store, "
            f"{commands.setting('runtime.store', 'DIR')}"
        )
    planned = plan.order(runs)
    finished, faults = _finished(planned)
    todo, left_out = [], {}
    for run in planned:
        if run.id in finished:
            if skipped := finished[run.id]:
                require_same_images(run, skipped, run.folder)
        elif run.id in faults:
            left_out[run.id] = faults[run.id]
        elif run.config.is_pretrained:
            continue  # nothing to train: it is adopted when the others are started
        elif run.base_id in left_out:
            left_out[run.id] = left_out[run.base_id]
        else:
            todo.append(run)
    return Order(study, planned, tuple(todo), launcher, pack, left_out=left_out)


def look(order: Order) -> Order:
    """The order with its `room`: the facts of the networks to be trained, and of the device.

    Raises: UserError for a network that cannot be built or has no such cut.
    """
    for run in order.todo:
        fit.check_network(run.config)
    facts = _facts(order, order.todo, timed=False)
    networks.check(order.todo, facts)
    device_bytes = _device_bytes(order.launcher, order.todo[0].config, facts)
    return replace(order, room=Room(facts, device_bytes))


def cost(order: Order) -> Estimate:
    """The cost of training `todo` of an order that has its `room`. Raises: UserError."""
    assert order.room is not None
    timings = measured.timings(order.store)
    unknown = estimate.without_records(order.todo, timings)
    facts = {**order.room.facts, **_facts(order, unknown, timed=True)}
    launcher = order.launcher
    at_once = launcher.jobs if isinstance(launcher, LocalSettings) else len(order.todo)
    return estimate.estimate(order.packs, timings=timings, facts=facts, at_once=at_once)


def submit(order: Order, cluster: Cluster | None = None) -> Submission:
    """Submit the runs that are not queued yet, and return. Raises: UserError."""
    inline.adopt(order.runs)
    sweep = sweeps.start(order.store, order.study, order.runs, order.launcher, order.pack)
    submission = slurm.submit(sweep, order.todo, cluster or SlurmCluster(), fits=order.fits)
    if submission.active:
        log.info("%d runs are already queued", len(submission.active))
    return submission


def train(order: Order) -> None:
    """Train the missing runs here, and wait for them.

    Raises: UserError; Interrupted with everything saved; RunFailed if runs are not finished.
    """
    inline.adopt(order.runs)
    sweep = sweeps.start(order.store, order.study, order.runs, order.launcher, order.pack)
    with Board() as board:
        progress = local.carry_out(sweep, order.todo, board, fits=order.fits)
    left = store.unfinished(order.todo)
    if left:
        parts = [f"{len(left)} of {len(order.runs)} runs are not finished"]
        if progress.failed:
            parts.append(f"{len(progress.failed)} failed")
        if progress.blocked:
            parts.append(f"{len(progress.blocked)} blocked by a failed base")
        raise RunFailed(
            f"{', '.join(parts)}: run the same command to retry; for the reasons, "
            f"{commands.line('status', '--store', str(order.store))}"
        )


def _finished(runs: Sequence[Run]) -> tuple[dict[str, Skipped], dict[str, str]]:
    """Of the finished runs the files that they skipped, and why a record cannot be used, by id.

    Raises: Unreadable if the store cannot be listed.
    """
    records = FinishedRuns(runs[0].folder.parent)
    finished, faults = {}, {}
    for run in runs if records.folders else ():
        try:
            skipped = records.skipped(run)
        except (Damaged, Unreadable) as error:
            faults[run.id] = str(error)
        else:
            if skipped is not None:
                finished[run.id] = skipped
    records.keep()
    return finished, faults


def _facts(order: Order, runs: Iterable[Run], *, timed: bool) -> Facts:
    cache = cache_folder(order.runs[0].config)
    return networks.facts(runs, timed=timed, threads=order.launcher.threads, cache=cache)


def _device_bytes(launcher: Launcher, config: RunConfig, facts: Facts) -> int | None:
    """The memory of a worker on each of its devices here; None for nodes of a cluster.

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
