"""The command `cancel`: cancel the jobs of a store in SLURM's queue, and no others."""

import logging
from collections.abc import Sequence

from transferlab.cli.flags import Flags
from transferlab.launch import slurm
from transferlab.launch.cluster import SlurmCluster
from transferlab.runtime import logs, output, tables
from transferlab.store import inventory

log = logging.getLogger(__name__)


def run(arguments: Sequence[str]) -> int:
    """Cancel the queued and running jobs of a store; the exit status. Raises: UserError."""
    selected = Flags("cancel", run.__doc__ or "").parse_args(arguments)
    logs.to_stderr()
    inventory.check(selected.store)
    cancelled = slurm.cancel(selected.store, SlurmCluster())
    if cancelled:
        rows = [(entry.id, entry.name, f"was {entry.state.lower()}") for entry in cancelled]
        output.report(*tables.aligned(rows))
    log.info("cancelled %d tasks of %s", len(cancelled), selected.store)
    return 0
