"""Keeps Lightning's warnings off the terminal in every process of a run."""

import warnings

from pytorch_lightning import Callback, LightningModule, Trainer

# Lightning warns wherever srun is installed; our jobs use srun where it is needed
SRUN_ADVICE = "The `srun` command is available"


class Quiet(Callback):
    """Ignores Lightning's warnings, which are about how we use it, in each process of a run: those
    that Lightning starts do not have the filters of the first."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.apply()

    @staticmethod
    def apply() -> None:
        warnings.filterwarnings("ignore", message=SRUN_ADVICE)
        warnings.filterwarnings("ignore", module="pytorch_lightning")
        warnings.filterwarnings("ignore", message=".*LeafSpec.*")  # Lightning on torch 2.15
