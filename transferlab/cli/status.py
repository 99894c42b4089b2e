"""The command `status`: which runs are done, running, queued, failed and why, or missing."""

import json
import logging
import shutil
import sys
import time
from argparse import Namespace
from collections import Counter
from collections.abc import Sequence

from transferlab.cli import faults
from transferlab.cli.flags import Flags
from transferlab.errors import UserError
from transferlab.launch import status
from transferlab.launch.cluster import SlurmCluster
from transferlab.launch.status import RunStatus
from transferlab.runtime import commands, logs, output, tables
from transferlab.runtime.reading import Unreadable
from transferlab.store import inventory
from transferlab.store.inventory import Inventory

log = logging.getLogger(__name__)
EDITED = 5  # runs that a line names
EVERY_S = 2.0
EVERY_WITH_SLURM_S = 10.0  # each query is a load on the site's controller
RETRIED = ("failed", "stale", "interrupted")  # by `retry`
# The states that need attention come first
ORDER = ("unreadable", "damaged", *RETRIED, "running", "queued", "blocked", "missing")


def run(arguments: Sequence[str]) -> int:
    """Show the state of the runs of a store: counts, and a line for each run that is not done. The
    exit status is 1 if a part of the store cannot be read."""
    flags = Flags("status", run.__doc__ or "")
    flags.add_argument("--study", metavar="NAME", help="only the runs of this study")
    flags.add_argument(
        "--watch", action="store_true", help="refresh until nothing is running or queued"
    )
    flags.add_argument("--json", action="store_true", help="all runs as one JSON object")
    selected = flags.parse_args(arguments)
    logs.to_stderr()
    if selected.watch:
        return _watch(selected)
    known = inventory.known_runs(selected.store, selected.study)
    statuses = look(known)
    output.show(*(_json(statuses, known) if selected.json else _lines(statuses)))
    faults.warn(map(str, known.faults))
    if not selected.json and any(state.state in RETRIED for state in statuses):
        log.info("to retry: %s", commands.line("retry", "--store", str(selected.store)))
    return exit_status(known, statuses)


def exit_status(known: Inventory, statuses: Sequence[RunStatus]) -> int:
    """0 if all of the store could be read."""
    unread = any(isinstance(fault, Unreadable) for fault in known.faults)
    unread = unread or any(state.state == "unreadable" for state in statuses)
    return faults.INCOMPLETE if unread else 0


def look(known: Inventory) -> tuple[RunStatus, ...]:
    """The status of each run; as far as the store knows it if the queue does not answer."""
    try:
        return status.statuses(known, SlurmCluster())
    except UserError as error:
        log.warning("cannot query the queue, showing what the store records: %s", error)
        return status.statuses(known, None)


def _watch(selected: Namespace) -> int:
    """Print the states until nothing is running or queued, or until Ctrl-C."""
    try:
        while True:
            known = inventory.known_runs(selected.store, selected.study)
            statuses = look(known)
            if selected.json:
                output.show(*_json(statuses, known))
            elif sys.stdout.isatty():
                output.redraw(*_screen(_lines(statuses)))
            else:
                output.show(*_lines(statuses))
            active = [state for state in statuses if state.state in ("running", "queued")]
            if not active:
                faults.warn(map(str, known.faults))
                return exit_status(known, statuses)
            slurm = any(state.job is not None for state in active)
            time.sleep(EVERY_WITH_SLURM_S if slurm else EVERY_S)
    except KeyboardInterrupt:
        return 0


def _json(statuses: Sequence[RunStatus], known: Inventory) -> list[str]:
    runs = [status.as_record(state) for state in statuses]
    left_out = [str(fault) for fault in known.faults]
    record = {"counts": status.count(statuses), "runs": runs, "left_out": left_out}
    return json.dumps(record, indent=1).split("\n")


def _lines(statuses: Sequence[RunStatus]) -> list[str]:
    """The counts; then a line for each run that is not done, those that need attention first."""
    counts = status.count(statuses)
    head = ", ".join(f"{number} {name}" for name, number in counts.items() if number) or "no runs"
    left = [state for state in statuses if state.state != "done"]
    left.sort(key=lambda state: ORDER.index(state.state))
    names = Counter((state.label, state.split) for state in statuses)
    rows = [_row(state, unique=names[state.label, state.split] == 1) for state in left]
    return [head, *_edited(statuses), *tables.aligned(rows)]


def _edited(statuses: Sequence[RunStatus]) -> list[str]:
    """A line for each way in which the code of runs differs from that of their submission."""
    labels: dict[str, list[str]] = {}
    for state in statuses:
        if state.edited is not None:
            labels.setdefault(state.edited, []).append(state.label)
    return [
        f"code edited before the start of {len(names)} run{'s' if len(names) > 1 else ''} "
        f"({', '.join(names[:EDITED])}"
        f"{', ...' if len(names) > EDITED else ''}): {difference}"
        for difference, names in labels.items()
    ]


def _row(state: RunStatus, *, unique: bool) -> tuple[str, ...]:
    """`unique`: no other run has its label and split, so the id can be omitted."""
    progress = ""
    if state.step is not None and state.total_steps:
        progress = f"{state.step}/{state.total_steps}"
        if state.left_s is not None and state.state == "running":
            progress += f" {logs.duration(state.left_s)} left"
    message = state.words
    if state.state in ("failed", "stale") and state.log is not None:
        message = f"{message}; see {state.log}"
    name = f"{state.label} {state.split}"
    return (state.state, name, "" if unique else state.id, state.job or "", progress, message)


def _screen(lines: Sequence[str]) -> list[str]:
    """As many of the lines as fit on the terminal."""
    width, height = shutil.get_terminal_size()
    shown = [line if len(line) <= width else f"{line[: width - 3]}..." for line in lines]
    if len(shown) >= height:
        more = len(shown) - (height - 2)
        shown = [*shown[: height - 2], f"and {more} more"]
    return shown
