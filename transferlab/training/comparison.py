"""How the weights of a run that was trained twice differ."""

from dataclasses import dataclass
from pathlib import Path

import torch

from transferlab.errors import UserError
from transferlab.experiment.run import Run
from transferlab.models import transfer
from transferlab.training import build, checkpoints


@dataclass(frozen=True)
class Difference:
    """`tensor` is the first one that differs, in the order of the network, by at most `largest`.

    `copied`: it belongs to a stage that is copied from the base. `count` of `tensors` differ.
    """

    tensor: str
    largest: float
    copied: bool
    count: int
    tensors: int


def first_difference(run: Run, before: Path, after: Path) -> Difference | None:
    """How the run's weights in two safetensors files differ; None if they have the same bits.

    Raises: UserError if the first file is not of the run's network.
    """
    with torch.device("meta"):
        network = build.network(run)
    old, new = checkpoints.load_weights(before), checkpoints.load_weights(after)
    names = list(network.state_dict())
    if {k: v.shape for k, v in old.items()} != {k: v.shape for k, v in new.items()}:
        raise UserError(
            f"{before} has other tensors than model.name={run.config.model.name} has now: the "
            "network was changed since"
        )
    differing = [n for n in names if not transfer.same_bits({n: old[n]}, {n: new[n]})]
    if not differing:
        return None
    first, copied = differing[0], run.config.variant.n + run.config.transfer.keep
    return Difference(
        first,
        float((old[first].double() - new[first].double()).abs().max()),
        run.base is not None and first.partition(".")[0] in network.stage_names[:copied],
        len(differing),
        len(names),
    )
