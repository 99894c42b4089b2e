"""The canonical form of a config's sections: one for all spellings of a run."""

import re
from dataclasses import replace
from functools import lru_cache
from typing import Any

from transferlab.experiment import variants
from transferlab.experiment.config import DataConfig, SplitConfig, TransferConfig
from transferlab.experiment.identity import CACHED
from transferlab.experiment.splits import split_rule
from transferlab.runtime import plugins


def canonical(name: str, section: Any, recorded: bool) -> Any:
    """The section of that name in its canonical form. `recorded`: see `build_config`."""
    if name == "transfer":
        return _transfer(section)
    if name == "data":
        return _data(section)
    return _split(section, recorded) if name == "split" else section


def is_unknown(split: SplitConfig, recorded: bool) -> bool:
    """Whether its rule is code that a record names, which is not imported."""
    return recorded and plugins.is_own(split.name)


@lru_cache(maxsize=CACHED)
def _transfer(transfer: TransferConfig) -> TransferConfig:
    variant = variants.parse(transfer.variant, n=transfer.n, target=transfer.target)
    pattern = "base" if variant.n == 0 else re.sub(r"\d+", "n", variants.label(variant))
    return TransferConfig(pattern, variant.n, variant.target, transfer.keep)


def _data(data: DataConfig) -> DataConfig:
    """The data, with the same factor of all channels as one number, and no mean of zeros."""
    scale = data.scale
    if isinstance(scale, tuple) and len({*scale}) == 1:
        data = replace(data, scale=scale[0])
    return replace(data, mean="none") if data.mean == (0, 0, 0) else data


def _split(split: SplitConfig, recorded: bool) -> SplitConfig:
    """The split, without the seed if its rule is not seeded."""
    if split.a is not None:
        split = replace(split, a=_data(split.a))
    if split.seed is None or is_unknown(split, recorded) or split_rule(split.name).seeded:
        return split
    return replace(split, seed=None)
