"""Which of several processes of one run this is, where a job has `srun` start one for each device.

Everywhere else a run is one process, or has its own started by Lightning.
"""

import os
import secrets

GROUP = "TRANSFERLAB_RANKS"  # the name of the processes that train together; set by their job
# How gloo, and NCCL, say that a process at the other end is no more. Their words vary with the
# moment: "Connection closed by peer", "Connection reset by peer", "Timed out"
LOST = ("gloo/transport", "ncclRemoteError")


def environment() -> dict[str, str]:
    """What a job tells processes that shall train together: a name that no others have had, and
    where they meet: on their one node, whatever names it has."""
    return {GROUP: secrets.token_hex(8), "MASTER_ADDR": "127.0.0.1"}


def by_srun(devices: int) -> bool:
    """Whether this is one of so many processes, two or more, that a job has started."""
    return devices > 1 and size() == devices


def size() -> int:
    """How many processes train together; 1 for all that no job of ours has started so."""
    return int(os.environ.get("SLURM_STEP_NUM_TASKS", "1")) if group() else 1


def rank() -> int:
    """0 for the process that owns the run and writes its files; 1, 2, ... for its helpers."""
    return int(os.environ.get("SLURM_PROCID", "0")) if size() > 1 else 0


def group() -> str | None:
    """The name that this process has in common with those that train with it."""
    return os.environ.get(GROUP)


def lost(error: BaseException) -> bool:
    """Whether the error says no more than that another of the processes has ended too early."""
    return any(words in str(error) for words in LOST)


def meet() -> None:
    """Wait for the other processes; nothing where there are none."""
    if size() > 1:
        import torch

        if torch.distributed.is_initialized():
            torch.distributed.barrier()
