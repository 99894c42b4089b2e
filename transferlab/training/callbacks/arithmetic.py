"""How a device computes, set in every process of a run."""

import warnings

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from transferlab.runtime import bfloat16


class Arithmetic(Callback):
    """Sets how a device computes, in each process of a run. The settings are torch's own for the
    whole process, so they outlast the run; the next run sets them again.

    On a GPU they differ from torch's defaults: float32 is float32, also in convolutions, which are
    otherwise computed in TF32 with 10 bits of mantissa (notes on CUDA semantics). For speed there
    is bfloat16, which the record names; on a processor see `runtime.bfloat16`. cuDNN selects the
    fastest algorithm for each shape by trial.
    """

    def __init__(self, *, compile: bool) -> None:
        self.compile = compile

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        device = trainer.strategy.root_device
        if trainer.precision == "bf16-mixed":
            bfloat16.prepare(device)
        if device.type == "cuda":
            self.apply()

    def apply(self) -> None:
        with warnings.catch_warnings():
            # Settings by layer are newer, but reading the older one then raises
            warnings.filterwarnings("ignore", message="Please use the new API settings")
            torch.backends.cudnn.allow_tf32 = False
        torch.set_float32_matmul_precision("highest")
        torch.backends.cudnn.benchmark = True
        torch.compiler.set_stance("default" if self.compile else "force_eager")
