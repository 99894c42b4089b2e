"""Computing in bfloat16, also on a processor that cannot.

`torch.autocast` rounds the factors of convolutions and matrix products to bfloat16. On a processor
without AVX-512 (or bfloat16 instructions of ARM) oneDNN has no such product, and torch falls back
to loops that are ten times slower than float32 (pytorch issues 118499 and 183815). Such products
are computed here in float32, of the rounded factors, and rounded once: what a processor with these
instructions computes, but for the order of its sums, in the time of float32.
"""

import functools
import warnings
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

# Those that autocast computes in bfloat16 on a processor ("CPU Op-Specific Behavior" of torch.amp)
PRODUCTS = (
    "conv1d",
    "conv1d.padding",
    "conv2d",
    "conv2d.padding",
    "conv3d",
    "conv3d.padding",
    "conv_transpose1d",
    "conv_transpose2d.input",
    "conv_transpose3d.input",
    "linear",
    "matmul",
    "mm",
    "bmm",
    "addmm",
    "baddbmm",
    "addbmm",
    "scaled_dot_product_attention",
)


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """The context in which a network computes in `float32` or `bfloat16` on the device."""
    lower = precision == "bfloat16"
    if lower:
        prepare(device)
    return torch.autocast(device.type, torch.bfloat16, enabled=lower, cache_enabled=False)


def prepare(device: torch.device) -> None:
    """Makes autocast in this process, from now on, as fast as float32 on a processor that has no
    products in bfloat16. Other devices stay as they are."""
    if device.type == "cpu" and not has_products():
        _kernels()


def withdraw() -> None:
    """Undoes `prepare`: products are torch's own again."""
    if _kernels.cache_info().currsize:
        _kernels()._destroy()
        _kernels.cache_clear()


def has_products() -> bool:
    """Whether torch has fast products in bfloat16 on this processor."""
    return torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()


@functools.cache
def _kernels() -> torch.library.Library:
    """Registers `_product` for autocast on a processor, as long as the result lives."""
    library = torch.library.Library("aten", "IMPL")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*Overriding a previously registered kernel")
        for name in PRODUCTS:
            packet, _, overload = name.partition(".")
            op = getattr(getattr(torch.ops.aten, packet), overload or "default")
            library.impl(name, functools.partial(_product, op), "AutocastCPU")
    return library


def _product(op: Any, *args: Any, **kwargs: Any) -> Tensor:
    """A convolution or matrix product of factors as autocast takes them, float32 or lower."""
    dtype = torch.get_autocast_dtype("cpu")
    factors = [value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)]
    # Not of fake tensors, which tell `models.shapes` what a processor with products would keep
    widened = dtype == torch.bfloat16 and all(
        type(factor) in (Tensor, nn.Parameter) and factor.dtype != torch.float64
        for factor in factors
    )
    pairs: list[tuple[Tensor, Tensor]] = []

    def take(value: Any) -> Any:
        if not (isinstance(value, Tensor) and value.is_floating_point()):
            return value
        if value.dtype == torch.float64:  # autocast leaves it
            return value
        rounded = value.to(dtype)
        if not widened:
            return rounded
        pairs.append((rounded.detach(), rounded.float()))
        return pairs[-1][1]

    def save(tensor: Tensor) -> tuple[Tensor, int]:
        """In bfloat16 what is a factor: half the memory, and the same numbers."""
        for rounded, wide in pairs:
            if tensor.data_ptr() == wide.data_ptr() and tensor.numel() == wide.numel():
                # A factor that is a part of a larger tensor lies there with other strides
                alike = rounded.stride() == wide.stride()
                tensor = (
                    rounded.as_strided(tensor.shape, tensor.stride()) if alike else tensor.to(dtype)
                )
                break
        return tensor, tensor._version

    def restore(saved: tuple[Tensor, int]) -> Tensor:
        tensor, version = saved
        if tensor._version != version:  # autograd itself only looks at what hooks leave as it is
            raise RuntimeError("a factor of a product was modified in place before its gradient")
        return tensor.float() if tensor.dtype == dtype else tensor

    with torch.autocast("cpu", enabled=False):
        args = tuple(map(take, args))
        kwargs = {key: take(value) for key, value in kwargs.items()}
        if not widened:
            return op(*args, **kwargs)
        with saved_tensors_hooks(save, restore):
            product = op(*args, **kwargs)
        pairs.clear()  # autograd keeps the hooks
        return product.to(dtype)
