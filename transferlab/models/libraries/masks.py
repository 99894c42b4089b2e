"""Random parts of a library's network, replaced by those whose masks the training determines.

What cannot be replaced is found by running the network on tensors without values.
"""

import copy
import inspect
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from transferlab.models import vanishing
from transferlab.models.dropout import Dropout, Masked
from transferlab.models.libraries.tracing import BATCHES, Unfit, Untraceable, described, shapes_only

Replacements = Mapping[type[nn.Module], Callable[[Any], Masked]]

DROPOUT: Replacements = {
    nn.Dropout: lambda module: Dropout(module.p),
    nn.Dropout1d: lambda module: Dropout(module.p, shared=1),
    nn.Dropout2d: lambda module: Dropout(module.p, shared=2),
}


class TableDropout(Dropout):
    """Dropout of a tensor that all images share, as a table of positions: one mask for all."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        return x * self.kept_together(x, x.numel()).view(x.shape) / (1 - self.p)


def replace(network: nn.Module, replacements: Replacements) -> None:
    """Put our modules in place of those that draw masks, in place; those that drop none stay."""
    for parent in list(network.modules()):
        for name, module in list(parent.named_children()):
            for kind, replacement in replacements.items():
                if isinstance(module, kind):
                    masked = replacement(module)
                    if masked.p > 0:
                        setattr(parent, name, masked)


@dataclass(frozen=True)
class Calls:
    """How a network calls its masks: modules that call one `repeatedly`, and those of `tables`."""

    repeatedly: frozenset[str]
    tables: frozenset[str]


def calls(network: nn.Module, image_size: int) -> Calls:
    """How the network calls its masks. Each call needs a mask of its own.

    The network has its parameters on torch.device("meta") and is in training mode. Raises: Unfit if
    it cannot compute such images, Untraceable if it drops rows of something else than the batch.
    """
    few = _rows(network, image_size, BATCHES[0])
    tables: set[str] = set()
    if strange := {name for name, rows in few.items() if set(rows) != {BATCHES[0]}}:
        more = _rows(network, image_size, BATCHES[1])
        tables = {name for name in strange if few[name] == more[name]}
    if others := sorted(strange - tables):
        raise Untraceable(f"{others[0]} drops parts of images, in rows that are no images")
    repeated = [name.split(".") for name, rows in few.items() if len(rows) > 1]
    above = {".".join(parts[:end]) for parts in repeated for end in range(len(parts))}
    return Calls(frozenset(above), frozenset(tables))


def replace_tables(network: nn.Module, tables: Iterable[str]) -> None:
    """Put `TableDropout` in place of the masks of these names, in place."""
    for name in tables:
        owner, _, last = name.rpartition(".")
        mask = network.get_submodule(name)
        assert isinstance(mask, Dropout)
        setattr(network.get_submodule(owner), last, TableDropout(mask.p))


def _rows(network: nn.Module, image_size: int, batch: int) -> dict[str, list[int]]:
    """For each mask that a batch of so many images calls, the rows of each of its inputs."""
    rows: dict[str, list[int]] = {}

    def hook(name: str) -> Callable[[nn.Module, Any], None]:
        return lambda module, inputs: rows.setdefault(name, []).append(len(inputs[0]))

    masked = [(name, each) for name, each in network.named_modules() if isinstance(each, Masked)]
    hooks = [module.register_forward_pre_hook(hook(name)) for name, module in masked]
    try:
        with shapes_only():
            network(torch.empty(batch, 3, image_size, image_size))
    except Exception as error:
        decides_by_value = "meta tensor" in str(error)
        if decides_by_value:
            raise Untraceable(described(error)) from error
        raise Unfit(vanishing.where(network, image_size) or described(error)) from error
    finally:
        for handle in hooks:
            handle.remove()
    return rows


def replace_calls(graph: fx.Graph, network: nn.Module) -> None:
    """Put a module in place of each call of `F.dropout`, and one for each call of one, in place.

    A node that calls a mask has it in `meta["mask"]`. Raises: Untraceable for what else is random.
    """
    targets: Counter[str] = Counter()
    for node in graph.nodes:
        if node.target is F.dropout:
            arguments = inspect.signature(F.dropout).bind(*node.args, **node.kwargs).arguments
            mask: nn.Module | None = Dropout(arguments.get("p", 0.5))
            node.op, node.target = "call_module", "dropout"
            node.args, node.kwargs = (arguments["input"],), {}
        elif node.op == "call_module":
            mask = network.get_submodule(node.target)
        else:
            mask = None
        if isinstance(mask, Masked):
            targets[node.target] += 1
            node.meta["mask"] = copy.deepcopy(mask)
            if targets[node.target] > 1:
                node.target = f"{node.target}_{targets[node.target]}"
        elif "draws" in node.meta:
            raise Untraceable(f"{node.target} draws random numbers with {node.meta['draws']}")
