"""The command `cancel`: take a store's jobs out of SLURM's queue, and no others."""

import sys
from collections.abc import Sequence

from transferlab import logs
from transferlab.commands.flags import Flags
from transferlab.launch import slurm
from transferlab.launch.cluster import Slurm


def run(arguments: Sequence[str]) -> int:
    """Cancel what waits and what runs; the exit status. Raises: UserError."""
    chosen = Flags("cancel", run.__doc__ or "").parse_args(arguments)
    logs.to_stderr()
    cancelled = slurm.cancel(chosen.store, Slurm())
    for entry in cancelled:
        print(f"{entry.id}  {entry.name}  was {entry.state.lower()}")
    print(f"{len(cancelled)} tasks cancelled in {chosen.store}", file=sys.stderr)
    return 0
