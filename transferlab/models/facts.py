"""What a plan must know of a network: its stages, their cost and its cut points. No torch."""

from collections.abc import Mapping
from dataclasses import dataclass

from transferlab.errors import UserError


@dataclass(frozen=True)
class NetworkShape:
    """What decides on a network's shape; its `num_outputs` are the classes, unless told."""

    model: str
    num_outputs: int
    image_size: int


@dataclass(frozen=True)
class Footprint:
    """The memory that a stage has for each image of a training batch, in bytes.

    `kept` is what its forward pass leaves for the backward pass, its output included and its input
    not; `widest` is the input and the output of its largest layer.
    """

    kept: int
    output: int
    widest: int


@dataclass(frozen=True)
class StageFacts:
    """One stage: its parameters, the multiply-accumulates of a forward pass of one image, and its
    memory for an image in either precision."""

    name: str
    parameters: int
    macs: int
    float32: Footprint
    bfloat16: Footprint


@dataclass(frozen=True)
class NetworkFacts:
    """The stages of a network, in order.

    `s_per_mac` is the time in s of one multiply-accumulate in training steps on `device`, counted
    as in `training_macs`; both are None where nothing was timed. `device_bytes` is the memory of
    the GPU that training takes on this machine, None where it takes the processor.
    """

    stages: tuple[StageFacts, ...]
    device_bytes: int | None
    s_per_mac: float | None
    device: str | None

    @property
    def parameters(self) -> int:
        return sum(stage.parameters for stage in self.stages)

    def forward_macs(self, n: int) -> int:
        """Of one image through stages 1..n."""
        return sum(stage.macs for stage in self.stages[:n])

    def training_macs(self, frozen: int) -> int:
        """Of one training image with so many frozen stages.

        Forward through all stages, and backward, which costs twice as much (the gradient of the
        input and that of the weights), through those that learn.
        """
        whole = self.forward_macs(len(self.stages))
        return whole + 2 * (whole - self.forward_macs(frozen))


Facts = Mapping[NetworkShape, NetworkFacts]


def check_cut(stages: int, n: int, *, keep: int, model: str) -> None:
    """Raises: UserError unless stage n + keep leaves at least the classifier to learn."""
    if not 0 <= n < stages:
        raise UserError(
            f"transfer.n={n} is not a cut point of {model} ({stages} stages): "
            f"choose 0..{stages - 1}"
        )
    if n + keep >= stages:
        raise UserError(
            f"transfer.keep={keep} goes past the last stage before the classifier of {model} "
            f"({stages} stages) with transfer.n={n}: choose 0..{stages - 1 - n}"
        )
