"""From the runs that are wanted to their being carried out: here, or by SLURM.

What every way of starting several runs has in common: a study, a Hydra multirun, a retry.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from transferlab import estimate, networks, plan, store
from transferlab.config import RunConfig
from transferlab.errors import RunFailed, UserError
from transferlab.estimate import Estimate
from transferlab.launch import local, slurm, sweeps
from transferlab.launch.board import Board
from transferlab.launch.cluster import Cluster, Slurm
from transferlab.launch.settings import Launcher, Local
from transferlab.launch.slurm import Submission
from transferlab.plan import Node, Pack

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Order:
    """Runs to be carried out: `nodes` are all that a study is, `todo` those not finished."""

    study: str
    nodes: tuple[Node, ...]
    todo: tuple[Node, ...]
    launcher: Launcher
    pack: int | None

    @property
    def store(self) -> Path:
        return Path(self.nodes[0].config.runtime.store)

    @property
    def packs(self) -> tuple[Pack, ...]:
        return plan.packs(self.todo, self.pack)


def order(
    study: str, wanted: Iterable[RunConfig], launcher: Launcher, *, pack: int | None
) -> Order:
    """The plan of these resolved configs, in the store that they name.

    Raises: UserError if there is nothing to plan, or the store cannot be read.
    """
    nodes = plan.order(_threaded(config, launcher.threads) for config in wanted)
    if not nodes:
        raise UserError(f"study={study} has no runs")
    if len({node.config.runtime.store for node in nodes}) > 1:
        raise UserError("runtime.store is a list: a study is kept in one store")
    return Order(study, nodes, unfinished(nodes), launcher, pack)


def unfinished(nodes: Sequence[Node]) -> tuple[Node, ...]:
    """Those without a record, with one look at each store."""
    there = {place: store.folders(Path(place)) for place in {n.config.runtime.store for n in nodes}}
    left = []
    for node in nodes:
        run = store.locate(node.config, node.id)
        if run.folder.name not in there[node.config.runtime.store] or not run.result.exists():
            left.append(node)
    return tuple(left)


def check(wanted: Order) -> Estimate:
    """Look at the networks of what is to be trained, and estimate it.

    Raises: UserError for a network that cannot be built or has no such cut.
    """
    configs = [node.config for node in wanted.todo]
    records = list(estimate.records(wanted.store))
    cache = Path(configs[0].runtime.cache).expanduser()
    threads = wanted.launcher.threads
    facts = networks.facts(configs, timed=False, threads=threads, cache=cache)
    networks.check(configs, facts)
    unknown = estimate.without_records(configs, records)
    facts |= networks.facts(unknown, timed=True, threads=threads, cache=cache)
    at_once = wanted.launcher.jobs if isinstance(wanted.launcher, Local) else len(configs)
    packs = [[node.config for node in pack.nodes] for pack in wanted.packs]
    return estimate.estimate(packs, records=records, facts=facts, at_once=at_once)


def submit(wanted: Order, cluster: Cluster | None = None) -> Submission:
    """Hand over to SLURM what is not queued yet, and return. Raises: UserError."""
    sweep = sweeps.start(wanted.store, wanted.study, wanted.nodes, wanted.launcher, wanted.pack)
    submission = slurm.submit(sweep, wanted.todo, cluster or Slurm())
    for job in submission.jobs:
        runs = sum(len(pack) for pack in job.packs)
        need = next((word for word in job.options if word.startswith("--dependency=")), "")
        after = f"  after {need.rpartition(':')[2]}" if need else ""
        log.info("job %s  %s  %d tasks, %d runs%s", job.id, job.name, len(job.packs), runs, after)
    if submission.active:
        log.info("%d runs are in the queue already", len(submission.active))
    return submission


def train(wanted: Order) -> None:
    """Train here what is missing, and wait for it.

    Raises: UserError; Interrupted with everything saved; RunFailed if some runs are not done.
    """
    sweep = sweeps.start(wanted.store, wanted.study, wanted.nodes, wanted.launcher, wanted.pack)
    with Board() as board:
        progress = local.carry_out(sweep, wanted.todo, board)
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


def _threaded(config: RunConfig, threads: int) -> RunConfig:
    if config.runtime.threads is not None:
        return config
    return replace(config, runtime=replace(config.runtime, threads=threads))
