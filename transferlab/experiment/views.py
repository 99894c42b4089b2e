"""What a run reads, and what it sees: two things, once A and B are two data sets.

It reads the images of its target. It sees them as its base network saw its own: of that size, minus
that mean, times that scale (Yosinski et al. 2014, Sec. 3: frozen features are of use for the inputs
that they were learned from); with `mean=target`, and without a base, as its target's config says.
Halves of one data set share its config, and differ only in their mean images.
"""

from collections.abc import Iterable
from dataclasses import replace

from transferlab.experiment import variants
from transferlab.experiment.config import DataConfig, RunConfig

# The keys of a data config that say which images there are, and how they vary in training, the same
# for all networks that are trained on them; all others say how they are seen
SOURCE = (
    "name", "root", "val", "holdout", "per_class", "unreadable", "digest", "scales", "pad", "pca",
)  # fmt: skip


def data_of(config: RunConfig, letter: str) -> DataConfig:
    """The data config of A or B: `split.a` is that of A where A is no half of `data`."""
    if letter == "A" and config.split.a is not None:
        return config.split.a
    return config.data


def section(config: RunConfig, letter: str) -> str:
    """The group of keys of that data config, for messages: `data` or `split.a`."""
    return "data" if data_of(config, letter) is config.data else "split.a"


def letter(config: RunConfig) -> str:
    """Whose view of images the run has, and whose mean: that of its base, or of its target."""
    variant = config.variant
    base, target = variant.base, variant.target
    if base is None or base == variants.RANDOM or data_of(config, target).mean == "target":
        return target
    return base


def data_sets(configs: Iterable[RunConfig]) -> tuple[DataConfig, ...]:
    """The data sets of these configs' targets, each once, as they are configured."""
    trained = (config for config in configs if not config.is_pretrained)
    return tuple(dict.fromkeys(data_of(config, config.variant.target) for config in trained))


def crosses(config: RunConfig) -> bool:
    """Whether it sees the images of one data set as a base on another saw its own."""
    return data_of(config, letter(config)) is not data_of(config, config.variant.target)


def inputs(config: RunConfig) -> DataConfig:
    """The images that the run reads, seen as it sees them: one config of both."""
    if config.split.a is None:
        return config.data
    read, seen = data_of(config, config.variant.target), data_of(config, letter(config))
    if read is seen:
        return read
    return replace(seen, **{key: getattr(read, key) for key in SOURCE})
