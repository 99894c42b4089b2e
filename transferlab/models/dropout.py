"""Dropout and stochastic depth whose masks are reproducible: where a mask is decided.

The key of a stage is set by `StagedNetwork.key_dropout`, from `training.seeds`; step and places by
`StagedNetwork.set_step`, before every training step. B rows of a batch, F values a row.
"""

import hashlib
import math
from typing import Literal

import torch
from torch import Tensor, nn

BITS = 16  # of a random number: a probability is rounded to a multiple of 2 ** -16
GAMMA, FIRST, SECOND = (  # SplitMix64's constants as signed integers, which torch has
    constant - 2**64 for constant in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
)


class Masked(nn.Module):
    """A module with a random mask that the training determines: the same on every device.

    A row's mask is a function of `key`, `step` and the row's place in the batch of that step: row i
    of what is passed has place `first + stride * i`. So processes that share a batch out have the
    masks that one process has, and no mask depends on other draws or on interruptions.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p
        self.key = 0
        self.step = 0
        self.first = 0
        self.stride = 1

    def kept(self, x: Tensor, count: int) -> Tensor:
        """Which of `count` values of each row of x (B, ...) stay: (B, count), each with 1 - p."""
        places = torch.arange(len(x), device=x.device) * self.stride + self.first
        return self._kept(places, count)

    def kept_together(self, x: Tensor, count: int) -> Tensor:
        """Which of `count` values stay, the same in every row and process: (count,)."""
        return self._kept(torch.zeros(1, dtype=torch.long, device=x.device), count)[0]

    def _kept(self, places: Tensor, count: int) -> Tensor:
        numbers = row_numbers(self.key, self.step, places, count)
        return numbers >= round(self.p * 2**BITS) - 2 ** (BITS - 1)

    def extra_repr(self) -> str:
        return f"p={self.p}"


class Dropout(Masked):
    """Drops each value with probability p.

    Values that stay are scaled by 1 / (1 - p) in training; in evaluation nothing changes, as in
    Caffe. `shared` values, as all of a feature map (B, C, H, W), share one number: with 2, a
    channel is dropped or stays as a whole.
    """

    def __init__(self, p: float, *, shared: int = 0) -> None:
        super().__init__(p)
        self.shared = shared  # last dimensions that have one number together

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        shape = (*x.shape[1 : x.ndim - self.shared], *(1,) * self.shared)
        kept = self.kept(x, math.prod(shape)).view(len(x), *shape)
        return x * kept / (1 - self.p)


class StochasticDepth(Masked):
    """Drops a residual branch, for each row or for the whole batch, with probability p.

    With `rescaled`, a branch that stays is scaled by 1 / (1 - p) in training and not in evaluation,
    as in torchvision and timm; otherwise by 1 in training and by 1 - p in evaluation, as in the
    paper. Source: Huang et al. 2016, arXiv:1603.09382, Eqs. 2 and 5, which drops by mini-batch.
    """

    def __init__(self, p: float, *, by: Literal["row", "batch"], rescaled: bool) -> None:
        super().__init__(p)
        self.by, self.rescaled = by, rescaled

    def forward(self, x: Tensor) -> Tensor:
        if self.p == 0:
            return x
        if not self.training:
            return x if self.rescaled else x * (1 - self.p)
        if self.by == "row":
            kept = self.kept(x, 1).view(-1, *(1,) * (x.ndim - 1))
        else:
            kept = self.kept_together(x, 1)
        return x * kept / (1 - self.p if self.rescaled else 1)

    def extra_repr(self) -> str:
        return f"p={self.p}, by={self.by}, rescaled={self.rescaled}"


def row_numbers(key: int, step: int, places: Tensor, count: int) -> Tensor:
    """`count` random numbers for each place (B,), (B, count) int16, uniform over all its values.

    They are the outputs of one generator for each key and step: those of a place follow those of
    the place before it, whichever places are asked for.
    Source: SplitMix64, Steele, Lea, Flood 2014, Fig. 17; each output has four numbers.
    """
    digest = hashlib.sha256(f"{key}/{step}".encode()).digest()
    outputs = math.ceil(count * BITS / 64)
    index = places[:, None] * outputs + torch.arange(outputs, device=places.device)
    state = index.mul_(GAMMA).add_(int.from_bytes(digest[:8], "big", signed=True))
    state.bitwise_xor_(_shifted(state, 30)).mul_(FIRST)
    state.bitwise_xor_(_shifted(state, 27)).mul_(SECOND)
    state.bitwise_xor_(_shifted(state, 31))
    return state.view(torch.int16)[:, :count]


def _shifted(state: Tensor, bits: int) -> Tensor:
    """The unsigned shift to the right, of int64: torch's own repeats the sign."""
    return (state >> bits).bitwise_and_(2 ** (64 - bits) - 1)
