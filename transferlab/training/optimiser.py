"""SGD as the authors ran it: rates and decay by parameter, the rate by step, Caffe's velocity.

Source: yosinski/convnet_transfer, train_val prototxt; update rule of Caffe's SGDSolver.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from transferlab.models import kinds
from transferlab.training.recipe import Recipe


def build(
    networks: Iterable[nn.Module], recipe: Recipe, *, total_steps: int, step: int = 0
) -> tuple[torch.optim.SGD, LambdaLR]:
    """The optimiser of all trainable parameters, and its schedule after `step` of `total_steps`.

    Frozen parameters are not in it. Three groups by `models.kinds`: weights, and biases and
    parameters of normalisation with a rate and a decay of their own (Caffe's lr_mult and
    decay_mult; 2 and 0 for biases in the release). The scheduler has set the rate of the next step
    already, and is stepped after every update. On CUDA the update is one pass over the weights'
    memory instead of five.
    """
    schedule = recipe.rate(total_steps)
    by_kind: dict[str, list[nn.Parameter]] = {"weights": [], "biases": [], "norms": []}
    for network in networks:
        for _, parameter, kind in kinds.parameters(network):
            if parameter.requires_grad:
                by_kind[kind].append(parameter)
    learning = [parameter for group in by_kind.values() for parameter in group]
    factors = {
        "weights": (1.0, 1.0),
        "biases": (recipe.bias_lr_factor, recipe.bias_decay_factor),
        "norms": (recipe.norm_lr_factor, recipe.norm_decay_factor),
    }
    optimizer = torch.optim.SGD(
        [
            _group(kind, parameters, *factors[kind], recipe.weight_decay)
            for kind, parameters in by_kind.items()
        ],
        momentum=recipe.momentum,
        nesterov=recipe.nesterov,
        fused=True if learning and all(p.is_cuda for p in learning) else None,
    )
    if recipe.rate_in_velocity:
        optimizer.param_groups[0]["last_lr"] = schedule(step) if step else None
        optimizer.register_step_pre_hook(keep_rate_in_velocity)
    # Counts the steps that are done, where a schedule counts from 1
    return optimizer, LambdaLR(optimizer, lambda done: schedule(done + 1), last_epoch=step - 1)


def keep_rate_in_velocity(optimizer: torch.optim.Optimizer, *_: object) -> None:
    """A hook before each step for Caffe's rule v = m v + lr g, w = w - v.

    The rate is part of the velocity: after a drop of the rate the old velocity keeps its size.
    torch keeps v / lr instead, which is the same once it is multiplied by old rate / new rate. The
    rates are those of the weights, whose factor is 1; the last one is part of the optimiser's
    state.
    """
    weights = optimizer.param_groups[0]
    before, lr = weights["last_lr"], weights["lr"]
    weights["last_lr"] = lr
    if before is None or before == lr or lr == 0.0:
        return
    for state in optimizer.state.values():
        if state.get("momentum_buffer") is not None:
            state["momentum_buffer"].mul_(before / lr)


def velocity(optimizer: torch.optim.Optimizer, network: nn.Module) -> dict[str, Tensor]:
    """The momentum of one network's parameters, by name; empty before its first step."""
    buffers = {}
    for name, parameter in network.named_parameters():
        buffer = optimizer.state.get(parameter, {}).get("momentum_buffer")
        if buffer is not None:
            buffers[name] = buffer
    return buffers


def restore_velocity(
    optimizer: torch.optim.Optimizer, network: nn.Module, saved: Mapping[str, Any]
) -> None:
    """Restore what `velocity` returned, in place."""
    for name, parameter in network.named_parameters():
        if name in saved:
            buffer = torch.empty_like(parameter, memory_format=torch.preserve_format)
            optimizer.state[parameter]["momentum_buffer"] = buffer.copy_(saved[name])


def _group(
    kind: str,
    parameters: list[nn.Parameter],
    lr_factor: float,
    decay_factor: float,
    weight_decay: float,
) -> dict[str, Any]:
    """Parameters of one kind; rate and decay are these factors times those of weights."""
    rates = {"lr": lr_factor, "initial_lr": lr_factor}
    return {
        "name": kind, "params": parameters, "weight_decay": weight_decay * decay_factor, **rates
    }  # fmt: skip
