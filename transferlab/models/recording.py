"""What a network computes: the graph of its operations, with the geometry of every map.

A network is called once on a tensor without values (the meta device), in evaluation mode, and every
function of torch that it calls is seen, whichever module calls it: networks with control flow or of
another library are seen like ours. Shapes: B = 1; images (1, C, P, P).
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from transferlab.models import calls, maps
from transferlab.models.calls import Windows
from transferlab.models.dropout import Dropout
from transferlab.models.geometry import Axis
from transferlab.models.maps import Map
from transferlab.models.normalisation import LocalResponseNorm

FLOPS_PER_MAC = 2  # a multiplication and an addition
WHOLE = (Dropout, LocalResponseNorm)  # modules that are one operation, and no function of torch's


class MapVanished(ValueError):
    """A map is smaller than the window that has to fit into it."""

    def __init__(self, path: str, sizes: maps.Shape, windows: Windows) -> None:
        (height, width), (rows, columns) = sizes, (window.extent for window in windows)
        super().__init__(
            f"in {path or 'the network'} the map has {height}x{width} pixels and the window "
            f"{rows}x{columns}"
        )


@dataclass(eq=False)
class Call:
    """One call of a function, and the map that is its output.

    `kind` is its name, `label` the same with constants: `dropout(0.5)`. `weights` are the
    parameters that are used here first, by name. `macs` are its multiply-accumulates.
    """

    label: str
    kind: str
    path: str
    stage: str
    inputs: list["Call | None"]  # None is the image
    incoming: list[Map]
    out: Map
    windows: Windows | None = None
    groups: int | None = None
    weights: dict[str, int] = field(default_factory=dict)
    macs: int = 0


@dataclass(frozen=True)
class Recorded:
    """A tensor that depends on the image: the operation that it comes from, and its map."""

    call: Call | None
    map: Map


class Recorder(TorchFunctionMode):
    """Collects the operations that are called inside of `recording`, in order: `calls`."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self.stage = ""
        self.unused = {name: p.numel() for name, p in network.named_parameters()}
        self._network = network
        self._weights = {id(p): frozenset([name]) for name, p in network.named_parameters()}
        self._values: dict[int, Recorded] = {}
        self._kept: list[Tensor] = []  # or its id would be given to another tensor
        self._paths = [""]
        self._hidden = 0  # the number of modules of WHOLE around a call

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Multiply-accumulates are counted in the mathematical form of attention."""
        hooks = []
        for path, module in self._network.named_modules():
            hooks.append(module.register_forward_pre_hook(self._entering(path)))
            hooks.append(module.register_forward_hook(self._leave))
        try:
            with sdpa_kernel(SDPBackend.MATH), self, torch.no_grad():
                yield
        finally:
            for hook in hooks:
                hook.remove()

    def image(self, channels: int, size: int) -> Tensor:
        """An image (1, channels, size, size) without values, from which operations begin."""
        x = torch.empty(1, channels, size, size, device="meta")
        self._remember(x, Recorded(None, maps.image(tuple(x.shape))))
        return x

    def knows(self, x: Any) -> bool:
        """Whether x was computed from an image by what was seen."""
        return id(x) in self._values

    # --- modules --------------------------------------------------------------------------------

    def _entering(self, path: str) -> Any:
        def enter(module: nn.Module, inputs: Any) -> None:
            self._paths.append(path)
            self._hidden += isinstance(module, WHOLE)

        return enter

    def _leave(self, module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(module, WHOLE):
            self._hidden -= 1
            if self.knows(inputs[0]) and not (isinstance(module, Dropout) and module.p == 0):
                self._add("", _described(module), {}, [self._values[id(inputs[0])]], output)
        self._paths.pop()

    # --- functions ------------------------------------------------------------------------------

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if self._hidden:
            return function(*args, **kwargs)
        name = calls.name_of(function)
        arguments = calls.bound(name, args, kwargs)
        tensors = list(_tensors((args, kwargs)))
        data = [self._values[id(t)] for t in tensors if id(t) in self._values]
        weights = frozenset[str]().union(*(self._weights.get(id(t), ()) for t in tensors))
        if not data or name in calls.CONSTANTS:
            result = function(*args, **kwargs)
            for output in _tensors(result) if weights else ():  # weights in another form
                self._weights[id(output)] = weights
                self._kept.append(output)
            return result
        windows = calls.windows(name, arguments)
        if windows is not None:
            self._check(windows, arguments["input"].shape[-2:])
        result, macs = _counted(function, args, kwargs, name, arguments)
        outputs = list(_tensors(result))
        if calls.computes_nothing(name, arguments, windows):
            for output in outputs:
                seen = maps.view(data[0].map, name, arguments, tuple(output.shape))
                self._remember(output, Recorded(data[0].call, seen))
        elif outputs:
            label = calls.label(name, arguments)
            call = self._add(name, label, arguments, data, outputs[0], windows)
            call.weights = {n: self.unused.pop(n) for n in sorted(weights) if n in self.unused}
            call.macs = macs
            for output in outputs[1:]:
                other = data[0].map.viewed(None, tuple(output.shape))
                self._remember(output, Recorded(call, other))
        return result

    def _add(
        self,
        name: str,
        label: str,
        arguments: calls.Arguments,
        data: list[Recorded],
        output: Tensor,
        windows: Windows | None = None,
    ) -> Call:
        incoming = [value.map for value in data]
        out, windows = maps.output(name, arguments, incoming, tuple(output.shape), windows)
        call = Call(
            label=label,
            kind=label.partition("(")[0],
            path=self._paths[-1],
            stage=self.stage,
            inputs=[value.call for value in data],
            incoming=incoming,
            out=out,
            windows=windows,
            groups=None if windows is None else int(arguments.get("groups", 1)),
        )
        self.calls.append(call)
        self._remember(output, Recorded(call, out))
        return call

    def _remember(self, tensor: Tensor, value: Recorded) -> None:
        self._values[id(tensor)] = value
        self._kept.append(tensor)

    def _check(self, windows: Windows, sizes: maps.Shape) -> None:
        """Raises: MapVanished if a window does not fit."""
        for size, window in zip(sizes, windows, strict=True):
            if Axis(size).through(window).size < 1:
                raise MapVanished(self._paths[-1], sizes, windows)


def _counted(
    function: Any, args: Any, kwargs: Any, name: str, arguments: calls.Arguments
) -> tuple[Any, int]:
    """What the function returns, and its multiply-accumulates.

    With weights they are the neurons times the weights of each, every tap counted; of other
    functions those of the matrix products that torch counts.
    """
    kind = calls.NAMES.get(name, name)
    if kind in calls.WEIGHTED:
        result = function(*args, **kwargs)
        return result, result.numel() * arguments["weight"][0].numel()
    if kind == "bn":  # on the meta device ten milliseconds each, for the shape of its input
        return torch.empty_like(arguments["input"]), 0
    if kind in calls.UNCOUNTED:
        return function(*args, **kwargs), 0
    with FlopCounterMode(display=False) as counter:
        result = function(*args, **kwargs)
    return result, counter.get_total_flops() // FLOPS_PER_MAC


def _described(module: nn.Module) -> str:
    if isinstance(module, Dropout):
        return f"dropout({module.p:g})"
    assert isinstance(module, LocalResponseNorm)
    return calls.response_norm(module.size, alpha=module.alpha, beta=module.beta, k=module.k)


def _tensors(values: Any) -> Iterator[Tensor]:
    """All tensors in arguments, in order."""
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, Mapping):
        for value in values.values():
            yield from _tensors(value)
    elif isinstance(values, tuple | list):
        for value in values:
            yield from _tensors(value)
