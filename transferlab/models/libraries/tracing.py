"""The graph of a network's forward pass, with sizes as numbers: which tensors go where.

torch.fx records the operations while they run on tensors without values ("meta"). Two batches, of
two and of three images, run side by side: a size that is the same in both is a constant, so that
code which decides by height and width can be followed, and only the size of the batch stays open.
"""

import inspect
import operator
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

BATCHES = 2, 3  # images
# Functions that make a tensor of numbers: recorded too, so that it is made where its users are
FACTORIES = frozenset(
    {torch.arange, torch.empty, torch.eye, torch.full, torch.linspace, torch.ones}
    | {torch.tensor, torch.as_tensor, torch.zeros}
)

LIKE_INPUT = frozenset(
    {F.batch_norm, F.group_norm, F.layer_norm, F.relu, F.relu6, F.silu, F.gelu, F.hardswish}
    | {F.hardsigmoid, torch.relu, torch.sigmoid}
)


class Untraceable(Exception):
    """A network that cannot be cut; the message says why."""


class Unfit(Exception):
    """Images of a size that a network does not take; the message says why."""


def values(node: fx.Node) -> tuple[Any, Any]:
    """What the node is for either batch: tensors without values, sizes."""
    return node.meta["values"]


def trace(network: nn.Module, image_size: int, opened: Collection[str]) -> fx.Graph:
    """The operations of one forward pass; modules count as one, but those whose names are `opened`.

    One of these that cannot be followed counts as one after all.

    `network` has its parameters on torch.device("meta"), and is in the mode that is traced.
    Raises: Untraceable.
    """
    while True:
        tracer = _Tracer(image_size, opened)
        try:
            with shapes_only(), _Factories(tracer):
                graph = tracer.trace(network)
        except Exception as error:
            if not tracer.failed:
                raise Untraceable(described(error)) from error
            opened = {name for name in opened if not f"{name}.".startswith(f"{tracer.failed}.")}
        else:
            graph.eliminate_dead_code(lambda node: node.op in ("placeholder", "output"))
            return graph


def described(error: Exception) -> str:
    """`ZeroDivisionError: division by zero`, in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


@contextmanager
def shapes_only() -> Iterator[None]:
    """Within, tensors have no values, and operations give the shapes of their results."""
    with torch.device("meta"), torch.no_grad(), _LikeInput():
        yield


class _LikeInput(TorchFunctionMode):
    """Some frequent operations, which torch takes long to follow: the output is like the input."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in LIKE_INPUT and isinstance(args[0], Tensor):
            return torch.empty_like(args[0])
        return func(*args, **(kwargs or {}))


class _Value(fx.Proxy):
    """What traced code gets in place of a tensor, or of a number that depends on the batch."""

    def __getattr__(self, name: str) -> Any:
        first = values(self.node)[0]
        if callable(getattr(first, name)):
            return super().__getattr__(name)
        return self.tracer.create_proxy("call_function", getattr, (self, name), {})

    def __iter__(self) -> Any:
        return iter([self._item(index) for index in range(len(self))])

    def _item(self, index: int) -> Any:
        return self.tracer.create_proxy("call_function", operator.getitem, (self, index), {})

    def __len__(self) -> int:
        few, more = map(len, values(self.node))
        if few != more:
            raise Untraceable(f"the length of {self.node.name} depends on the batch")
        return few


class _Tracer(fx.Tracer):
    proxy_buffer_attributes = True

    def __init__(self, image_size: int, opened: Collection[str]) -> None:
        super().__init__()
        self.image_size = image_size
        self.opened = opened
        self.running = False
        self.failed = ""  # the innermost module whose operations could not be followed

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        return name not in self.opened

    def create_args_for_root(self, root_fn: Any, is_module: bool, concrete_args: Any = None) -> Any:
        """The images alone: further arguments of `forward` have their defaults."""
        return inspect.unwrap(root_fn), [
            self.root,
            self.create_proxy("placeholder", "x", (), {}),
        ]

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _Value(node, self)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        if self.running:
            return attr_val
        return super().getattr(attr, attr_val, parameter_proxy_cache)

    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        if self.running:
            return forward(*args, **kwargs)
        try:
            return super().call_module(m, forward, args, kwargs)
        except Exception:
            name = self.path_of_module(m)
            if not self.failed and name in self.opened:
                self.failed = name
            raise

    def create_node(self, kind: str, target: Any, *args: Any, **kwargs: Any) -> fx.Node:
        node = super().create_node(kind, target, *args, **kwargs)
        if kind == "get_attr":
            with self._plainly():
                owner, _, name = target.rpartition(".")
                value = getattr(self.root.get_submodule(owner), name)
            node.meta["values"] = value, value
        return node

    def create_proxy(self, kind: str, target: Any, *args: Any, **kwargs: Any) -> Any:
        """A value of the graph, or a constant if it is the same number for both batches."""
        proxy = super().create_proxy(kind, target, *args, **kwargs)
        if "values" in proxy.node.meta:
            return proxy
        with _Draws() as draws:
            few, more = (self._run(proxy.node, index) for index in range(len(BATCHES)))
        if draws.names:
            proxy.node.meta["draws"] = draws.names[0]
        if _is_constant(few) and _is_constant(more) and few == more:
            self.graph.erase_node(proxy.node)
            return few
        proxy.node.meta["values"] = few, more
        return proxy

    def _run(self, node: fx.Node, index: int) -> Any:
        """The result of a node for one of the batches."""
        if node.op == "placeholder":
            with self._plainly():
                return torch.empty(BATCHES[index], 3, self.image_size, self.image_size)
        args, kwargs = fx.map_arg((node.args, node.kwargs), lambda n: values(n)[index])
        args, kwargs = _thawed(args), _thawed(kwargs)
        with self._plainly():
            if node.op == "call_module":
                return self.root.get_submodule(str(node.target))(*args, **kwargs)
            if node.op == "call_method":
                return getattr(args[0], str(node.target))(*args[1:], **kwargs)
            return node.target(*args, **kwargs)  # type: ignore[operator]

    @contextmanager
    def _plainly(self) -> Iterator[None]:
        """Within, modules compute, and nothing is recorded."""
        before, self.running = self.running, True
        yield
        self.running = before


def _thawed(value: Any) -> Any:
    """fx's immutable lists and dicts as plain ones, which modules may change."""
    if isinstance(value, list):
        return [_thawed(each) for each in value]
    if isinstance(value, dict):
        return {key: _thawed(each) for key, each in value.items()}
    return tuple(map(_thawed, value)) if type(value) is tuple else value


def _is_constant(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return all(map(_is_constant, value))
    return value is None or isinstance(value, bool | int | float | str)


class _Factories(TorchFunctionMode):
    def __init__(self, tracer: _Tracer) -> None:
        super().__init__()
        self.tracer = tracer

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in FACTORIES and not self.tracer.running:
            return self.tracer.create_proxy("call_function", func, args, kwargs or {})
        return func(*args, **(kwargs or {}))


class _Draws(TorchDispatchMode):
    """Notes the operations that draw random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if torch.Tag.nondeterministic_seeded in func.tags:
            self.names.append(func.name())
        return func(*args, **(kwargs or {}))
