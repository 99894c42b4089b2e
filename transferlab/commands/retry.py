"""The command `retry`: once more for runs that failed or vanished, and what waits for them."""

import logging
import sys
from collections.abc import Sequence

from transferlab import logs, status
from transferlab.commands import status as status_command
from transferlab.commands.flags import Flags
from transferlab.launch import dispatch
from transferlab.launch.dispatch import Order
from transferlab.launch.settings import Local
from transferlab.launch.sweeps import Sweep
from transferlab.plan import Node

log = logging.getLogger(__name__)
FAILED, STALE = ("failed",), ("stale", "interrupted")


def run(arguments: Sequence[str]) -> int:
    """Start runs again that failed or are stale, as their sweep was launched, and what is blocked
    by them."""
    flags = Flags("retry", run.__doc__ or "")
    flags.add_argument("--study", metavar="NAME", help="only the runs of this study")
    flags.add_argument("--failed", action="store_true", help="only those that failed")
    flags.add_argument("--stale", action="store_true",
                       help="only those that vanished or were interrupted")  # fmt: skip
    chosen = flags.parse_args(arguments)
    logs.to_stderr()
    both = chosen.failed == chosen.stale
    wanted = (FAILED if both or chosen.failed else ()) + (STALE if both or chosen.stale else ())
    orders = _orders(status.known(chosen.store, chosen.study), status_command.look(chosen), wanted)
    if not orders:
        print(f"no run in {chosen.store} is {' or '.join(wanted)}", file=sys.stderr)
    for order in orders:
        runs = " ".join(node.label for node in order.todo)
        log.info("study %s: %d runs again: %s", order.study, len(order.todo), runs)
        if isinstance(order.launcher, Local):
            dispatch.train(order)
        else:
            dispatch.submit(order)
    return 0


def _orders(
    known: Sequence[status.Known], states: Sequence[status.State], wanted: Sequence[str]
) -> list[Order]:
    """What is to be done again, sweep by sweep."""
    state_of = {state.id: state.state for state in states}
    again = {run.node.id for run in known if state_of[run.node.id] in wanted}
    again |= {
        run.node.id
        for run in known
        if state_of[run.node.id] == "blocked" and run.node.base in again
    }
    by_sweep: dict[str, tuple[Sweep, list[Node]]] = {}
    for run in known:
        if run.node.id not in again:
            continue
        if run.sweep is None:
            log.warning("%s was started by itself: give its command again", run.run.folder)
            continue
        by_sweep.setdefault(str(run.sweep.folder), (run.sweep, []))[1].append(run.node)
    return [
        Order(sweep.study, sweep.nodes(), tuple(nodes), sweep.launcher, sweep.pack)
        for sweep, nodes in by_sweep.values()
    ]
