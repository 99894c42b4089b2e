"""Ways to halve a feature map while its channels grow: interchangeable parts of small networks.

Lecture "Network Structures" and Szegedy et al. 2015, arXiv:1512.00567, Sec. 5, Figs. 9 and 10.
Each takes (B, C, H, H) to (B, C', ceil(H / 2), ceil(H / 2)) and stands where the network would
have a 3x3 convolution, so that the layers after it are the same.
"""

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from transferlab.errors import UserError

Reduction = Literal["maxpool", "strided", "parallel"]


class Parallel(nn.Module):
    """A strided convolution beside max pooling, concatenated. Source: Fig. 10, of two branches."""

    def __init__(self, conv: nn.Module, pool: nn.Module) -> None:
        super().__init__()
        self.conv = conv
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.conv(x), self.pool(x)], 1)


def reduce(kind: Reduction, channels: int, out_channels: int, *, bias: bool = False) -> nn.Module:
    """The layers from `channels` to `out_channels` on half the side.

    maxpool: 3x3 pooling of stride 2, then the convolution (Fig. 9, left). strided: the convolution
    has the stride, with the same parameters and multiply-accumulates. parallel: pooling keeps the
    `channels`, and a strided convolution adds the rest, which must be one or more.

    Raises: UserError for another kind.
    """
    if kind not in get_args(Reduction):
        kinds = ", ".join(get_args(Reduction))
        raise UserError(f"unknown model.reduction={kind}: choose one of {kinds}")
    pool = nn.MaxPool2d(3, stride=2, padding=1)
    if kind == "maxpool":
        conv = nn.Conv2d(channels, out_channels, 3, padding=1, bias=bias)
        return nn.Sequential(pool, conv)
    width = out_channels - channels if kind == "parallel" else out_channels
    conv = nn.Conv2d(channels, width, 3, stride=2, padding=1, bias=bias)
    return conv if kind == "strided" else Parallel(conv, pool)
