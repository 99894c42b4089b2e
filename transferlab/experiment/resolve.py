"""From what a config names to what is there: the classes, the halves, and the digests of both.

The only step between a config and its run id that looks at the disk. Takes no torch. What many
runs of a plan have in common is worked out once: a study may have 100,000 runs.
"""

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from transferlab import data
from transferlab.errors import UserError
from transferlab.experiment import splits
from transferlab.experiment.config import DataConfig, ModelConfig, RunConfig, SplitConfig
from transferlab.experiment.splits import Split


def resolve(config: RunConfig) -> RunConfig:
    """The config with `data.digest` and `split.digest` filled in.

    A digest that is already there, from a stored config, must be that of the images and halves
    found now. `model.num_outputs` is dropped where it says what the classes say.

    Raises: UserError if the data are not there, are others, or cannot be split so.
    """
    described = _describe(config)
    split = _split(config, described)
    for key, given, found in (
        ("data.digest", config.data.digest, described.digest),
        ("split.digest", config.split.digest, split.digest),
    ):
        if given not in (None, found):
            raise UserError(
                f"{key}={given[:12]}... was the digest when this config was made, and it is "
                f"{found[:12]}... now: data.root={config.data.root} holds other images or classes"
            )
    return replace(
        config,
        split=_split_section(config.split, split.digest),
        data=_data_section(config.data, described.digest),
        model=_model_section(config.model, split),
    )


def split_of(config: RunConfig) -> Split:
    """The halves that the config speaks of. Raises: UserError as `resolve` does."""
    return _split(config, _describe(config))


def _describe(config: RunConfig) -> data.Description:
    chosen = config.data
    found = data.describe(chosen.name, root=chosen.root, val=chosen.val, holdout=chosen.holdout)
    data.check(chosen.name, root=chosen.root, size=chosen.size, resize=chosen.resize)
    return found


# --- the config's sections, with what was found -------------------------------------------------


@lru_cache(maxsize=1024)
def _data_section(chosen: DataConfig, digest: str) -> DataConfig:
    return replace(chosen, digest=digest)


@lru_cache(maxsize=16_384)
def _split_section(chosen: SplitConfig, digest: str) -> SplitConfig:
    return replace(chosen, digest=digest)


def _model_section(chosen: ModelConfig, split: Split) -> ModelConfig:
    """Without `num_outputs` where all halves that there are have just so many classes."""
    outputs = chosen.num_outputs
    if outputs is None:
        return chosen
    sizes = {letter: len(split.half(letter)) for letter in "AB" if split.half(letter)}
    for letter, size in sizes.items():
        if outputs < size:
            raise UserError(
                f"model.num_outputs={outputs} is fewer than the {size} classes of half {letter}"
            )
    return replace(chosen, num_outputs=None) if {outputs} == set(sizes.values()) else chosen


# --- the halves ---------------------------------------------------------------------------------


def _split(config: RunConfig, described: data.Description) -> Split:
    name, classes = config.split.name, described.classes
    if name == "random":
        assert config.split.seed is not None
        return _random_halves(classes, config.split.seed)
    if name == "manmade_natural":
        file = _groups_file(config, classes)
        return _manmade_natural(classes, file, None if file is None else _stamp(file))
    if name == "whole":
        return _whole(classes)
    raise UserError(f"split.name={name} is not a split: choose {' or '.join(splits.NAMES)}")


_random_halves = lru_cache(maxsize=16_384)(splits.random_halves)
_whole = lru_cache(maxsize=8)(splits.whole)


@lru_cache(maxsize=8)
def _manmade_natural(
    classes: tuple[str, ...], file: Path | None, stamp: tuple[int, int] | None
) -> Split:
    """By the groups in `file`, else the published ones; `stamp` says which state of the file."""
    groups = None if file is None else splits.read_groups(file)
    return splits.manmade_natural(classes, groups)


def _groups_file(config: RunConfig, classes: tuple[str, ...]) -> Path | None:
    """The user's groups, else None for the published ones, else those beside the images."""
    if config.split.groups is not None:
        return Path(config.split.groups).expanduser()
    if _published(classes) or config.data.root is None:
        return None
    beside = Path(config.data.root).expanduser() / "classes.csv"
    return beside if beside.exists() else None


@lru_cache(maxsize=8)
def _published(classes: tuple[str, ...]) -> bool:
    return set(classes) <= splits.published_groups().keys()


def _stamp(file: Path) -> tuple[int, int] | None:
    """What changes when the file is written again; None if it is not there."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size
