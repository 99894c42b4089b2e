"""The command `cancel`: take a store's jobs out of SLURM's queue, and no others."""

import logging
from collections.abc import Sequence

from transferlab.cli.flags import Flags
from transferlab.launch import slurm
from transferlab.launch.cluster import Slurm
from transferlab.runtime import logs
from transferlab.store import inventory

log = logging.getLogger(__name__)


def run(arguments: Sequence[str]) -> int:
    """Cancel what waits and what runs; the exit status. Raises: UserError."""
    chosen = Flags("cancel", run.__doc__ or "").parse_args(arguments)
    logs.to_stderr()
    inventory.check(chosen.store)
    cancelled = slurm.cancel(chosen.store, Slurm())
    for entry in cancelled:
        print(f"{entry.id}  {entry.name}  was {entry.state.lower()}")
    log.info("%d tasks of %s are taken out of the queue", len(cancelled), chosen.store)
    return 0
