"""SGD as the authors ran it: rates and decay by parameter, the schedule in steps.

Source: yosinski/convnet_transfer, solver and train_val prototxt; update rule of Caffe's SGDSolver.
Steps are counted from 1 here, as Caffe counts iterations: step i is the i-th update.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

Schedule = Callable[[int], float]


@dataclass(frozen=True)
class StepDecay:
    """lr * factor ** floor(i / every): the step `every` itself already has the lower rate."""

    lr: float
    every: int
    factor: float
    warmup_steps: int

    def __call__(self, i: int) -> float:
        return _warm(i, self.warmup_steps) * self.lr * self.factor ** (i // self.every)


@dataclass(frozen=True)
class Cosine:
    """A linear warm-up to lr in `warmup_steps`, then half a cosine down to 0 at the last step."""

    lr: float
    total_steps: int
    warmup_steps: int

    def __call__(self, i: int) -> float:
        if i <= self.warmup_steps:
            return self.lr * _warm(i, self.warmup_steps)
        done = (i - self.warmup_steps) / (self.total_steps - self.warmup_steps)
        return self.lr * 0.5 * (1 + math.cos(math.pi * done))


def _warm(i: int, warmup_steps: int) -> float:
    return min(1.0, i / warmup_steps) if warmup_steps else 1.0


def build(
    networks: Iterable[nn.Module],
    *,
    momentum: float,
    nesterov: bool,
    weight_decay: float,
    bias_lr_factor: float,
    bias_decay_factor: float,
) -> torch.optim.SGD:
    """One optimiser over everything that learns; frozen parameters are not in it.

    Two groups: weights, and biases with a rate and a decay of their own (Caffe's lr_mult and
    decay_mult; 2 and 0 in the release). Rates are set by `set_rate` before every step. On CUDA the
    update is one pass over the weights' memory instead of five.
    """
    weights: list[nn.Parameter] = []
    biases: list[nn.Parameter] = []
    for network in networks:
        for name, parameter in network.named_parameters():
            if parameter.requires_grad:
                (biases if name.endswith("bias") else weights).append(parameter)
    learning = [*weights, *biases]
    return torch.optim.SGD(
        [
            {"params": weights, "weight_decay": weight_decay, "lr_factor": 1.0},
            {
                "params": biases,
                "weight_decay": weight_decay * bias_decay_factor,
                "lr_factor": bias_lr_factor,
            },
        ],
        lr=0.0,
        momentum=momentum,
        nesterov=nesterov,
        fused=True if learning and all(p.is_cuda for p in learning) else None,
    )


def set_rate(optimizer: torch.optim.Optimizer, lr: float, *, rescale_from: float | None) -> None:
    """Set every group's rate from `lr`, in place.

    `rescale_from` is the rate of the step before, for Caffe's rule v = m v + lr g, w = w - v,
    which has the rate inside the velocity: after a drop the old velocity keeps its size. torch
    keeps v / lr instead, which is the same once it is multiplied by old rate / new rate.
    """
    for group in optimizer.param_groups:
        group["lr"] = lr * group["lr_factor"]
    if rescale_from is None or rescale_from == lr or lr == 0.0:
        return
    for state in optimizer.state.values():
        if state.get("momentum_buffer") is not None:
            state["momentum_buffer"].mul_(rescale_from / lr)


def velocity(optimizer: torch.optim.Optimizer, network: nn.Module) -> dict[str, Tensor]:
    """The momentum of one network's parameters, by name; nothing before its first step."""
    found = {}
    for name, parameter in network.named_parameters():
        buffer = optimizer.state.get(parameter, {}).get("momentum_buffer")
        if buffer is not None:
            found[name] = buffer
    return found


def restore_velocity(
    optimizer: torch.optim.Optimizer, network: nn.Module, saved: Mapping[str, Any]
) -> None:
    """Put back what `velocity` gave, in place."""
    for name, parameter in network.named_parameters():
        if name in saved:
            buffer = torch.empty_like(parameter, memory_format=torch.preserve_format)
            optimizer.state[parameter]["momentum_buffer"] = buffer.copy_(saved[name])
