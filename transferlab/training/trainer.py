"""Lightning's Trainer for a pack: on which devices it trains, and how it ends.

What a plain Trainer does by default and this one does not is switched off below, with the reason.
"""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.plugins.environments import LightningEnvironment, SLURMEnvironment
from pytorch_lightning.strategies import DDPStrategy, Strategy
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from transferlab.errors import Interrupted, RunFailed, UserError
from transferlab.experiment.config import RunConfig, cache_folder
from transferlab.runtime import devices, processes
from transferlab.runtime.signals import StopRequest
from transferlab.training.callbacks.arithmetic import Arithmetic
from transferlab.training.callbacks.quiet import SRUN_ADVICE, Quiet
from transferlab.training.callbacks.stop import Stopped

PACKAGE = UserError.__module__.partition(".")[0]


def build_trainer(config: RunConfig, callbacks: list[Callback], intervals: int) -> Trainer:
    """A Trainer for `intervals` epochs, each of them the steps up to the next validation.

    Raises: UserError if this machine does not have the devices.
    """
    runtime = config.runtime
    for name in ("pytorch_lightning", "lightning_fabric"):  # Lightning sets INFO when imported
        logging.getLogger(name).setLevel(logging.ERROR)
    by_srun = processes.by_srun(runtime.devices)
    strategy: Strategy | str = "ddp" if by_srun else "auto"
    if runtime.devices > 1 and not by_srun:
        strategy = DDPStrategy(start_method="spawn")
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=SRUN_ADVICE)
            trainer = Trainer(
                accelerator=runtime.accelerator,
                devices=runtime.devices,
                strategy=strategy,
                # Set, not detected: the job requeues itself (launch.job), so Lightning must not
                plugins=[
                    SLURMEnvironment(auto_requeue=False) if by_srun else LightningEnvironment()
                ],
                precision="32-true" if config.train.precision == "float32" else "bf16-mixed",
                callbacks=[Quiet(), Arithmetic(compile=runtime.compile), *callbacks],
                max_epochs=intervals,
                logger=False,  # one for all members; `Curve` and `Mirrors` have one each
                enable_checkpointing=False,  # one file for all members; see `RunCheckpoint`
                enable_progress_bar=False,  # one for all members, an interval long; see `Bars`
                enable_model_summary=False,  # a run's log is a line a validation
                num_sanity_val_steps=0,  # would be counted into the first validation
                use_distributed_sampler=False,  # the data module shares the global batch out
                default_root_dir=os.fspath(cache_folder(config)),
            )
    except (MisconfigurationException, ValueError) as error:
        raise UserError(
            f"runtime.accelerator={runtime.accelerator} with runtime.devices={runtime.devices} "
            f"is not available on this machine, which has {devices.present()}"
        ) from error
    trainer._signal_connector = _NoSignals()  # type: ignore[assignment]
    return trainer


class _NoSignals:
    """In place of Lightning's handlers: one SIGTERM ends a half-trained run with exit status 0, and
    waits for other processes within the handler. See `runtime.signals`."""

    received_sigterm = False

    def register_signal_handlers(self) -> None: ...

    def teardown(self) -> None: ...


@contextmanager
def interruptible(stop: StopRequest) -> Iterator[None]:
    """Translates the exceptions with which a stopped or failed training leaves Lightning.

    Raises: Interrupted after a requested stop; else UserError or RunFailed.
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
        # Of several processes perhaps only another one received the signal
        if stop.number is not None or isinstance(error, Stopped):
            raise Interrupted("stopped while training") from error
        raise reason(error) from error
    except RuntimeError as error:
        if stop.number is not None and processes.lost(error):  # one could not wait for the others
            raise Interrupted("stopped while training") from error
        raise


def reason(error: BaseException) -> UserError | RunFailed:
    """Why one of several processes ended; perhaps only its traceback is known, as text."""
    if processes.lost(error):
        return RunFailed(
            "another process of this run died, and the others cannot continue without it: unless "
            "the log has another reason, it was killed, perhaps because memory ran out"
        )
    last_line = (str(error).strip().splitlines() or [repr(error)])[-1]
    kind, _, message = last_line.partition(": ")
    if kind == f"{UserError.__module__}.{UserError.__name__}":
        return UserError(message)
    ours = kind.startswith(
        UserError.__module__.partition(".")[0] + "."
    )  # RunFailed, or a kind of it
    return RunFailed(message if ours else f"training ended early: {last_line}")
