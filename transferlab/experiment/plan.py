"""What has to be trained, in which order and in which company: a study as a graph of runs.

Yosinski et al. 2014, Sec. 2: two base networks, then everything that starts from them. Pure
functions of configs, no torch, and linear: 100,000 runs take seconds. Whether a run is finished is
the store's business.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from transferlab.experiment.config import RunConfig
from transferlab.experiment.identity import base_of, identify

__all__ = ["Fits", "Node", "Pack", "base_of", "by_variant", "order", "packs", "parts", "waves"]

Role = Literal["base", "transfer", "pack"]
Fits = Callable[[Sequence[RunConfig]], bool]  # whether runs can be trained together
Item = TypeVar("Item")
AUTO_SIZE = 8  # runs of a pack: the seven cuts of one base's network, and one to spare


@dataclass(frozen=True)
class Node:
    """A run of a plan: its id, and the id of the run that it starts from, if any."""

    id: str
    base: str | None
    config: RunConfig

    @property
    def label(self) -> str:
        return self.config.label


@dataclass(frozen=True)
class Pack:
    """Runs that one process trains from one stream of images. `base` is what all start from."""

    nodes: tuple[Node, ...]

    @property
    def base(self) -> str | None:
        return self.nodes[0].base

    @property
    def role(self) -> Role:
        """What kind of job it is, for what that asks of a cluster."""
        if len(self.nodes) > 1:
            return "pack"
        return "transfer" if self.nodes[0].config.variant.n else "base"

    @property
    def labels(self) -> str:
        """`A1B A2B A3B`."""
        return " ".join(node.label for node in self.nodes)


def order(wanted: Iterable[RunConfig]) -> tuple[Node, ...]:
    """The wanted runs and the bases they need: bases first, every run once."""
    bases: dict[str, Node] = {}
    others: dict[str, Node] = {}
    for config in wanted:
        identity, base, base_id = identify(config)
        if base is not None and base_id is not None and base_id not in bases:
            bases[base_id] = Node(base_id, None, base)
        group = others if config.variant.n else bases
        if identity not in group:
            group[identity] = Node(identity, base_id, config)
    return (*bases.values(), *others.values())


def packs(
    nodes: Iterable[Node], size: int | None = 1, *, fits: Fits | None = None
) -> tuple[Pack, ...]:
    """The runs cut into packs of at most `size` (None: as many as help), each with one base.

    Base networks stay alone, since others wait for them. A pack that does not fit is cut up
    again. In the order of each pack's first run.
    """
    most = AUTO_SIZE if size is None else size
    found: list[list[Node]] = []
    latest: dict[object, list[Node]] = {}
    for node in nodes:
        company = _company(node)
        pack = latest.get(company)
        if pack is None or len(pack) == most:
            pack = latest[company] = []
            found.append(pack)
        pack.append(node)
    if fits is None:
        return tuple(Pack(tuple(pack)) for pack in found)
    return tuple(
        Pack(part)
        for pack in found
        for part in parts(pack, lambda part: fits([node.config for node in part]))
    )


def parts(items: Sequence[Item], fits: Callable[[Sequence[Item]], bool]) -> list[tuple[Item, ...]]:
    """The items in their order, in parts that fit; one that does not even fit alone stays alone."""
    if len(items) == 1 or fits(items):
        return [tuple(items)]
    found: list[list[Item]] = [[]]
    for item in items:
        if found[-1] and not fits([*found[-1], item]):
            found.append([])
        found[-1].append(item)
    return [tuple(part) for part in found]


def waves(packs: Sequence[Pack]) -> tuple[tuple[Pack, ...], ...]:
    """The packs by when they can start: those that wait for none of the others, then the rest."""
    here = {node.id for pack in packs for node in pack.nodes}
    first = tuple(pack for pack in packs if pack.base not in here)
    then = tuple(pack for pack in packs if pack.base in here)
    return tuple(wave for wave in (first, then) if wave)


def by_variant(nodes: Iterable[Node]) -> dict[str, int]:
    """How many runs there are of each variant: `{"base": 2, "AnB": 7}`."""
    return dict(Counter(node.config.transfer.variant for node in nodes))


def _company(node: Node) -> object:
    """Equal for runs that can be trained together and gain by it."""
    config, variant = node.config, node.config.variant
    if variant.n == 0:
        return node.id
    stream = (config.seed, config.split, config.data, config.model, config.train, config.runtime)
    return (stream, variant.target, variant.base, variant.fine_tuned)
