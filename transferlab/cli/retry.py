"""The command `retry`: start failed and stale runs again, and their dependents."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from transferlab.cli import faults
from transferlab.cli.flags import Flags
from transferlab.cli.status import exit_status, look
from transferlab.errors import RunFailed
from transferlab.experiment import command
from transferlab.experiment.launcher import LocalSettings
from transferlab.experiment.resolve import resolve_all
from transferlab.experiment.run import Run
from transferlab.launch import dispatch
from transferlab.launch.dispatch import Order
from transferlab.launch.status import RunStatus
from transferlab.runtime import logs
from transferlab.runtime.reading import Damaged
from transferlab.store import inventory, sweeps
from transferlab.store.inventory import KnownRun
from transferlab.store.sweeps import Sweep

log = logging.getLogger(__name__)
FAILED, STALE = ("failed",), ("stale", "interrupted")


def run(arguments: Sequence[str]) -> int:
    """Start failed and stale runs again with their sweep's launcher, and the runs they block."""
    flags = Flags("retry", run.__doc__ or "")
    flags.add_argument("--study", metavar="NAME", help="only the runs of this study")
    flags.add_argument("--failed", action="store_true", help="only those that failed")
    flags.add_argument("--stale", action="store_true",
                       help="only stale and interrupted runs")  # fmt: skip
    selected = flags.parse_args(arguments)
    logs.to_stderr()
    both = selected.failed == selected.stale
    states = (FAILED if both or selected.failed else ()) + (STALE if both or selected.stale else ())
    known = inventory.known_runs(selected.store, selected.study)
    statuses = look(known)
    retried = _retried(known.runs, statuses, states)
    unusable = [state.words for state in statuses if state.state in ("damaged", "unreadable")]
    faults.warn([*map(str, known.faults), *unusable])
    if not retried:
        log.info("no run in %s is %s", selected.store, " or ".join(states))
    failures: list[str] = []
    for order in _orders(retried):
        labels = " ".join(run.label for run in order.todo)
        runs = "1 run" if len(order.todo) == 1 else f"{len(order.todo)} runs"
        log.info("study %s: retrying %s: %s", order.study, runs, labels)
        try:
            if order.pack != 1:  # how many runs fit depends on the networks, and so on the classes
                todo = resolve_all(run.config for run in order.todo)
                order = dispatch.look(replace(order, todo=todo))
            if isinstance(order.launcher, LocalSettings):
                dispatch.train(order)
            else:
                dispatch.submit(order)
        except RunFailed as error:  # the other studies are still retried
            failures.append(str(error))
    if failures:
        raise RunFailed("; ".join(failures))
    return exit_status(known, statuses)


def _retried(
    known: Sequence[KnownRun], statuses: Sequence[RunStatus], states: Sequence[str]
) -> tuple[KnownRun, ...]:
    """The runs in one of the states, and those that wait for one of them."""
    state_of = {status.id: status.state for status in statuses}
    retried = {run.id for run in (entry.run for entry in known) if state_of[run.id] in states}
    retried |= {
        run.id
        for run in (entry.run for entry in known)
        if state_of[run.id] in ("blocked", "missing") and run.base_id in retried
    }
    return tuple(entry for entry in known if entry.run.id in retried)


def _orders(retried: Sequence[KnownRun]) -> list[Order]:
    """The runs to retry, sweep by sweep. Raises: UserError if another user's sweep names code."""
    by_sweep: dict[Path, tuple[Sweep, list[Run]]] = {}
    for entry in retried:
        if entry.sweep is None:
            log.warning("%s was started on its own: to resume it, run %s", entry.run.folder,
                        command.line(entry.run.config))  # fmt: skip
            continue
        by_sweep.setdefault(entry.sweep.folder, (entry.sweep, []))[1].append(entry.run)
    orders = []
    for sweep, runs in by_sweep.values():
        sweeps.require_trusted(sweep, runs)
        try:
            planned = sweep.runs()
        except Damaged as error:
            faults.warn([str(error)])
            continue
        orders.append(Order(sweep.study, planned, tuple(runs), sweep.launcher, sweep.pack))
    return orders
