"""The command `work`: run by a SLURM job, see `launch.job`."""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from transferlab.launch import job
from transferlab.launch.cluster import SlurmCluster
from transferlab.runtime import commands, logs


def run(arguments: Sequence[str]) -> int:
    """Train one task of a job; the exit status. Raises: UserError, RunFailed."""
    parser = argparse.ArgumentParser(f"{commands.PROGRAM} work")
    parser.add_argument("folder", type=Path, help="a job's folder in a store's .sweeps")
    parser.add_argument("--task", type=int, help="which task (default: SLURM_ARRAY_TASK_ID)")
    selected = parser.parse_args(arguments)
    logs.to_stderr()
    task = job.current()
    if selected.task is not None:
        task = replace(task, number=selected.task)
    return job.work(selected.folder, task, SlurmCluster())
