"""Surgery: copy the first stages of a base network into a fresh one, and freeze them or not.

Yosinski et al. 2014, Sec. 2. Stages above the cut keep the fresh values that they have.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from transferlab.errors import UserError
from transferlab.models.facts import check_cut
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
    """Make a freshly initialised network a transfer network, in place.

    Copies stages 1..n from `base`, and the `keep` stages after the cut as initial values that
    train on; freezes stages 1..n if `frozen`. Without `base` (random prefix, base network) nothing
    is copied. `model` is the network's name, for messages.

    Raises: UserError if n or keep is not a cut point, or the base's weights do not fit.
    """
    check_cut(len(network), n, keep=keep, model=model)
    if base is not None:
        copy_stages(network, base, n + keep)
    if frozen:
        freeze(network.prefix(n))


def copy_stages(network: StagedNetwork, base: Weights, count: int) -> None:
    """Copy stages 1..count from the base's weights, by name, in place.

    Raises: UserError with all differences at once: only in one of them, or of another shape.
    """
    own = stage_weights(network, count)
    names = network.stage_names[:count]
    given = {name: value for name, value in base.items() if name.partition(".")[0] in names}
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


def freeze(stages: nn.Module) -> None:
    """Freeze in place: no gradient, so not in the optimiser, and batch-norm statistics fixed.

    Dropout stays active, as in the authors' release: it belongs to the input of the next stage.
    """
    stages.requires_grad_(False)
    for module in stages.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()


def stage_weights(network: StagedNetwork, count: int) -> dict[str, Tensor]:
    """The parameters and buffers of stages 1..count, by name, not copied."""
    names = network.stage_names[:count]
    return {k: v for k, v in network.state_dict().items() if k.partition(".")[0] in names}


def same_bits(first: Weights, second: Weights) -> bool:
    """True if both hold the same names with bit-identical values of one shape and type."""
    return first.keys() == second.keys() and all(
        first[name].shape == second[name].shape
        and first[name].dtype == second[name].dtype
        and torch.equal(_bits(first[name]), _bits(second[name]))
        for name in first
    )


def _bits(values: Tensor) -> Tensor:
    return values.detach().cpu().contiguous().flatten().view(torch.uint8)
