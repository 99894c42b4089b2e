"""How a GPU computes, and Lightning's warnings, settled in every process of a run."""

import warnings
from typing import Any

import pytorch_lightning as lightning
import torch

# Given wherever there is an srun: a job of ours uses it where it is needed
SRUN_ADVICE = "The `srun` command is available"


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
