"""From a library's network to one of stages, each with the library's own modules and code.

The stages run what the library's forward pass runs, recorded as graphs, and whether they compute
the same bits is checked before the network is used. Initial values are those of the library's own
constructor under a seed.
"""

import copy
import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn

from transferlab.models.dropout import Masked
from transferlab.models.libraries import cutting, masks, naming
from transferlab.models.libraries.cutting import Groups, Piece
from transferlab.models.libraries.tracing import Unfit, Untraceable, described, trace
from transferlab.models.stages import Group, Stage, StagedNetwork

NOISE = 0.01  # so that layers which start as zero take part in the check


@dataclass(frozen=True, eq=False)
class Library:
    """One library: its networks, and what is known of them.

    `construct(name, num_outputs, image_size)` is a network with random weights; `groups` are those
    of its parameters; `replacements` our masks for its own kinds of dropout.
    """

    names: Sequence[str]
    construct: Callable[[str, int, int], nn.Module]
    groups: Callable[[nn.Module], Groups]
    replacements: masks.Replacements


class TracedStage(Stage):
    """A stage that runs a recorded graph on modules of the library's network, under their paths.

    So a parameter's name is that of the stage, a dot, and the library's name. The modules become
    this stage's own.
    """

    def __init__(self, graph: fx.Graph, network: nn.Module) -> None:
        super().__init__({}, _not_by_module)
        for node in sorted(graph.nodes, key=lambda node: str(node.target).count(".")):
            if node.op == "call_module":
                _adopt(self, network, str(node.target), node.meta.get("mask"))
        for node in graph.nodes:
            if node.op == "get_attr":
                _adopt_tensor(self, network, str(node.target))
        code = graph.python_code("self")
        scope = dict(code.globals)
        exec(code.src, scope)  # as fx.GraphModule does
        self._run: Callable[[nn.Module, Tensor], Tensor] = scope["forward"]

    def forward(self, x: Tensor) -> Tensor:
        return self._run(self, x)


def _not_by_module(module: nn.Module, generator: torch.Generator) -> None:
    raise AssertionError("the values come from the constructor of the whole network")


class LibraryNetwork(StagedNetwork):
    """Stages of a library's network, whose initial values are of `construct()` under one seed."""

    def __init__(
        self, stages: dict[str, Stage | Group], construct: Callable[[], nn.Module]
    ) -> None:
        super().__init__(stages)
        self.construct = construct

    def initialise(self, seed_of: Callable[[str], int]) -> None:
        """Set initial values, in place: the constructor's, with the seed of the name `network`.

        One seed for all stages, since libraries draw the values of a network as a whole.
        """
        with seeded(seed_of("network")), torch.device("cpu"):
            values = _tensors(self.construct())
        with torch.no_grad():
            for _, stage in self._parts():
                for name, tensor in _tensors(stage).items():
                    tensor.copy_(values[name])

    def plain_names(self) -> dict[str, str]:
        """Name of a tensor here -> its name in the library's network."""
        return {
            f"{name}.{path}": path for name, stage in self._parts() for path in stage.state_dict()
        }

    def unused_names(self) -> frozenset[str]:
        """The library's tensors that its forward pass does not use."""
        with torch.device("meta"):
            whole = self.construct().state_dict()
        return frozenset(whole.keys() - {*self.plain_names().values()})


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers, also those that a `state_dict` leaves out."""
    return dict(module.named_parameters(remove_duplicate=False)) | dict(
        module.named_buffers(remove_duplicate=False)
    )


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Within, torch's random numbers on the CPU follow from the seed; afterwards as before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def staged(library: Library, name: str, num_outputs: int, image_size: int) -> LibraryNetwork:
    """The library's network as stages, which compute the same bits. Raises: Untraceable, Unfit.

    On torch.device("meta") there are no bits to compare, and the stages are those that are found.
    """
    plan = _plan(library, name, num_outputs, image_size)
    construct = functools.partial(_constructed, library, name, num_outputs, image_size)
    with seeded(0):
        whole = construct()
    known = _checked(library, name, num_outputs, image_size)
    expected = None if known or _is_meta(whole) else _noisy_outputs(whole, image_size)
    network = LibraryNetwork(_assembled(plan, whole), construct)
    _check_parameters(network, whole)
    if expected is not None:
        _check_outputs(network, expected, image_size)
        known.append(True)
    return network


@functools.cache
def _checked(library: Library, name: str, num_outputs: int, image_size: int) -> list[bool]:
    """Not empty once the outputs of such a network have been compared in this process."""
    return []


def _constructed(library: Library, name: str, num_outputs: int, image_size: int) -> nn.Module:
    """The library's network with our masks. Nothing in it overwrites its input."""
    try:
        network = library.construct(name, num_outputs, image_size)
    except NotImplementedError:  # on torch.device("meta"): its widths are values of tensors
        with torch.device("cpu"):
            network = library.construct(name, num_outputs, image_size).to("meta")
    for module in network.modules():
        if getattr(module, "inplace", False) is True:
            setattr(module, "inplace", False)  # noqa: B010  # what it is given may be shared
    masks.replace(network, {**library.replacements, **masks.DROPOUT})
    return network


# --- the plan -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Plan:
    """The pieces of a network, each with the name of its stage and, where that has several, its own
    within it; and the masks that are for tables."""

    pieces: list[tuple[str, str | None, Piece]]
    tables: frozenset[str]


@functools.lru_cache(maxsize=8)
def _plan(library: Library, name: str, num_outputs: int, image_size: int) -> Plan:
    """How the network is cut. Raises: Untraceable, Unfit."""
    try:
        with torch.device("meta"):
            network = _constructed(library, name, num_outputs, image_size).train()
    except Exception as error:
        raise Unfit(described(error)) from error
    groups = library.groups(network)
    calls = masks.calls(network, image_size)
    masks.replace_tables(network, calls.tables)
    graph = trace(network, image_size, calls.repeatedly | _containers(groups))
    masks.replace_calls(graph, network)
    for node in graph.nodes:
        if node.op == "get_attr" and str(node.target).startswith("_tensor_constant"):
            raise Untraceable("its forward pass makes tensors that are no parameters or buffers")
    found = cutting.pieces(graph, network, groups, num_outputs)
    if len(found) < 2:
        raise Untraceable("nowhere but at its ends does exactly one tensor cross")
    named = zip(naming.names(found), found, strict=True)
    return Plan([(stage, inner, piece) for (stage, inner), piece in named], calls.tables)


def _containers(groups: Groups) -> set[str]:
    """The modules whose parameters belong to several groups."""
    members: dict[str, set[int]] = {}
    for path, group in groups.fine.items():
        parts = path.split(".")
        for end in range(len(parts)):
            members.setdefault(".".join(parts[:end]), set()).add(group)
    return {path for path, found in members.items() if len(found) > 1}


# --- the stages -----------------------------------------------------------------------------------


def _assembled(plan: Plan, network: nn.Module) -> dict[str, Stage | Group]:
    """The stages, which take the modules of `network`."""
    masks.replace_tables(network, plan.tables)
    stages: dict[str, Stage | Group] = {}
    for name, members in itertools.groupby(plan.pieces, key=lambda each: each[0]):
        inside = [(inner, TracedStage(piece.graph, network)) for _, inner, piece in members]
        if inside[0][0] is None:
            stages[name] = inside[0][1]
        else:
            stages[name] = Group({str(inner): stage for inner, stage in inside})
    return stages


def _adopt(stage: nn.Module, network: nn.Module, path: str, mask: Masked | None) -> None:
    """Give the stage the module at `path`, in place; a copy of one without parameters."""
    if _has(stage, path):
        return
    module = copy.deepcopy(mask) if mask is not None else network.get_submodule(path)
    if mask is None and not any(True for _ in module.parameters()):
        module = copy.deepcopy(module)
    owner, _, name = path.rpartition(".")
    _container(stage, owner).add_module(name, module)


def _adopt_tensor(stage: nn.Module, network: nn.Module, path: str) -> None:
    """Give the stage the parameter, buffer or other tensor at `path`, in place."""
    if _has(stage, path):
        return
    owner, _, name = path.rpartition(".")
    source = network.get_submodule(owner)
    tensor = getattr(source, name)
    container = _container(stage, owner)
    if isinstance(tensor, nn.Parameter):
        container.register_parameter(name, tensor)
    else:
        lasting = name in source._buffers and name not in source._non_persistent_buffers_set
        container.register_buffer(name, tensor.clone(), persistent=lasting)


def _has(module: nn.Module, path: str) -> bool:
    for part in path.split("."):
        if not hasattr(module, part):
            return False
        module = getattr(module, part)
    return True


def _container(module: nn.Module, path: str) -> nn.Module:
    """The module at `path`, an empty one if there is none."""
    for part in filter(None, path.split(".")):
        if part not in module._modules:
            module.add_module(part, nn.Module())
        module = module.get_submodule(part)
    return module


# --- the checks -----------------------------------------------------------------------------------


def _check_parameters(network: StagedNetwork, whole: nn.Module) -> None:
    """Raises: Untraceable unless every parameter of the library's is in exactly one stage."""
    placed = [id(parameter) for stage in network for parameter in stage.parameters()]
    given = {id(parameter): name for name, parameter in whole.named_parameters()}
    if len(placed) != len(set(placed)):
        raise Untraceable("stages share parameters")
    if missing := [name for key, name in given.items() if key not in set(placed)]:
        raise Untraceable(f"its forward pass does not use {missing[0]}")


def _is_meta(network: nn.Module) -> bool:
    return any(parameter.is_meta for parameter in network.parameters())


def _image(image_size: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(1, 3, image_size, image_size, generator=generator, device="cpu")


@torch.no_grad()
def _noisy_outputs(network: nn.Module, image_size: int) -> Tensor:
    """The logits (1, K) of one image, after a little noise on all parameters, in place."""
    generator = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        noise = torch.empty_like(parameter).normal_(0.0, NOISE, generator=generator)
        parameter.add_(noise)
    network.eval()
    return network(_image(image_size))  # type: ignore[no-any-return]


@torch.no_grad()
def _check_outputs(network: StagedNetwork, expected: Tensor, image_size: int) -> None:
    """Raises: Untraceable unless stage after stage computes the same bits, and keeps its input."""
    x = _image(image_size)
    for name, stage in network.eval().stages.items():
        version = x._version
        y = stage(x)
        if x._version != version:
            raise Untraceable(f"stage {name} overwrites its input")
        x = y
    network.train()
    if not torch.equal(x, expected):
        raise Untraceable("the stages found do not compute what the whole computes")
