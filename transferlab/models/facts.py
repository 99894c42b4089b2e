"""The facts of a network that a plan needs: its stages, their cost, its cut points. No torch."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from transferlab.errors import UserError
from transferlab.models.zoo import NETWORKS
from transferlab.runtime.hashes import Hashed, hashed_once


@hashed_once
@dataclass(frozen=True)
class NetworkShape(Hashed):
    """What determines the shape of a network."""

    model: str
    num_outputs: int
    image_size: int
    cuts: str = "stage"
    reduction: str | None = None


@dataclass(frozen=True)
class Footprint:
    """The memory of a stage for each image of a training batch, in bytes.

    `kept` counts the tensors that the forward pass saves for the backward pass, the output included
    and the input not; `widest` is the input and the output of its largest layer together.
    """

    kept: int
    output: int
    widest: int


@dataclass(frozen=True)
class StageFacts:
    """One stage: its number of parameters, the multiply-accumulates of one image's forward pass,
    and the memory of one image in either precision.

    `entry` of these multiply-accumulates have a factor that has no gradient if the stage's input
    has none; `auxiliary` are those of the classifiers on its output, forward.
    """

    name: str
    parameters: int
    macs: int
    float32: Footprint
    bfloat16: Footprint
    entry: int = 0
    auxiliary: int = 0


@dataclass(frozen=True)
class NetworkFacts:
    """The stages of a network, in order.

    `s_per_mac` is the time in s of a multiply-accumulate in training steps on `device`, counted as
    in `training_macs`; both are None if nothing was timed. `device_bytes` is the memory of the GPU
    that training uses on this machine, None if it uses the processor.
    """

    stages: tuple[StageFacts, ...]
    device_bytes: int | None
    s_per_mac: float | None
    device: str | None

    @property
    def parameters(self) -> int:
        return sum(stage.parameters for stage in self.stages)

    def forward_macs(self, n: int) -> int:
        """The multiply-accumulates of one image through stages 1..n."""
        return sum(stage.macs for stage in self.stages[:n])

    def training_macs(self, frozen: int) -> int:
        """The multiply-accumulates of one training image with so many frozen stages.

        Forward through all stages, and backward through those that learn, with their auxiliary
        classifiers. Backward costs twice as much, for a gradient of either factor of each product,
        but where one of them has none: the images, or what the frozen stages give.
        """
        learning = self.stages[frozen:]
        forward = self.forward_macs(len(self.stages)) + sum(stage.auxiliary for stage in learning)
        backward = 2 * sum(stage.macs + stage.auxiliary for stage in learning)
        return forward + backward - sum(stage.entry for stage in learning[:1])

    def learning_parameters(self, frozen: int) -> int:
        """The number of parameters above so many frozen stages."""
        return sum(stage.parameters for stage in self.stages[frozen:])


Facts = Mapping[NetworkShape, NetworkFacts]


def stage_number(names: Sequence[str], name: str) -> int:
    """The number of stages up to the end of the stage `name`.

    `names` are all stages, in order. With cuts inside of them, `block1` is all of `block1.conv1_1`
    and `block1.conv1_2`, and `conv1_2` suffices if no other stage ends so.

    Raises: UserError for an unknown name.
    """
    inside = [i for i, each in enumerate(names, start=1) if f"{each}.".startswith(f"{name}.")]
    ends = [i for i, each in enumerate(names, start=1) if each.endswith(f".{name}")]
    if not inside and len(ends) != 1:
        near = difflib.get_close_matches(name, [*names], n=1)
        suggested = f"did you mean {near[0]}? " if near else ""
        raise UserError(
            f"transfer.n={name} is no stage: {suggested}choose a number or one of {' '.join(names)}"
        )
    return max(inside or ends)


def check_image_size(model: str, size: int) -> None:
    """Raises: UserError for images, in pixels a side, that a network of the zoo refuses."""
    least, most = NETWORKS[model].images if model in NETWORKS else (size, size)
    if not least <= size <= most:
        pixels = str(most) if least == most else f"{least} to {most}"
        raise UserError(f"data.crop={size} does not fit model={model}, which takes {pixels} pixels")


def check_cut(stages: int, n: int, *, keep: int, model: str) -> None:
    """Raises: UserError unless 0 <= n and n + keep < stages: the classifier is always new."""
    if not 0 <= n < stages:
        raise UserError(
            f"transfer.n={n} is not a cut point of {model} ({stages} stages): "
            f"choose 0..{stages - 1}"
        )
    if n + keep >= stages:
        raise UserError(
            f"transfer.keep={keep} with transfer.n={n} reaches the classifier of {model} "
            f"({stages} stages): choose 0..{stages - 1 - n}"
        )


def check_covered(
    stages: int, needed: int, *, weights: str, model: str, missing: Sequence[str]
) -> None:
    """Raises: UserError if weights that cover so many first stages do not cover those needed."""
    if needed <= stages:
        return
    shown = ", ".join(missing[:3])
    more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
    raise UserError(
        f"split.weights={weights} covers {stages} stages of model={model}, and {needed} are to be "
        f"copied: missing {shown}{more}; choose transfer.n up to {stages}"
    )
