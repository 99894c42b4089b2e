"""Local response normalisation across channels, as elementwise operations that can be fused.

torch's own uses an average pooling in three dimensions, keeps four tensors of the input's size for
the backward pass and returns float32 in autocast. This one keeps only its input and recomputes the
rest, which is also faster on a GPU, where the cost is memory traffic. Source: Krizhevsky et al.
2012, Sec. 3.3. Shapes: B batch, C channels; x, gradient and all in between (B, C, ...), in x's
memory format.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from transferlab.runtime import compiled


class LocalResponseNorm(nn.Module):
    """y_c = x_c / (k + alpha / size * sum of x_j ** 2 over `size` channels about c) ** beta.

    The arguments are torch's. Channels beyond the ends count as zero. The output has the type of
    the input and is computed in float32 at least.
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, x: Tensor) -> Tensor:
        return _Normalise.apply(x, self.size, self.alpha, self.beta, self.k)  # type: ignore[no-untyped-call]

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


class _Normalise(torch.autograd.Function):
    """Both passes are functions without a graph of their own, so each compiles to one kernel."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, size: int, alpha: float, beta: float, k: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.constants = size, alpha, beta, k
        return _normalised(x, size, alpha, beta, k)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (x,) = ctx.saved_tensors
        return _input_gradient(x, gradient, *ctx.constants), None, None, None, None


@compiled.on_cuda
def _normalised(x: Tensor, size: int, alpha: float, beta: float, k: float) -> Tensor:
    values = _at_least_float32(x)
    scale = _divisors(values, size, alpha, k).pow_(-beta)
    return scale.mul_(values).to(x.dtype)


@compiled.on_cuda
def _input_gradient(
    x: Tensor, gradient: Tensor, size: int, alpha: float, beta: float, k: float
) -> Tensor:
    """With d the divisors, g the gradient and the sum over all windows c that contain i:

    g_i d_i ** -beta - 2 alpha beta / size * x_i * sum of g_c x_c d_c ** (-beta - 1)
    """
    values, g = _at_least_float32(x), _at_least_float32(gradient)
    divisors = _divisors(values, size, alpha, k)
    scale = divisors.pow(-beta)
    through = (g * values).mul_(scale).div_(divisors)
    windows = _channel_sums(through, before=(size - 1) // 2, after=size // 2)
    return scale.mul_(g).sub_(windows.mul_(values), alpha=2 * alpha * beta / size).to(x.dtype)


def _divisors(values: Tensor, size: int, alpha: float, k: float) -> Tensor:
    """k + alpha / size * the sums of squares, a new tensor."""
    squares = values * values
    sums = _channel_sums(squares, before=size // 2, after=(size - 1) // 2)
    return sums.mul_(alpha / size).add_(k)


def _channel_sums(values: Tensor, *, before: int, after: int) -> Tensor:
    """Each channel's value plus those of the channels before and after it, a new tensor."""
    sums = values.clone()
    for distance in range(1, before + 1):
        sums[:, distance:] += values[:, :-distance]
    for distance in range(1, after + 1):
        sums[:, :-distance] += values[:, distance:]
    return sums


def _at_least_float32(values: Tensor) -> Tensor:
    return values.to(torch.promote_types(values.dtype, torch.float32))
