"""The facts of a network that a plan needs: its stages, their cost, its cut points. No torch."""

from collections.abc import Mapping
from dataclasses import dataclass

from transferlab.errors import UserError


@dataclass(frozen=True)
class NetworkShape:
    """What determines the shape of a network."""

    model: str
    num_outputs: int
    image_size: int


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
    and the memory of one image in either precision."""

    name: str
    parameters: int
    macs: int
    float32: Footprint
    bfloat16: Footprint


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

        Forward through all stages, and backward through those that learn, which costs twice as
        much: the gradient of the input and that of the weights.
        """
        forward = self.forward_macs(len(self.stages))
        return forward + 2 * (forward - self.forward_macs(frozen))


Facts = Mapping[NetworkShape, NetworkFacts]


# The images that the networks of conf/model/ take: the least and the most pixels a side
IMAGE_SIZES = {"alexnet": (227, 227), "alexnet_small": (16, 96)}


def check_image_size(model: str, size: int) -> None:
    """Raises: UserError for images, in pixels a side, that a network of `IMAGE_SIZES` refuses."""
    least, most = IMAGE_SIZES.get(model, (size, size))
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
