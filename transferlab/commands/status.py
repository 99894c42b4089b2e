"""The command `status`: what is done, running, queued, failed and why, missing."""

import argparse
import json
import logging
import shutil
import sys
import time
from collections.abc import Sequence

from transferlab import logs, status
from transferlab.commands.flags import Flags
from transferlab.errors import UserError
from transferlab.launch.cluster import Slurm
from transferlab.status import State

log = logging.getLogger(__name__)
EVERY_S = 2.0


def run(arguments: Sequence[str]) -> int:
    """What became of the runs of a store: counts, and a line for each that is not done."""
    flags = Flags("status", run.__doc__ or "")
    flags.add_argument("--study", metavar="NAME", help="only the runs of this study")
    flags.add_argument("--watch", action="store_true", help="look again and again")
    flags.add_argument("--json", action="store_true", help="all runs as one JSON object")
    chosen = flags.parse_args(arguments)
    logs.to_stderr()
    if not chosen.watch:
        print(_shown(look(chosen), as_json=chosen.json))
        return 0
    return _watch(chosen)


def look(chosen: argparse.Namespace) -> tuple[State, ...]:
    """The states, with the queue where there is one. Raises: UserError."""
    runs = status.known(chosen.store, chosen.study)
    if shutil.which("squeue") is None:
        return status.states(runs, None)
    try:
        return status.states(runs, Slurm())
    except UserError as error:
        log.warning("the queue cannot be asked, so this is what the store says: %s", error)
        return status.states(runs, None)


def _watch(chosen: argparse.Namespace) -> int:
    """Until nothing runs or waits any more, or Ctrl-C."""
    while True:
        found = look(chosen)
        if sys.stdout.isatty() and not chosen.json:
            print("\x1b[2J\x1b[H", end="")  # clear, and to the top
        print(_shown(found, as_json=chosen.json), flush=True)
        if not any(state.state in ("running", "queued") for state in found):
            return 0
        try:
            time.sleep(EVERY_S)
        except KeyboardInterrupt:
            return 0


def _shown(found: Sequence[State], *, as_json: bool) -> str:
    counts = status.count(found)
    if as_json:
        runs = [status.as_record(state) for state in found]
        return json.dumps({"counts": counts, "runs": runs}, indent=1)
    lines = [", ".join(f"{n} {name}" for name, n in counts.items() if n) or "no runs"]
    rows = [_row(state) for state in found if state.state != "done"]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _row(state: State) -> tuple[str, str, str, str, str]:
    progress = ""
    if state.step is not None and state.total_steps:
        progress = f"{state.step}/{state.total_steps}"
        if state.left_s is not None and state.state == "running":
            progress += f" {logs.duration(state.left_s)} left"
    words = state.words
    if state.state in ("failed", "stale") and state.log is not None:
        words = f"{words}; see {state.log}"
    return (state.state, f"{state.label} {state.split}", state.job or "", progress, words)
