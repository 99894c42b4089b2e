"""How torch's functions are read: which are views, which slide a window, what they are called.

By the function's name without underscores, so that `relu_`, `F.relu` and `Tensor.relu` are one.
Whatever is not here is an operation under its own name, that keeps the map of its input.
"""

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from transferlab.models.geometry import SlidingWindow

Arguments = Mapping[str, Any]
Windows = tuple[SlidingWindow, SlidingWindow]  # along height and width
# Views and copies, which compute nothing
VIEWS = {
    "view", "reshape", "reshape_as", "view_as", "flatten", "unflatten", "squeeze", "unsqueeze",
    "contiguous", "clone", "detach", "float", "to", "type", "type_as", "expand", "expand_as",
    "getitem", "chunk", "split", "tensor_split", "unbind", "narrow", "select", "repeat", "get",
    "index_select", "roll",
}  # fmt: skip
PERMUTATIONS = {"permute", "transpose", "swapaxes", "swapdims", "t"}
# Their result does not depend on the values of their input
CONSTANTS = {
    "new_zeros", "new_ones", "new_empty", "new_full", "new_tensor", "zeros_like", "ones_like",
    "empty_like", "full_like", "size",
}  # fmt: skip
WEIGHTED = {"conv", "fc"}
NORMS = {"bn", "layernorm", "groupnorm", "instancenorm", "rmsnorm"}
ACTIVATIONS = {
    "relu", "sigmoid", "tanh", "gelu", "silu", "hardswish", "hardsigmoid", "relu6", "hardtanh",
    "leaky_relu", "elu", "selu", "mish", "softplus", "prelu", "celu", "quick_gelu",
}  # fmt: skip
POOLS = {"maxpool", "avgpool"}
JOINS = {"add", "concat"}
# Without multiply-accumulates
UNCOUNTED = NORMS | ACTIVATIONS | POOLS | JOINS | VIEWS | PERMUTATIONS | CONSTANTS | {
    "mul", "sub", "div", "dropout", "pad", "softmax", "lrn",
}  # fmt: skip
NAMES = {
    "batch_norm": "bn", "layer_norm": "layernorm", "group_norm": "groupnorm",
    "instance_norm": "instancenorm", "rms_norm": "rmsnorm", "linear": "fc", "conv2d": "conv",
    "cat": "concat", "concatenate": "concat", "iadd": "add", "radd": "add", "rmul": "mul",
    "imul": "mul", "multiply": "mul", "isub": "sub", "rsub": "sub", "truediv": "div",
    "itruediv": "div", "max_pool2d": "maxpool", "max_pool2d_with_indices": "maxpool",
    "avg_pool2d": "avgpool", "adaptive_avg_pool2d": "avgpool", "adaptive_max_pool2d": "maxpool",
    "mean": "avgpool", "amax": "maxpool", "local_response_norm": "lrn",
    "scaled_dot_product_attention": "attention", "multi_head_attention_forward": "attention",
    "conv_transpose2d": "upconv",
}  # fmt: skip
SIGNATURES = {
    "conv2d": "input weight bias stride padding dilation groups",
    "max_pool2d": "input kernel_size stride padding dilation ceil_mode return_indices",
    "max_pool2d_with_indices": "input kernel_size stride padding dilation ceil_mode",
    "avg_pool2d": "input kernel_size stride padding ceil_mode count_include_pad",
    "adaptive_avg_pool2d": "input output_size",
    "adaptive_max_pool2d": "input output_size",
    "linear": "input weight bias",
    "batch_norm": "input",
    "pad": "input pad mode value",
    "dropout": "input p",
    "local_response_norm": "input size alpha beta k",
    "permute": "input dims",
    "transpose": "input dim0 dim1",
    "swapaxes": "input dim0 dim1",
    "swapdims": "input dim0 dim1",
    "mean": "input dim keepdim",
    "amax": "input dim keepdim",
    "cat": "tensors dim",
    "concatenate": "tensors dim",
    "getitem": "input index",
    "mul": "input other",
    "rmul": "input other",
    "multiply": "input other",
    "imul": "input other",
}


def name_of(function: Any) -> str:
    """`relu` for torch.relu_, F.relu and Tensor.relu; `add` for the operator +."""
    return str(function.__name__).strip("_")


def bound(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments by name, of a function of SIGNATURES."""
    names = SIGNATURES.get(name, "").split()
    if name == "permute" and len(args) > 2:
        args = args[0], args[1:]
    return {**dict(zip(names, args, strict=False)), **kwargs}


def windows(name: str, arguments: Arguments) -> Windows | None:
    """The windows along height and width of a convolution or pooling; None for all others."""
    x = arguments.get("input")
    if not isinstance(x, Tensor) or x.dim() != 4:
        return None
    if name == "conv2d":
        return _convolution(arguments)
    if name in ("max_pool2d", "max_pool2d_with_indices", "avg_pool2d"):
        return _pooling(arguments)
    if name in ("adaptive_avg_pool2d", "adaptive_max_pool2d"):
        return _adaptive(x, arguments["output_size"])
    if name == "pad" and len(arguments["pad"]) == 4:
        left, right, top, bottom = arguments["pad"]
        return SlidingWindow(1, 1, top, bottom), SlidingWindow(1, 1, left, right)
    return _subsampling(arguments["index"]) if name == "getitem" else None


def _convolution(arguments: Arguments) -> Windows:
    kernel = tuple(arguments["weight"].shape[-2:])
    stride, dilation = (_pair(arguments.get(key, 1)) for key in ("stride", "dilation"))
    padding = arguments.get("padding", 0)
    height, width = (
        SlidingWindow(k, s, *_padding(padding, place, d * (k - 1)), dilation=d)
        for place, (k, s, d) in enumerate(zip(kernel, stride, dilation, strict=True))
    )
    return height, width


def _padding(padding: Any, place: int, span: int) -> tuple[int, int]:
    """What is added before and after; `span`: the extent of the kernel less one."""
    if padding == "valid":
        return 0, 0
    if padding == "same":
        return span // 2, span - span // 2
    return _pair(padding)[place], _pair(padding)[place]


def _pooling(arguments: Arguments) -> Windows:
    kernel = _pair(arguments["kernel_size"])
    stride = _pair(arguments.get("stride") or kernel)
    padding, dilation = _pair(arguments.get("padding", 0)), _pair(arguments.get("dilation", 1))
    ceil = bool(arguments.get("ceil_mode", False))
    height, width = (
        SlidingWindow(k, s, p, p, d, ceil)
        for k, s, p, d in zip(kernel, stride, padding, dilation, strict=True)
    )
    return height, width


def _adaptive(x: Tensor, output: Any) -> Windows | None:
    """The windows of pooling to a size that divides the map's, or is the map's own."""
    sizes = [n if o is None else o for n, o in zip(x.shape[-2:], _pair(output), strict=True)]
    pairs = list(zip(x.shape[-2:], sizes, strict=True))
    if any(n % o for n, o in pairs):
        return None
    height, width = (SlidingWindow(n // o, n // o if o > 1 else 1) for n, o in pairs)
    return height, width


def _subsampling(index: Any) -> Windows | None:
    """The windows of x[:, :, ::2, ::2]: one pixel, and a stride."""
    if not isinstance(index, tuple) or len(index) != 4:
        return None
    if not all(isinstance(part, slice) for part in index):
        return None
    strides = [part.step or 1 for part in index]
    if strides[:2] != [1, 1] or max(strides) == 1 or any(p.start or p.stop for p in index):
        return None
    return SlidingWindow(1, strides[2]), SlidingWindow(1, strides[3])


def computes_nothing(name: str, arguments: Arguments, windows: Windows | None) -> bool:
    """Whether it is a view: also a slice, a pooling of single pixels, a concatenation of one."""
    if name in ("cat", "concatenate"):
        return len(arguments["tensors"]) == 1
    if name == "dropout":
        return not arguments.get("p", 0.5)
    if name == "pad":
        return not any(arguments["pad"])
    if NAMES.get(name) in POOLS and windows is not None:
        return all(window == SlidingWindow(1) for window in windows)
    return name in VIEWS | PERMUTATIONS and windows is None


def label(name: str, arguments: Arguments) -> str:
    """The name of the operation, with its constants where it has any: `dropout(0.5)`."""
    kind = NAMES.get(name, name)
    if arguments.get("ceil_mode"):
        return f"{kind}(ceil)"
    if kind == "mul" and isinstance(arguments.get("other"), int | float):
        return f"scale({arguments['other']:g})"
    if name == "getitem":
        return "subsample"
    if name == "pad" and not any(arguments["pad"][:4]):
        return "zeropad_channels"
    if name == "dropout":
        return f"dropout({arguments.get('p', 0.5):g})"
    if name == "local_response_norm":
        keys = {"alpha": 1e-4, "beta": 0.75, "k": 1.0}
        return response_norm(
            arguments["size"], **{key: arguments.get(key, default) for key, default in keys.items()}
        )
    return kind


def response_norm(size: int, *, alpha: float, beta: float, k: float) -> str:
    """The constants of the papers: alpha is that of each channel, torch's divided by the size."""
    return f"lrn(n={size} k={k:g} alpha={_short(alpha / size)} beta={beta:g})"


def _short(value: float) -> str:
    """`1e-4` and `2e-5`."""
    exponent = math.floor(math.log10(value) + 1e-9)
    return f"{value / 10**exponent:g}e{exponent}"


def _pair(value: Any) -> tuple[int, int]:
    if isinstance(value, int):
        return value, value
    first, *rest = value
    return int(first), int(rest[0] if rest else first)
