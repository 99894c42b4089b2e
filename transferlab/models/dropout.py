"""Dropout whose masks are reproducible: where a mask is decided.

The key of a stage is set by `StagedNetwork.key_dropout`, from `training.seeds`; the step by
`StagedNetwork.set_step`, before every training step.
"""

import torch
from torch import Tensor, nn


class Dropout(nn.Module):
    """Dropout with a mask that is a function of `key` and `step`, which the training sets.

    A mask depends neither on other draws of the process nor on interruptions of the run. Values
    that stay are scaled by 1 / (1 - p) in training; in evaluation nothing changes, as in Caffe.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p
        self.key = 0
        self.step = 0

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        generator = torch.Generator(x.device).manual_seed((self.key + self.step) % 2**63)
        kept = torch.rand(x.shape, generator=generator, device=x.device) >= self.p
        return x * kept / (1 - self.p)

    def extra_repr(self) -> str:
        return f"p={self.p}"
