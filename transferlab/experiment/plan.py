"""The order in which the runs of a study are trained, and the packs that are trained together.

Yosinski et al. 2014, Sec. 2: two base networks, then their dependents. Pure functions of runs, no
torch, and linear: 100,000 runs take seconds. Which runs are finished is known to the store.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from transferlab.experiment.run import Run
from transferlab.runtime.garbage import uncollected

Role = Literal["base", "transfer", "pack"]
Fits = Callable[[Sequence[Run]], bool]  # whether runs can be trained together
Item = TypeVar("Item")
AUTO_SIZE = 8  # runs of a pack: the seven cuts of one base's network, and one to spare


@dataclass(frozen=True)
class Pack:
    """Runs that one process trains from one stream of images, all from the same base."""

    runs: tuple[Run, ...]

    @property
    def base(self) -> Run | None:
        return self.runs[0].base

    @property
    def devices(self) -> int:
        return self.runs[0].config.runtime.devices

    @property
    def role(self) -> Role:
        """The kind of job, which determines its resources on a cluster."""
        if len(self.runs) > 1:
            return "pack"
        return "transfer" if self.runs[0].config.variant.n else "base"

    @property
    def labels(self) -> str:
        """`A1B A2B A3B`."""
        return " ".join(run.label for run in self.runs)


def order(runs: Iterable[Run]) -> tuple[Run, ...]:
    """The runs and the bases they need, each once: bases first."""
    bases: dict[str, Run] = {}
    others: dict[str, Run] = {}
    for run in runs:
        if run.base is not None:
            bases.setdefault(run.base.id, run.base)
        group = others if run.config.variant.n else bases
        group.setdefault(run.id, run)
    return (*bases.values(), *others.values())


@uncollected()
def packs(
    runs: Iterable[Run], size: int | None = 1, *, fits: Fits | None = None
) -> tuple[Pack, ...]:
    """The runs in packs of at most `size` (None: as many as pay off), in the order of first runs.

    Each base network is a pack of its own, since other runs depend on it. A pack that does not fit
    is split.
    """
    limit = AUTO_SIZE if size is None else size
    groups: list[list[Run]] = []
    open_groups: dict[object, list[Run]] = {}
    for run in runs:
        key = _pack_key(run)
        group = open_groups.get(key)
        if group is None or len(group) == limit:
            group = open_groups[key] = []
            groups.append(group)
        group.append(run)
    if fits is None:
        return tuple(Pack(tuple(group)) for group in groups)
    return tuple(Pack(part) for group in groups for part in parts(group, fits))


def parts(items: Sequence[Item], fits: Callable[[Sequence[Item]], bool]) -> list[tuple[Item, ...]]:
    """The items in their order, in parts that fit; an item that does not fit alone is a part."""
    if len(items) == 1 or fits(items):
        return [tuple(items)]
    cut: list[list[Item]] = [[]]
    for item in items:
        if cut[-1] and not fits([*cut[-1], item]):
            cut.append([])
        cut[-1].append(item)
    return [tuple(part) for part in cut]


def waves(packs: Sequence[Pack]) -> tuple[tuple[Pack, ...], ...]:
    """The packs that depend on none of the others, then their dependents."""
    ids = {run.id for pack in packs for run in pack.runs}
    first: list[Pack] = []
    dependents: list[Pack] = []
    for pack in packs:
        independent = pack.base is None or pack.base.id not in ids
        (first if independent else dependents).append(pack)
    return tuple(tuple(wave) for wave in (first, dependents) if wave)


def count_variants(runs: Iterable[Run]) -> dict[str, int]:
    """The number of runs of each variant: `{"base": 2, "AnB": 7}`."""
    return dict(Counter(run.config.transfer.variant for run in runs))


def _pack_key(run: Run) -> object:
    """Equal for runs that can be trained together and are faster so."""
    config, variant = run.config, run.config.variant
    if variant.n == 0:
        return run.id
    stream = (config.seed, config.split, config.data, config.model, config.train, config.runtime)
    return (stream, variant.target, variant.base, variant.fine_tuned)
