"""Lightning's Trainer as it is used here: on which devices, and how its ending is understood.

Checkpoints, curves, bars and signals are ours, so its own are turned off. Here is also how a GPU
computes: what a precision means on it, and whether anything is compiled.
"""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import pytorch_lightning as lightning
import torch
from pytorch_lightning.plugins.environments import LightningEnvironment, SLURMEnvironment
from pytorch_lightning.strategies import DDPStrategy, Strategy
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from transferlab.errors import Interrupted, RunFailed, UserError
from transferlab.experiment import config as assembly
from transferlab.experiment.config import RunConfig
from transferlab.runtime import processes
from transferlab.runtime.signals import StopRequest
from transferlab.training.callbacks.arithmetic import Arithmetic
from transferlab.training.callbacks.quiet import SRUN_ADVICE, Quiet
from transferlab.training.callbacks.stop import Stopped


def build(
    config: RunConfig, callbacks: list[lightning.Callback], intervals: int
) -> lightning.Trainer:
    """A Trainer for so many intervals between validations, with everything of its own turned off.

    Raises: UserError if the devices that the config asks for are not there.
    """
    runtime = config.runtime
    for name in ("pytorch_lightning", "lightning_fabric"):  # they set INFO when imported
        logging.getLogger(name).setLevel(logging.ERROR)
    by_srun = processes.by_srun(runtime.devices)
    strategy: Strategy | str = "ddp" if by_srun else "auto"
    if runtime.devices > 1 and not by_srun:
        strategy = DDPStrategy(start_method="spawn")
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=SRUN_ADVICE)
            return lightning.Trainer(
                accelerator=runtime.accelerator,
                devices=runtime.devices,
                strategy=strategy,
                # Told, not detected: requeues are the job's (see launch.job), never Lightning's
                plugins=[
                    SLURMEnvironment(auto_requeue=False) if by_srun else LightningEnvironment()
                ],
                precision="32-true" if config.train.precision == "float32" else "bf16-mixed",
                callbacks=[Quiet(), Arithmetic(compile=runtime.compile), *callbacks],
                max_epochs=intervals,
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
                num_sanity_val_steps=0,
                use_distributed_sampler=False,
                default_root_dir=os.fspath(assembly.cache_folder(config)),
            )
    except (MisconfigurationException, ValueError) as error:
        raise UserError(
            f"runtime.accelerator={runtime.accelerator} with runtime.devices={runtime.devices} "
            f"is not to be had here: {error}"
        ) from error


@contextmanager
def interruptible(stop: StopRequest) -> Iterator[None]:
    """Turns every way in which a requested stop comes out of Lightning into one.

    Raises: Interrupted, RunFailed.
    """
    try:
        with stop.deferred(), warnings.catch_warnings():
            Quiet.apply()
            yield
    except (
        Stopped,
        SystemExit,
        torch.multiprocessing.ProcessExitedException,
        torch.multiprocessing.ProcessRaisedException,
    ) as error:
        # Of several processes perhaps only another was asked to stop
        if stop.number is not None or isinstance(error, Stopped):
            raise Interrupted("stopped while training") from error
        raise reason(error) from error


def reason(error: BaseException) -> UserError | RunFailed:
    """What ended one of several processes, of which only the trace may come back, as text."""
    if processes.lost(error):
        return RunFailed(
            "another process of this run has ended, and those left cannot go on without it: it was "
            "killed, perhaps for want of memory, if the log says nothing else"
        )
    last_line = (str(error).strip().splitlines() or [repr(error)])[-1]
    kind, _, message = last_line.partition(": ")
    for ours in (UserError, RunFailed):
        if kind == f"{ours.__module__}.{ours.__name__}":
            return ours(message)
    return RunFailed(f"training ended early: {last_line}")
