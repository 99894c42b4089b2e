"""Ways to halve a feature map while its channels grow: interchangeable parts of small networks.

Lecture "Network Structures" and Szegedy et al. 2015, arXiv:1512.00567, Sec. 5, Figs. 9 and 10.
Each takes (B, C, H, H) to (B, C', ceil(H / 2), ceil(H / 2)) and stands where the network would
have a 3x3 convolution, so that the layers after it are the same.
"""

from collections import OrderedDict
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from transferlab.errors import UserError

Reduction = Literal["maxpool", "strided", "parallel"]
KINDS = get_args(Reduction)


class Parallel(nn.Module):
    """A strided convolution beside max pooling, concatenated. Source: Fig. 10, of two branches."""

    def __init__(self, conv: nn.Module, pool: nn.Module) -> None:
        super().__init__()
        self.conv = conv
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.conv(x), self.pool(x)], 1)


def reduce(
    kind: Reduction | None, channels: int, out_channels: int, *, bias: bool = False
) -> nn.Module:
    """The 3x3 convolution from `channels` to `out_channels`, and with a `kind` half the side.

    maxpool: 3x3 pooling of stride 2, then the convolution (Fig. 9, left). strided: the convolution
    has the stride, with the same parameters and multiply-accumulates. parallel: pooling keeps the
    `channels`, and a strided convolution adds the others, one or more. None: no reduction, where
    a network has it elsewhere.

    Raises: UserError for another kind.
    """
    if kind not in (None, *KINDS):
        raise UserError(f"unknown model.reduction={kind}: choose one of {', '.join(KINDS)}")
    width = out_channels - channels if kind == "parallel" else out_channels
    stride = 2 if kind in ("strided", "parallel") else 1
    conv = nn.Conv2d(channels, width, 3, stride=stride, padding=1, bias=bias)
    pool = nn.MaxPool2d(3, stride=2, padding=1)
    if kind == "maxpool":
        return nn.Sequential(OrderedDict(pool=pool, conv=conv))
    return Parallel(conv, pool) if kind == "parallel" else conv
