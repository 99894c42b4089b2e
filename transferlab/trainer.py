"""Lightning's Trainer as it is used here: on which devices, and how its ending is understood.

Checkpoints, curves, bars and signals are ours, so its own are turned off. Here is also how a GPU
computes: what a precision means on it, and whether anything is compiled.
"""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as lightning
import torch
from pytorch_lightning.plugins.environments import LightningEnvironment, SLURMEnvironment
from pytorch_lightning.strategies import DDPStrategy, Strategy
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from transferlab import assembly, ranks
from transferlab.callbacks import Stopped
from transferlab.config import RunConfig
from transferlab.errors import Interrupted, RunFailed, UserError
from transferlab.signals import StopRequest

# Given wherever there is an srun: a job of ours uses it where it is needed
SRUN_ADVICE = "The `srun` command is available"


def build(
    config: RunConfig, callbacks: list[lightning.Callback], intervals: int
) -> lightning.Trainer:
    """A Trainer for so many intervals between validations, with everything of its own turned off.

    Raises: UserError if the devices that the config asks for are not there.
    """
    runtime = config.runtime
    for name in ("pytorch_lightning", "lightning_fabric"):  # they set INFO when imported
        logging.getLogger(name).setLevel(logging.ERROR)
    by_srun = ranks.by_srun(runtime.devices)
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


class Quiet(lightning.Callback):
    """Keeps Lightning's warnings, which are about how we use it, from the user's terminal. In each
    process of a run: those that Lightning starts do not have the filters of the first."""

    def setup(self, trainer: lightning.Trainer, pl_module: Any, stage: str) -> None:
        self.apply()

    @staticmethod
    def apply() -> None:
        warnings.filterwarnings("ignore", message=SRUN_ADVICE)
        warnings.filterwarnings("ignore", module="pytorch_lightning")
        warnings.filterwarnings("ignore", message=".*LeafSpec.*")  # Lightning on torch 2.15


class Arithmetic(lightning.Callback):
    """Settles how a GPU computes, in each process of a run. They stay so: they are torch's own
    settings for the whole process, and the next run settles them again.

    Differs from torch's defaults: float32 is float32, also in convolutions, which are otherwise
    computed in TF32 with 10 bits of mantissa (notes on CUDA semantics); who wants speed takes
    bfloat16, and the record says so. cuDNN tries which algorithm is fastest for each shape.
    """

    def __init__(self, *, compile: bool) -> None:
        self.compile = compile

    def setup(self, trainer: lightning.Trainer, pl_module: Any, stage: str) -> None:
        if trainer.strategy.root_device.type == "cuda":
            self.apply()

    def apply(self) -> None:
        with warnings.catch_warnings():
            # Settings by layer are newer, but whoever reads the older one then gets an error
            warnings.filterwarnings("ignore", message="Please use the new API settings")
            torch.backends.cudnn.allow_tf32 = False
        torch.set_float32_matmul_precision("highest")
        torch.backends.cudnn.benchmark = True
        torch.compiler.set_stance("default" if self.compile else "force_eager")


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device computes in bfloat16 itself rather than by way of float32."""
    if device.type != "cpu":
        return True
    return any(there for name, there in torch.cpu.get_capabilities().items() if "bf16" in name)


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
    if ranks.lost(error):
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
