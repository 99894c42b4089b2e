"""BN-Inception and the variants that its paper compares: 11,194,984 parameters with batch norm.

Source: Ioffe, Szegedy 2015, arXiv:1502.03167, Fig. 5 for the widths and Sec. 4.2 for the variants.
Where the paper is silent, this is Google's slim (tensorflow/models, slim/nets/inception_v2.py and
inception_utils.py): initial values by He et al. 2015 in their truncated form, average pooling that
leaves the padding out, and an epsilon of 0.001. Which layers LRN follows is taken from GoogLeNet.
Differs: running statistics have torch's momentum of 0.1; slim's 0.0003 would need many thousands
of steps before an evaluation means anything.
Shapes: B batch, K outputs, P pixels a side; input (B, 3, P, P), of about unit variance.
`small` takes images of 16 to 96 pixels.
"""

from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass, replace
from functools import partial

from torch import nn

from transferlab.models.dropout import Dropout
from transferlab.models.initial import Initial, truncated, truncated_he
from transferlab.models.normalisation import LocalResponseNorm
from transferlab.models.stages import Stage, StagedNetwork
from transferlab.models.zoo.branches import Branches, chain, convolution

Convolution = Callable[..., nn.Module]
ACTIVATIONS: Mapping[str, type[nn.Module]] = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid}


@dataclass(frozen=True)
class Widths:
    """The channels of a module. One without `projection` has stride 2, no 1x1 branch, and passes
    its pooled input through."""

    one: int
    reduce: int  # before the 3x3 convolution
    three: int
    double_reduce: int  # before the two 3x3 convolutions
    double: int
    projection: int  # after the pooling

    @property
    def stride(self) -> int:
        return 1 if self.projection else 2

    def outputs(self, channels: int) -> int:
        return self.one + self.three + self.double + (self.projection or channels)


# With the projections of 128 in Fig. 5 these two have 608 channels, and not the 576 that it prints
CONTRADICTORY = ("inception_4c", "inception_4d")
PROJECTION = 96  # theirs in slim, which gives 576
# Source: Fig. 5
MODULES: Mapping[str, Widths] = {
    "inception_3a": Widths(64, 64, 64, 64, 96, 32),
    "inception_3b": Widths(64, 64, 96, 64, 96, 64),
    "inception_3c": Widths(0, 128, 160, 64, 96, 0),
    "inception_4a": Widths(224, 64, 96, 96, 128, 128),
    "inception_4b": Widths(192, 96, 128, 96, 128, 128),
    "inception_4c": Widths(160, 128, 160, 128, 160, PROJECTION),
    "inception_4d": Widths(96, 128, 192, 160, 192, PROJECTION),
    "inception_4e": Widths(0, 128, 192, 192, 256, 0),
    "inception_5a": Widths(352, 192, 320, 160, 224, 128),
    "inception_5b": Widths(352, 192, 320, 192, 224, 128),
}
MAX_POOLED = "inception_5b"  # the other modules of stride 1 average
DROPOUT = 0.4
SMALL = 4  # the small network has a quarter of the widths


def build(
    *,
    num_outputs: int,
    image_size: int,
    normalised: bool = True,
    regularised: bool = False,
    activation: str = "relu",
    projection: int = PROJECTION,
    separable: bool = False,
) -> StagedNetwork:
    """The thirteen stages conv1..classifier.

    Without batch norm (not `normalised`) convolutions have biases. `regularised` networks have LRN
    and dropout, which the paper's BN-x5 and BN-x30 do without. `projection` is that of 4c and 4d.
    `separable`: eight 7x7 filters for each colour, then a 1x1 convolution, without batch norm, in
    place of the first convolution, as in the paper's appendix and in slim.
    """
    act = ACTIVATIONS[activation]
    conv = partial(convolution, normalised=normalised, activation=act)
    modules = dict(MODULES)
    for name in CONTRADICTORY:
        modules[name] = replace(modules[name], projection=projection)
    initial = truncated_he()
    dense = {"7x7": conv(3, 64, 7, stride=2, padding=3)}  # (B, 64, 112, 112) at 224
    first = _separable(act) if separable else dense
    conv1 = {**first, "pool": _pool(), **_norm(regularised)}
    return StagedNetwork(
        {
            "conv1": Stage(conv1, truncated(1.0) if separable else initial),  # 1: slim's
            "conv2": _conv2(64, conv, initial, regularised),  # (B, 192, 28, 28) at 224
            **_trunk(192, (image_size + 1) // 2 // 4, modules, conv, initial),
            "classifier": _classifier(1024, DROPOUT if regularised else 0.0, num_outputs, initial),
        }
    )


def small(
    *,
    num_outputs: int,
    image_size: int,
    normalised: bool = True,
    regularised: bool = False,
    activation: str = "relu",
) -> StagedNetwork:
    """The same stages at a quarter of the widths, for small images; not from the paper.

    The first convolution is of 3x3 and without a stride. The variants are those of `build`.
    """
    width = 64 // SMALL
    modules = {
        name: Widths(*(channels // SMALL for channels in astuple(widths)))
        for name, widths in MODULES.items()
    }
    initial = truncated_he()
    act = ACTIVATIONS[activation]
    conv = partial(convolution, normalised=normalised, activation=act)
    first = {"3x3": conv(3, width, 3, padding=1), "pool": _pool(), **_norm(regularised)}
    dropout = DROPOUT if regularised else 0.0
    return StagedNetwork(
        {
            "conv1": Stage(first, initial),  # (B, 16, P/2, P/2)
            "conv2": _conv2(width, conv, initial, regularised),  # (B, 48, P/4, P/4)
            **_trunk(3 * width, image_size // 4, modules, conv, initial),
            "classifier": _classifier(1024 // SMALL, dropout, num_outputs, initial),
        }
    )


def _conv2(width: int, conv: Convolution, initial: Initial, regularised: bool) -> Stage:
    """From `width` channels to three times as many."""
    return Stage(
        {
            "3x3_reduce": conv(width, width),
            "3x3": conv(width, 3 * width, 3, padding=1),
            **_norm(regularised),
            "pool": _pool(),
        },
        initial,
    )


def _trunk(
    channels: int,
    side: int,
    modules: Mapping[str, Widths],
    conv: Convolution,
    initial: Initial,
) -> dict[str, Stage]:
    """The stages of the Inception modules, from an input (B, channels, side, side)."""
    stages = {}
    for name, widths in modules.items():
        pool: nn.Module
        if widths.stride == 2:
            # Its windows meet those of the convolutions: at an odd side the first is half outside
            pool = nn.MaxPool2d(3, stride=2, padding=side % 2, ceil_mode=True)
        elif name == MAX_POOLED:
            pool = nn.MaxPool2d(3, stride=1, padding=1)
        else:
            pool = nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
        stages[name] = Stage({"mixed": _inception(channels, widths, pool, conv)}, initial)
        channels, side = widths.outputs(channels), -(-side // widths.stride)
    return stages


def _inception(channels: int, widths: Widths, pool: nn.Module, conv: Convolution) -> Branches:
    """One module. Source: Ioffe, Szegedy 2015, appendix."""
    stride = widths.stride
    branches: dict[str, nn.Module] = {"1x1": conv(channels, widths.one)} if widths.one else {}
    branches["3x3"] = chain(
        {
            "reduce": conv(channels, widths.reduce),
            "3x3": conv(widths.reduce, widths.three, 3, stride=stride, padding=1),
        }
    )
    branches["double3x3"] = chain(
        {
            "reduce": conv(channels, widths.double_reduce),
            "3x3a": conv(widths.double_reduce, widths.double, 3, padding=1),
            "3x3b": conv(widths.double, widths.double, 3, stride=stride, padding=1),
        }
    )
    projection = {"projection": conv(channels, widths.projection)} if widths.projection else {}
    branches["pool"] = chain({"pool": pool, **projection})
    return Branches(branches)


def _classifier(channels: int, dropout: float, num_outputs: int, initial: Initial) -> Stage:
    return Stage(
        {
            "pool": nn.AdaptiveAvgPool2d(1),  # over the whole map: 7x7 at 224
            "flatten": nn.Flatten(),
            **({"dropout": Dropout(dropout)} if dropout else {}),
            "fc": nn.Linear(channels, num_outputs),  # (B, K)
        },
        initial,
    )


def _separable(activation: type[nn.Module]) -> dict[str, nn.Module]:
    """Source: tensorflow/models, slim/nets/inception_v2.py, Conv2d_1a_7x7."""
    return {
        "7x7_depthwise": nn.Conv2d(3, 24, 7, stride=2, padding=3, groups=3, bias=False),
        "1x1_pointwise": nn.Conv2d(24, 64, 1),
        "act": activation(),
    }


def _pool() -> nn.Module:
    return nn.MaxPool2d(3, stride=2, ceil_mode=True)


def _norm(regularised: bool) -> dict[str, nn.Module]:
    """LRN, its alpha divided by the size as in Caffe, or nothing."""
    return {"norm": LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1.0)} if regularised else {}
