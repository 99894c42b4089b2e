"""Set-up of a process that Lightning starts for another device: logs and threads."""

import multiprocessing
from collections.abc import Sequence
from contextlib import ExitStack

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from transferlab.experiment.run import Run
from transferlab.runtime import logs


class ChildProcess(Callback):
    """Sets up logging and torch's threads as in the first process; rank 0 logs to the runs' files.

    Called last, so that the other callbacks can still log when a training ends.
    """

    def __init__(self, runs: Sequence[Run], *, threads: int | None) -> None:
        self.runs, self.threads = runs, threads
        self.log_files = ExitStack()

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if multiprocessing.parent_process() is None:
            return
        logs.to_stderr()
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        for run in self.runs if trainer.is_global_zero else ():
            self.log_files.enter_context(logs.to_file(run.log_file))

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        self.log_files.close()  # Lightning does not call teardown after an exception

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.log_files.close()
