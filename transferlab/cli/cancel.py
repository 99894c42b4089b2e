"""The command `cancel`: cancel the jobs of a store in SLURM's queue, and no others."""

import logging
from collections.abc import Sequence

from transferlab.cli.flags import Flags
from transferlab.launch import slurm
from transferlab.launch.cluster import SlurmCluster
from transferlab.runtime import logs
from transferlab.store import inventory

log = logging.getLogger(__name__)


def run(arguments: Sequence[str]) -> int:
    """Cancel the queued and running jobs of a store; the exit status. Raises: UserError."""
    chosen = Flags("cancel", run.__doc__ or "").parse_args(arguments)
    logs.to_stderr()
    inventory.check(chosen.store)
    cancelled = slurm.cancel(chosen.store, SlurmCluster())
    for entry in cancelled:
        print(f"{entry.id}  {entry.name}  was {entry.state.lower()}")
    log.info("cancelled %d tasks of %s", len(cancelled), chosen.store)
    return 0
