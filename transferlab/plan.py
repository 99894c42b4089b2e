"""What has to be trained, in which order: a run's base before the run, each once.

Yosinski et al. 2014, Sec. 2: two base networks, then everything that starts from them. Pure
functions of configs; whether a run is finished is the store's business.
"""

from collections.abc import Iterable

from transferlab.config import RunConfig, base_of, run_id

__all__ = ["base_of", "order", "packs"]


def order(wanted: Iterable[RunConfig]) -> tuple[RunConfig, ...]:
    """The wanted runs and the bases they need: bases first, every run once."""
    bases: dict[str, RunConfig] = {}
    others: dict[str, RunConfig] = {}
    for config in wanted:
        base = base_of(config)
        if base is not None:
            bases.setdefault(run_id(base), base)
        (others if config.variant.n else bases).setdefault(run_id(config), config)
    return (*bases.values(), *others.values())


def packs(runs: Iterable[RunConfig]) -> tuple[tuple[RunConfig, ...], ...]:
    """The runs, in order, cut into packs that one process trains: here one run each."""
    return tuple((config,) for config in runs)
