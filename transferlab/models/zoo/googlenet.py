"""GoogLeNet: 6,998,552 parameters, 13,378,280 with its two auxiliary classifiers.

Source: Szegedy et al. 2014, arXiv:1409.4842, Table 1 for the widths, Sec. 5 for the auxiliary
classifiers and dropout. What the paper leaves open is as in its replication, BVLC/caffe
models/bvlc_googlenet/train_val.prototxt: initial values (Caffe's xavier, biases 0.2), LRN with
k = 1, and pooling that rounds up. The first convolution is dense, though the paper's count of its
parameters is that of a separable one.
Shapes: B batch, K outputs, P pixels a side; input (B, 3, P, P), grey levels minus their mean.
`small` takes images of 16 to 96 pixels, of about unit variance.
"""

from collections.abc import Mapping

from torch import nn

from transferlab.models.dropout import Dropout
from transferlab.models.initial import Initial, by_kind, gaussian, he, xavier
from transferlab.models.normalisation import LocalResponseNorm
from transferlab.models.stages import Auxiliary, Stage, StagedNetwork
from transferlab.models.zoo.branches import Branches, chain, convolution

Widths = tuple[int, int, int, int, int, int]
# 1x1; 3x3 reduce, 3x3; 5x5 reduce, 5x5; pool projection. Source: Table 1
MODULES: Mapping[str, Widths] = {
    "inception_3a": (64, 96, 128, 16, 32, 32),
    "inception_3b": (128, 128, 192, 32, 96, 64),
    "inception_4a": (192, 96, 208, 16, 48, 64),
    "inception_4b": (160, 112, 224, 24, 64, 64),
    "inception_4c": (128, 128, 256, 24, 64, 64),
    "inception_4d": (112, 144, 288, 32, 64, 64),
    "inception_4e": (256, 160, 320, 32, 128, 128),
    "inception_5a": (256, 160, 320, 32, 128, 128),
    "inception_5b": (384, 192, 384, 48, 128, 128),
}
POOLED = ("inception_3b", "inception_4e")  # max pooling follows
BIAS = 0.2  # of all layers but the classifiers
DROPOUT, AUXILIARY_DROPOUT = 0.4, 0.7
AUXILIARY_WEIGHT = 0.3  # of an auxiliary loss
TAPS = {"loss1": "inception_4a", "loss2": "inception_4d"}
SMALL = 4  # the small network has a quarter of the widths
SMALL_DROPOUT = 0.25


class Logits(nn.Linear):
    """The layer of the logits: a kind of its own, because its bias starts at 0."""


def build(*, num_outputs: int, image_size: int) -> StagedNetwork:
    """The twelve stages conv1..classifier, with auxiliary classifiers on 4a and 4d."""
    return _network(
        _convolution(3, 64, 7, stride=2, padding=3),
        MODULES,
        width=64,
        lrn=True,
        initial=by_kind({Logits: xavier(), nn.Conv2d: xavier(BIAS), nn.Linear: xavier(BIAS)}),
        dropout=DROPOUT,
        taps=TAPS,
        side=(image_size + 1) // 2 // 8,  # of the maps of 4a to 4e: 14 at 224
        num_outputs=num_outputs,
    )


def small(*, num_outputs: int, image_size: int) -> StagedNetwork:
    """The same stages at a quarter of the widths, for small images; not from the paper.

    A first convolution of 3x3 without a stride, no LRN, initial values by He et al. 2015, less
    dropout, and one auxiliary classifier.
    """
    width = 64 // SMALL
    return _network(
        _convolution(3, width, 3, padding=1),
        {name: _divided(widths, SMALL) for name, widths in MODULES.items()},
        width=width,
        lrn=False,
        initial=by_kind({Logits: gaussian(0.01), nn.Conv2d: he(), nn.Linear: he()}),
        dropout=SMALL_DROPOUT,
        taps={"loss1": TAPS["loss1"]},
        side=image_size // 8,
        num_outputs=num_outputs,
    )


def _network(
    first: nn.Module,
    modules: Mapping[str, Widths],
    *,
    width: int,
    lrn: bool,
    initial: Initial,
    dropout: float,
    taps: Mapping[str, str],
    side: int,
    num_outputs: int,
) -> StagedNetwork:
    """`first` has `width` channels; `side`: of the maps that the auxiliary classifiers take."""
    stages = {
        "conv1": Stage({"conv": first, "pool": _pool(), **_norm(lrn)}, initial),
        "conv2": Stage(
            {
                "3x3_reduce": _convolution(width, width),
                "3x3": _convolution(width, 3 * width, 3, padding=1),
                **_norm(lrn),
                "pool": _pool(),
            },
            initial,
        ),
    }
    channels = 3 * width
    for name, widths in modules.items():
        layers: dict[str, nn.Module] = {"mixed": _inception(channels, widths)}
        if name in POOLED:
            layers["pool"] = _pool()
        stages[name] = Stage(layers, initial)
        channels = _outputs(widths)
    stages["classifier"] = _classifier(channels, dropout, num_outputs, initial)
    heads = {
        name: Auxiliary(
            _auxiliary(_outputs(modules[tap]), side, width, num_outputs, initial),
            tap,
            AUXILIARY_WEIGHT,
        )
        for name, tap in taps.items()
    }
    return StagedNetwork(stages, auxiliary=heads)


def _inception(channels: int, widths: Widths) -> Branches:
    """One module. Source: Szegedy et al. 2014, Fig. 2b."""
    one, reduce3, three, reduce5, five, projection = widths
    return Branches(
        {
            "1x1": _convolution(channels, one),
            "3x3": chain(
                {
                    "reduce": _convolution(channels, reduce3),
                    "3x3": _convolution(reduce3, three, 3, padding=1),
                }
            ),
            "5x5": chain(
                {
                    "reduce": _convolution(channels, reduce5),
                    "5x5": _convolution(reduce5, five, 5, padding=2),
                }
            ),
            "pool": chain(
                {
                    "pool": nn.MaxPool2d(3, stride=1, padding=1),
                    "projection": _convolution(channels, projection),
                }
            ),
        }
    )


def _auxiliary(channels: int, side: int, width: int, num_outputs: int, initial: Initial) -> Stage:
    """From maps (B, channels, side, side) to logits; `width`: of the network's first layer.

    Source: Szegedy et al. 2014, Sec. 5. The window is the whole map where that is smaller.
    """
    window = min(5, side)
    pooled = -(-(side - window) // 3) + 1  # rounded up
    convolved, hidden = 2 * width, 16 * width  # 128 and 1024
    return Stage(
        {
            "pool": nn.AvgPool2d(window, stride=3, ceil_mode=True),  # (B, C, 4, 4) at 224
            "conv": _convolution(channels, convolved),
            "flatten": nn.Flatten(),
            "fc": nn.Linear(convolved * pooled**2, hidden),
            "act": nn.ReLU(),
            "dropout": Dropout(AUXILIARY_DROPOUT),
            "classifier": Logits(hidden, num_outputs),
        },
        initial,
    )


def _classifier(channels: int, dropout: float, num_outputs: int, initial: Initial) -> Stage:
    return Stage(
        {
            "pool": nn.AdaptiveAvgPool2d(1),  # over the whole map: 7x7 at 224
            "flatten": nn.Flatten(),
            "dropout": Dropout(dropout),
            "fc": Logits(channels, num_outputs),  # (B, K)
        },
        initial,
    )


def _convolution(
    channels: int, width: int, kernel: int = 1, *, stride: int = 1, padding: int = 0
) -> nn.Sequential:
    return convolution(channels, width, kernel, stride=stride, padding=padding, normalised=False)


def _outputs(widths: Widths) -> int:
    one, _, three, _, five, projection = widths
    return one + three + five + projection


def _divided(widths: Widths, divisor: int) -> Widths:
    one, reduce3, three, reduce5, five, projection = (width // divisor for width in widths)
    return one, reduce3, three, reduce5, five, projection


def _pool() -> nn.Module:
    return nn.MaxPool2d(3, stride=2, ceil_mode=True)


def _norm(lrn: bool) -> dict[str, nn.Module]:
    """LRN, its alpha divided by the size as in Caffe, or nothing."""
    return {"norm": LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1.0)} if lrn else {}
