"""The command `retry`: start failed and stale runs again, and their dependents."""

import logging
from collections.abc import Sequence
from pathlib import Path

from transferlab.cli.flags import Flags
from transferlab.cli.status import look
from transferlab.errors import RunFailed
from transferlab.experiment.launcher import LocalSettings
from transferlab.experiment.plan import Node
from transferlab.launch import dispatch
from transferlab.launch.dispatch import Order
from transferlab.launch.status import State
from transferlab.runtime import logs
from transferlab.store import inventory
from transferlab.store.inventory import Known
from transferlab.store.sweeps import Sweep

log = logging.getLogger(__name__)
FAILED, STALE = ("failed",), ("stale", "interrupted")


def run(arguments: Sequence[str]) -> int:
    """Start failed and stale runs again, as their sweep was launched, and the runs they block."""
    flags = Flags("retry", run.__doc__ or "")
    flags.add_argument("--study", metavar="NAME", help="only the runs of this study")
    flags.add_argument("--failed", action="store_true", help="only those that failed")
    flags.add_argument("--stale", action="store_true",
                       help="only stale and interrupted runs")  # fmt: skip
    chosen = flags.parse_args(arguments)
    logs.to_stderr()
    both = chosen.failed == chosen.stale
    wanted = (FAILED if both or chosen.failed else ()) + (STALE if both or chosen.stale else ())
    known = inventory.runs(chosen.store, chosen.study)
    again = _again(known, look(known), wanted)
    if not again:
        log.info("no run in %s is %s", chosen.store, " or ".join(wanted))
    failures: list[str] = []
    for order in _orders(again):
        labels = " ".join(node.label for node in order.todo)
        runs = "1 run" if len(order.todo) == 1 else f"{len(order.todo)} runs"
        log.info("study %s: retrying %s: %s", order.study, runs, labels)
        try:
            if order.pack != 1:
                order = dispatch.look(order)
            if isinstance(order.launcher, LocalSettings):
                dispatch.train(order)
            else:
                dispatch.submit(order)
        except RunFailed as error:  # the other studies are still retried
            failures.append(str(error))
    if failures:
        raise RunFailed("; ".join(failures))
    return 0


def _again(
    known: Sequence[Known], states: Sequence[State], wanted: Sequence[str]
) -> tuple[Known, ...]:
    """The runs that are in a wanted state, and those that are blocked by one of them."""
    state_of = {state.id: state.state for state in states}
    again = {run.node.id for run in known if state_of[run.node.id] in wanted}
    again |= {
        run.node.id
        for run in known
        if state_of[run.node.id] == "blocked" and run.node.base in again
    }
    return tuple(run for run in known if run.node.id in again)


def _orders(again: Sequence[Known]) -> list[Order]:
    """What is to be done again, sweep by sweep."""
    by_sweep: dict[Path, tuple[Sweep, list[Node]]] = {}
    for run in again:
        if run.sweep is None:
            log.warning("%s was started on its own: run its command again", run.run.folder)
            continue
        by_sweep.setdefault(run.sweep.folder, (run.sweep, []))[1].append(run.node)
    return [
        Order(sweep.study, sweep.nodes(), tuple(nodes), sweep.launcher, sweep.pack)
        for sweep, nodes in by_sweep.values()
    ]
