"""From what a config names to what is there: the classes, the halves, and the digests of both.

The only step between a config and its run id that looks at the disk. Takes no torch.
"""

from dataclasses import replace
from pathlib import Path

from transferlab import data, splits
from transferlab.config import RunConfig
from transferlab.errors import UserError
from transferlab.splits import Split


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
    model = config.model
    if {model.num_outputs} == {len(split.a), len(split.b)}:
        model = replace(model, num_outputs=None)
    for letter in "AB":
        if model.num_outputs is not None and model.num_outputs < len(split.half(letter)):
            raise UserError(
                f"model.num_outputs={model.num_outputs} is fewer than the "
                f"{len(split.half(letter))} classes of half {letter}"
            )
    return replace(
        config,
        data=replace(config.data, digest=described.digest),
        split=replace(config.split, digest=split.digest),
        model=model,
    )


def split_of(config: RunConfig) -> Split:
    """The halves that the config speaks of. Raises: UserError as `resolve` does."""
    return _split(config, _describe(config))


def _describe(config: RunConfig) -> data.Description:
    chosen = config.data
    return data.describe(chosen.name, root=chosen.root, val=chosen.val, holdout=chosen.holdout)


def _split(config: RunConfig, described: data.Description) -> Split:
    name, classes = config.split.name, described.classes
    if name == "random":
        assert config.split.seed is not None
        return splits.random_halves(classes, config.split.seed)
    if name == "manmade_natural":
        return splits.manmade_natural(classes, _groups(config, classes))
    raise UserError(f"split.name={name} is not a split: choose {' or '.join(splits.NAMES)}")


def _groups(config: RunConfig, classes: tuple[str, ...]) -> dict[str, str] | None:
    """The user's groups, else None for the published ones, else those beside the images."""
    if config.split.groups is not None:
        return splits.read_groups(Path(config.split.groups).expanduser())
    if set(classes) <= splits.published_groups().keys() or config.data.root is None:
        return None
    beside = Path(config.data.root).expanduser() / "classes.csv"
    return splits.read_groups(beside) if beside.exists() else None
