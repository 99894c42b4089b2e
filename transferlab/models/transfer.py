"""Transfer: copies the first stages of a base network into a new one, and freezes them or not.

Source: Yosinski et al. 2014, Sec. 2. Stages above the cut keep their initial values. All functions
change the network in place; a base network is given by its weights, as `state_dict` returns them.
"""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from transferlab.errors import UserError
from transferlab.models.facts import check_cut
from transferlab.models.kinds import BATCH_NORM
from transferlab.models.stages import StagedNetwork

Weights = Mapping[str, Tensor]


def graft(
    network: StagedNetwork,
    *,
    n: int,
    keep: int = 0,
    frozen: bool,
    base: Weights | None,
    model: str = "the network",
) -> None:
    """Turn an initialised network of N stages into a transfer network, in place.

    Stages 1..n are copied from `base` and, if `frozen`, frozen; the `keep` stages after the cut are
    copied as initial values and always trained. Without `base` nothing is copied: a base network,
    or a prefix of random filters. AnB is n=n, frozen=True; AnB+ is frozen=False.
    `model` names the network in messages.

    Raises: UserError unless 0 <= n and n + keep < N, or if the base's weights do not fit.
    Source: Yosinski et al. 2014, Sec. 2 and Fig. 1.
    """
    check_cut(len(network), n, keep=keep, model=model)
    if base is not None:
        copy_stages(network, base, n + keep)
    if frozen:
        freeze_stages(network, n)


def copy_stages(network: StagedNetwork, base: Weights, count: int) -> None:
    """Copy parameters and buffers of stages 1..count from `base`, by name, in place.

    The base may have other stages above, and more or fewer outputs.

    Raises: UserError that lists all differences: names in one of them only, and shapes.
    """
    own = stage_weights(network, count)
    given = _within(base, network.stage_names[:count])
    problems = [f"only in the model: {name}" for name in own if name not in given]
    problems += [f"only in the base: {name}" for name in given if name not in own]
    problems += [
        f"{name} is {tuple(given[name].shape)} in the base and {tuple(own[name].shape)} here"
        for name in own
        if name in given and given[name].shape != own[name].shape
    ]
    if problems:
        raise UserError("the base network's weights do not fit: " + "; ".join(problems))
    with torch.no_grad():
        for name, value in own.items():
            value.copy_(given[name])


def freeze_stages(network: StagedNetwork, n: int) -> None:
    """Freeze stages 1..n, and the auxiliary classifiers on their outputs, in place.

    Such a classifier would train only itself, so it leaves the loss.
    """
    freeze(network.prefix(n))
    for depth in range(1, n + 1):
        for head, _ in network.auxiliary_at(depth):
            freeze(head)


def freeze(stages: nn.Module) -> None:
    """Freeze a module, in place: no gradients, and batch norm in evaluation mode.

    Without a gradient a parameter has no weight decay either. Batch statistics stay fixed as long
    as `train` is not called on the module. Dropout stays active, as in the authors' release.
    """
    stages.requires_grad_(False)
    for module in stages.modules():
        if isinstance(module, BATCH_NORM):
            module.eval()


def stage_weights(network: StagedNetwork, count: int) -> dict[str, Tensor]:
    """The parameters and buffers of stages 1..count by name, sharing memory with the network."""
    return _within(network.state_dict(), network.stage_names[:count])


def _within(weights: Weights, stages: Iterable[str]) -> dict[str, Tensor]:
    """Those of the weights that belong to the stages with these names."""
    starts = tuple(f"{name}." for name in stages)
    return {name: value for name, value in weights.items() if name.startswith(starts)}


def same_bits(first: Weights, second: Weights) -> bool:
    """Whether both have the same names with bit-identical values of the same shape and type."""
    return first.keys() == second.keys() and all(
        first[name].shape == second[name].shape
        and first[name].dtype == second[name].dtype
        and torch.equal(_bits(first[name]), _bits(second[name]))
        for name in first
    )


def _bits(values: Tensor) -> Tensor:
    return values.detach().cpu().contiguous().flatten().view(torch.uint8)
