"""Where a traced network may be cut, and the graphs of the stages between.

A cut is legal where exactly one tensor crosses: what runs after it uses nothing else of what ran
before it, and no parameter is used on both sides. Numbers that the stages need from before a cut,
such as the size of the batch, are read from the tensor that crosses; constants are made where they
are used. Cuts lie between `groups` of parameters, which say what belongs together.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, fx, nn

from transferlab.models.libraries.tracing import BATCHES, Untraceable, values


@dataclass(frozen=True)
class Groups:
    """The group of every parameter, by its name: a stage with `cuts=stage`, or with `cuts=fine`."""

    stage: Mapping[str, int]
    fine: Mapping[str, int]


@dataclass(frozen=True)
class Piece:
    """What runs between two cuts: from `x` to the output of the graph.

    `targets` are the modules with parameters, and the parameters, that it owns, in order; `main` is
    the one with the most parameters, and `group` that of `cuts=stage`.
    """

    graph: fx.Graph
    targets: tuple[str, ...]
    main: str
    group: int


def pieces(graph: fx.Graph, network: nn.Module, groups: Groups, num_outputs: int) -> list[Piece]:
    """The smallest pieces between the groups of `cuts=fine`, in order.

    `network` has been traced to `graph`. A boundary between two groups that has no legal cut is
    left out. Raises: Untraceable if the network does not compute logits (B, num_outputs) of images.
    """
    flow = _Flow(graph, network)
    shape = values(flow.output)[0].shape
    if shape != (BATCHES[0], num_outputs):
        raise Untraceable(f"its output has shape {tuple(shape)} for {BATCHES[0]} images")
    illegal: set[int] = set()
    while True:
        cuts = _cuts(flow, groups.fine, illegal)
        ends = [-1, *cuts, len(flow.nodes) - 1]
        try:
            return [_piece(flow, *span, groups) for span in pairwise(ends)]
        except _Unresolved as error:
            if not cuts:
                raise Untraceable(str(error)) from None
            illegal.add(max((cut for cut in cuts if cut < error.position), default=cuts[0]))


class _Unresolved(Exception):
    """A number of before the cut that the tensor which crosses does not tell."""

    def __init__(self, node: fx.Node, position: int) -> None:
        super().__init__(f"{node.name} is needed from further above")
        self.position = position


class _Flow:
    """The graph as a sequence of operations on tensors that depend on the images.

    `nodes` are these, in order; `position` is a node's index, the images' -1. `owned` are the names
    of the parameters that each uses, through constants too, and `last_use` the position of the last
    operation that takes a node's output.
    """

    def __init__(self, graph: fx.Graph, network: nn.Module) -> None:
        self.network = network
        self.images = next(node for node in graph.nodes if node.op == "placeholder")
        self.output = next(node for node in graph.nodes if node.op == "output").args[0]
        if not isinstance(self.output, fx.Node) or not isinstance(values(self.output)[0], Tensor):
            raise Untraceable("it does not return one tensor")
        self.dependent = {self.images}
        self.nodes: list[fx.Node] = []
        for node in graph.nodes:
            if self.dependent.intersection(node.all_input_nodes) and node.op != "output":
                self.dependent.add(node)
                if not is_number(node):
                    self.nodes.append(node)
        self.position = {node: index for index, node in enumerate(self.nodes)}
        self.position[self.images] = -1
        if self.output not in self.position:
            raise Untraceable("its output does not depend on the images")
        self.owned = [self._owned(node) for node in self.nodes]
        self.last_use = {self.output: len(self.nodes)}
        for index, node in enumerate(self.nodes):
            for given in node.all_input_nodes:
                if given in self.position:
                    self.last_use[given] = max(self.last_use.get(given, -1), index)

    def _owned(self, node: fx.Node) -> dict[str, str]:
        """Parameter name -> the module or parameter that the graph names, of a node."""
        owned = {}
        if node.op == "call_module" and "mask" not in node.meta:
            module = self.network.get_submodule(str(node.target))
            for name, _ in module.named_parameters(remove_duplicate=False):
                owned[f"{node.target}.{name}"] = str(node.target)
        if node.op == "get_attr" and isinstance(values(node)[0], nn.Parameter):
            owned[str(node.target)] = str(node.target)
        for given in node.all_input_nodes:
            if given not in self.dependent:
                owned |= self._owned(given)
        return owned

    def legal(self) -> set[int]:
        """The positions after which one tensor crosses, and no parameter is used on both sides."""
        blocked: set[int] = set()
        spans: dict[int, list[int]] = {}
        for index, owned in enumerate(self.owned):
            for name in owned:
                spans.setdefault(id(self.network.get_parameter(name)), []).append(index)
        for span in spans.values():
            blocked.update(range(span[0], span[-1]))
        found, live = set(), {self.images}
        for index, node in enumerate(self.nodes[:-1]):
            live.add(node)
            live = {each for each in live if self.last_use.get(each, -1) > index}
            if live == {node} and _has_rows(node) and index not in blocked:
                found.add(index)
        return found


def is_number(node: fx.Node) -> bool:
    """Whether the node is a size, a type or a device, and no tensor."""
    first = values(node)[0]
    return isinstance(first, int | float | torch.Size | torch.dtype | torch.device)


def _has_rows(node: fx.Node) -> bool:
    """Whether it is a tensor with a row for each image."""
    return all(
        isinstance(value, Tensor) and value.ndim > 0 and value.shape[0] == size
        for value, size in zip(values(node), BATCHES, strict=True)
    )


# --- where ----------------------------------------------------------------------------------------


def _cuts(flow: _Flow, group_of: Mapping[str, int], illegal: set[int]) -> list[int]:
    """The positions of the cuts: at each change of the group the one that fits best, if any."""
    legal = flow.legal() - illegal
    found = [[group_of[name] for name in owned if name in group_of] for owned in flow.owned]
    weighted = [index for index, each in enumerate(found) if each]
    groups = [min(found[index]) for index in weighted]
    changes = [
        range(first, second)
        for (first, second), (before, after) in zip(
            pairwise(weighted), pairwise(groups), strict=True
        )
        if before != after
    ]
    cuts = []
    for number, window in enumerate(changes, start=1):
        choices = [index for index in window if index in legal]
        if choices:
            cuts.append(_best(flow, choices, last=number == len(changes)))
    return cuts


def _best(flow: _Flow, choices: Sequence[int], *, last: bool) -> int:
    """The last of the cuts that precedes dropout, and before the classifier global pooling.

    What has no parameters belongs to the stage before it, and dropout to the stage whose input it
    drops.
    """
    for index in choices:
        following = flow.nodes[index + 1]
        if "mask" in following.meta or (last and _reduces(following)):
            return index
    return choices[-1]


def _reduces(node: fx.Node) -> bool:
    """Whether the output has fewer values than the input."""
    output = values(node)[0]
    inputs = [values(each)[0] for each in node.all_input_nodes]
    sizes = [each.numel() for each in inputs if isinstance(each, Tensor)]
    return isinstance(output, Tensor) and bool(sizes) and output.numel() < max(sizes)


# --- the pieces -----------------------------------------------------------------------------------


def _piece(flow: _Flow, start: int, end: int, groups: Groups) -> Piece:
    """What runs after position `start`, up to `end`."""
    given = flow.nodes[start] if start >= 0 else flow.images
    copies = _Copies(flow, given, start)
    for node in flow.nodes[start + 1 : end + 1]:
        copies.of(node)
    copies.graph.output(copies.of(flow.nodes[end]))
    owned: dict[str, str] = {}
    for each in flow.owned[start + 1 : end + 1]:
        owned |= each
    group = min((groups.stage[name] for name in owned if name in groups.stage), default=-1)
    sizes: Counter[str] = Counter()
    for name, target in owned.items():
        sizes[target] += flow.network.get_parameter(name).numel()
    ((main, _),) = sizes.most_common(1)
    return Piece(copies.graph, tuple(sizes), main, group)


class _Copies:
    """A graph of its own for the operations after position `start`, whose input is `given`."""

    def __init__(self, flow: _Flow, given: fx.Node, start: int) -> None:
        self.flow, self.given, self.start = flow, given, start
        self.graph = fx.Graph()
        self.x = self.graph.placeholder("x")
        self.copies = {given: self.x}

    def of(self, node: fx.Node) -> fx.Node:
        """The node in this graph, with all that it needs."""
        if node not in self.copies:
            self.copies[node] = self._copied(node)
        return self.copies[node]

    def _copied(self, node: fx.Node) -> fx.Node:
        if self._is_above(node):
            return self._read(node)
        for needed in node.all_input_nodes:
            self.of(needed)
        return self.graph.node_copy(node, self.of)

    def _is_above(self, node: fx.Node) -> bool:
        """Whether it is computed from the images or tensors of an earlier stage."""
        if node in self.flow.position:
            return self.flow.position[node] <= self.start
        return any(
            each != self.given and self._is_above(each)
            for each in node.all_input_nodes
            if each in self.flow.dependent
        )

    def _read(self, node: fx.Node) -> fx.Node:
        """A number of an earlier stage, from the tensor that crosses."""
        tensor = values(self.given)[0]
        if values(node) == BATCHES:
            size = self.graph.call_method("size", (self.x, 0))
            return size
        if isinstance(values(node)[0], torch.device):
            return self.graph.call_function(getattr, (self.x, "device"))
        if values(node)[0] == tensor.dtype:
            return self.graph.call_function(getattr, (self.x, "dtype"))
        if is_number(node) and node.all_input_nodes and all(map(is_number, node.all_input_nodes)):
            for needed in node.all_input_nodes:
                self.of(needed)
            return self.graph.node_copy(node, self.of)
        raise _Unresolved(node, self.start + 1)
