"""Which of several processes of one run this is, where `srun` starts one for each device.

Everywhere else a run is one process, or has its own started by Lightning.
"""

import os


def by_srun(devices: int) -> bool:
    """Whether this is one of so many processes, two or more, that one `srun` has started."""
    return devices > 1 and "SLURM_STEP_ID" in os.environ and size() == devices


def size() -> int:
    """How many processes the step has; 1 outside of one."""
    return int(os.environ.get("SLURM_STEP_NUM_TASKS", "1"))


def rank() -> int:
    """0 for the process that owns the run and writes its files; 1, 2, ... for its helpers."""
    return int(os.environ.get("SLURM_PROCID", "0")) if size() > 1 else 0


def meet() -> None:
    """Wait for the other processes of the step; nothing where there are none."""
    if size() > 1:
        import torch

        if torch.distributed.is_initialized():
            torch.distributed.barrier()
