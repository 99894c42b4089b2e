"""From the runs that are wanted to their being carried out: here, or by SLURM.

What every way of starting several runs has in common: a study, a Hydra multirun, a retry.
"""

import logging
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path

from transferlab import store as store_module
from transferlab.errors import RunFailed, UserError
from transferlab.experiment import plan
from transferlab.experiment.config import RunConfig, RuntimeConfig
from transferlab.experiment.cost import estimate, networks
from transferlab.experiment.cost.estimate import Estimate
from transferlab.experiment.cost.memory import Room
from transferlab.experiment.launcher import Launcher, LocalSettings
from transferlab.experiment.plan import Fits, Node, Pack
from transferlab.launch import local, slurm
from transferlab.launch.board import Board
from transferlab.launch.cluster import Cluster, Slurm
from transferlab.launch.slurm import Submission
from transferlab.models.facts import Facts
from transferlab.runtime import machine
from transferlab.store import sweeps

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Order:
    """Runs to be carried out: `nodes` are all that a study is, `todo` those not finished.

    `room` is what their packs have to fit into, None until somebody has looked.
    """

    study: str
    nodes: tuple[Node, ...]
    todo: tuple[Node, ...]
    launcher: Launcher
    pack: int | None
    room: Room | None = None

    @property
    def store(self) -> Path:
        return Path(self.nodes[0].config.runtime.store)

    @property
    def fits(self) -> Fits | None:
        return None if self.room is None else self.room.fits

    @cached_property
    def packs(self) -> tuple[Pack, ...]:
        return plan.packs(self.todo, self.pack, fits=self.fits)


def order(
    study: str, wanted: Iterable[RunConfig], launcher: Launcher, *, pack: int | None
) -> Order:
    """The plan of these resolved configs, in the store that they name.

    Raises: UserError if there is nothing to plan, or the store cannot be read.
    """
    configs = tuple(_threaded(config, launcher.threads) for config in wanted)
    if not configs:
        raise UserError(f"study={study} has no runs")
    if len({config.runtime.store for config in configs}) > 1:
        raise UserError("runtime.store is a list: a study is kept in one store")
    nodes = plan.order(configs)
    return Order(study, nodes, unfinished(nodes), launcher, pack)


def unfinished(nodes: Sequence[Node]) -> tuple[Node, ...]:
    """Those without a record, with one look at the list of each store."""
    there: dict[str, set[str]] = {}
    for node in nodes:
        name = store_module.folder_name(node.config, node.id)
        there.setdefault(node.config.runtime.store, set()).add(name)
    done = {
        place: store_module.finished(Path(place).expanduser(), some)
        for place, some in there.items()
    }
    return tuple(
        node
        for node in nodes
        if store_module.folder_name(node.config, node.id) not in done[node.config.runtime.store]
    )


def look(wanted: Order) -> Order:
    """The order with what is known of the networks that are to be trained, and of the device.

    Raises: UserError for a network that cannot be built or has no such cut.
    """
    configs = [node.config for node in wanted.todo]
    facts = _facts(wanted, configs, timed=False)
    networks.check(configs, facts)
    return replace(wanted, room=Room(facts, _device_bytes(wanted.launcher, configs[0], facts)))


def cost(wanted: Order) -> Estimate:
    """What it takes to train what an order that was looked at has to do. Raises: UserError."""
    assert wanted.room is not None
    configs = [node.config for node in wanted.todo]
    records = list(store_module.finished_records(wanted.store))
    unknown = estimate.without_records(configs, records)
    facts = {**wanted.room.facts, **_facts(wanted, unknown, timed=True)}
    at_once = wanted.launcher.jobs if isinstance(wanted.launcher, LocalSettings) else len(configs)
    packs = [[node.config for node in pack.nodes] for pack in wanted.packs]
    return estimate.estimate(packs, records=records, facts=facts, at_once=at_once)


def submit(wanted: Order, cluster: Cluster | None = None) -> Submission:
    """Hand over to SLURM what is not queued yet, and return. Raises: UserError."""
    sweep = sweeps.start(wanted.store, wanted.study, wanted.nodes, wanted.launcher, wanted.pack)
    submission = slurm.submit(sweep, wanted.todo, cluster or Slurm(), fits=wanted.fits)
    if submission.active:
        log.info("%d runs are in the queue already", len(submission.active))
    return submission


def train(wanted: Order) -> None:
    """Train here what is missing, and wait for it.

    Raises: UserError; Interrupted with everything saved; RunFailed if some runs are not done.
    """
    sweep = sweeps.start(wanted.store, wanted.study, wanted.nodes, wanted.launcher, wanted.pack)
    with Board() as board:
        progress = local.carry_out(sweep, wanted.todo, board, fits=wanted.fits)
    left = unfinished(wanted.todo)
    if left:
        parts = [f"{len(left)} of {len(wanted.nodes)} runs are not done"]
        if progress.failed:
            parts.append(f"{len(progress.failed)} failed")
        if progress.blocked:
            parts.append(f"{len(progress.blocked)} wait for a base that failed")
        raise RunFailed(
            f"{', '.join(parts)}: python -m transferlab status --store {wanted.store} tells why, "
            "and the same command tries them again"
        )


def _facts(wanted: Order, configs: Iterable[RunConfig], *, timed: bool) -> Facts:
    cache = Path(wanted.nodes[0].config.runtime.cache).expanduser()
    return networks.facts(configs, timed=timed, threads=wanted.launcher.threads, cache=cache)


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
    return replace(config, runtime=_with_threads(config.runtime, threads))


@lru_cache(maxsize=1024)
def _with_threads(runtime: RuntimeConfig, threads: int) -> RuntimeConfig:
    return replace(runtime, threads=threads)
