"""The command `cancel`: cancel the jobs of a store in SLURM's queue, and no others."""

import logging
from collections.abc import Sequence

from transferlab.cli.flags import Flags
from transferlab.errors import RunFailed
from transferlab.launch import queue
from transferlab.launch.cluster import SlurmCluster
from transferlab.runtime import logs, output, tables
from transferlab.store import inventory

log = logging.getLogger(__name__)


def run(arguments: Sequence[str]) -> int:
    """Cancel your queued and running jobs of a store: exit status 0, or 1 if others have some."""
    selected = Flags("cancel", run.__doc__ or "").parse_args(arguments)
    logs.to_stderr()
    inventory.check(selected.store)
    cancelled = queue.cancel(selected.store, SlurmCluster())
    if cancelled.tasks:
        rows = [(entry.id, entry.name, f"was {entry.state.lower()}") for entry in cancelled.tasks]
        output.report(*tables.aligned(rows))
    log.info("cancelled %d tasks of %s", len(cancelled.tasks), selected.store)
    for job in dict.fromkeys((entry.job, entry.name, entry.user) for entry in cancelled.others):
        log.warning("job %s  %s belongs to %s, who alone can cancel it", *job)
    return RunFailed.exit_code if cancelled.others else 0
