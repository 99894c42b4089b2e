"""The rank of this process, if a job starts one process per device with `srun`.

Otherwise a run is one process, or Lightning starts the others.
"""

import secrets

from transferlab.runtime.environment import number, value

GROUP = "TRANSFERLAB_RANKS"  # names the processes that train together; set by their job
# In the messages of gloo and NCCL when another process has ended. The rest varies: "Connection
# closed by peer", "Connection reset by peer", "Timed out"
LOST = ("gloo/transport", "ncclRemoteError")


def environment() -> dict[str, str]:
    """The variables that a job sets for processes that train together: a unique name, and their
    master address, which is their one node."""
    return {GROUP: secrets.token_hex(8), "MASTER_ADDR": "127.0.0.1"}


def by_srun(devices: int) -> bool:
    """Whether this is one of `devices` processes, two or more, that a job has started."""
    return devices > 1 and size() == devices


def size() -> int:
    """The number of processes that train together; 1 unless a job has started several."""
    return (number("SLURM_STEP_NUM_TASKS") or 1) if group() else 1


def rank() -> int:
    """0 for the process that owns the run and writes its files; 1, 2, ... for the others."""
    return (number("SLURM_PROCID") or 0) if size() > 1 else 0


def group() -> str | None:
    """The name that this process shares with those that train with it, or None."""
    return value(GROUP)


def lost(error: BaseException) -> bool:
    """Whether the error only says that another of the processes has ended too early."""
    return any(part in str(error) for part in LOST)


def meet() -> None:
    """Wait for the other processes, if there are any."""
    if size() > 1:
        import torch

        if torch.distributed.is_initialized():
            torch.distributed.barrier()
