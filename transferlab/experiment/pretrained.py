"""A network that was trained elsewhere, as A of a split: its view of images, digest, and stages.

What the weights say of themselves completes a config: `split.a` is the view, and its `digest` that
of the weights. Reading them needs torch, which is imported when it has to be: a config that was
completed, as every record is, needs none.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from transferlab.errors import UserError
from transferlab.experiment import views
from transferlab.experiment.build import vary_config
from transferlab.experiment.config import DataConfig, RunConfig, TransferConfig
from transferlab.experiment.identity import NEUTRAL
from transferlab.experiment.keys import OPTIONAL
from transferlab.experiment.run import INFERENCE
from transferlab.models import libraries
from transferlab.models.facts import check_covered
from transferlab.runtime import commands, paths

if TYPE_CHECKING:
    from transferlab.models.names import Account
    from transferlab.models.pretrained import Pretrained, Source

KEY = "split.weights"
NAME = "weights"  # of the data set of A, which is none


@dataclass(frozen=True)
class Loaded:
    """Weights in their network, and the view with their digest."""

    source: "Source"
    pretrained: "Pretrained"
    a: DataConfig


def model_of(weights: str) -> str | None:
    """The network that `split.weights` names by itself: of a library, or of a finished run; None
    of a file."""
    library, _, name = weights.partition(":")
    if libraries.is_library(weights):
        named = name.partition(".")[0]
        return f"{library}:{re.sub('_Weights$', '', named).lower()}"
    try:
        path = paths.expand(weights) / INFERENCE
        return str(json.loads(path.read_text("utf-8"))["model"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def model_of_all(weights: Iterable[object]) -> str | None:
    """The network that several `split.weights` name by themselves, if it is one."""
    named = {model_of(each) if isinstance(each, str) else None for each in weights}
    return named.pop() if len(named) == 1 else None


def completed(config: RunConfig) -> RunConfig:
    """The config with the view of its weights and their digest, where it has not been completed.

    Raises: UserError as `load` does, and if the weights do not cover its prefix.
    """
    known = config.split.a
    if config.split.weights is None or (known is not None and known.digest and known.name == NAME):
        return config
    whole = TransferConfig("base", 0, "B", 0)
    a, account = _described(replace(config, seed=0, transfer=whole))
    if config.variant.base == "A":
        check_covered(
            account.stages if config.model.cuts == "stage" else account.fine,
            config.variant.n + config.transfer.keep,
            weights=config.split.weights,
            model=config.model.name,
            missing=account.missing,
        )
    return replace(config, split=replace(config.split, a=a))


@lru_cache(maxsize=8)
def _described(config: RunConfig) -> "tuple[DataConfig, Account]":
    """The view of the weights of a config, with their digest, and their account: read once for all
    runs of a study."""
    loaded = load(config)
    return loaded.a, loaded.pretrained.account


def load(config: RunConfig) -> Loaded:
    """The weights that a config names, in its network.

    Raises: UserError if they cannot be had, are not those of its network, have changed since the
        config was completed, or do not say how images are prepared and `split.a` does not either.
    """
    from transferlab.models import pretrained  # torch: seconds

    weights = config.split.weights
    assert weights is not None
    source = pretrained.read(weights)
    seen = _view(config, source)
    fitted = pretrained.fit(
        source,
        of=weights,
        model=config.model.name,
        image_size=seen.crop,
        reduction=config.model.reduction,
    )
    if seen.digest not in (None, fitted.digest):
        raise UserError(
            f"{KEY}={weights} has the digest {fitted.digest[:12]}..., and {OPTIONAL}.digest="
            f"{str(seen.digest)[:12]}... is recorded: bring the weights that the run was made with"
        )
    return Loaded(source, fitted, replace(seen, digest=fitted.digest))


def _view(config: RunConfig, source: "Source") -> DataConfig:
    """How A saw its images: as `split.a` says, or else as the weights do."""
    given = config.split.a
    if given is None and source.view is None:
        raise UserError(
            f"{KEY}={config.split.weights} does not say how its images were prepared: name that "
            f"with {OPTIONAL}, for instance "
            f"{commands.setting(OPTIONAL, 'imagenet_torchvision')} (shorter side 256, crop 224, "
            "torchvision's mean and deviation)"
        )
    seen = source.view or {}
    if given is not None:
        seen = {key: value for key, value in vars(given).items() if key not in views.SOURCE}
    if seen["mean"] in ("base", "target") and source.mean is None:
        raise UserError(
            f"{OPTIONAL}.mean={seen['mean']} is a mean image, and {KEY}={config.split.weights} has "
            f"none: set a colour, as {OPTIONAL}.mean=[123.675,116.28,103.53], or none"
        )
    whole = {key: NEUTRAL.get(f"data.{key}") for key in vars(config.data)}
    whole |= {"name": NAME, "unreadable": "error", **seen}
    whole["digest"] = None if given is None else given.digest
    changed = vary_config(config, {f"{OPTIONAL}.{key}": value for key, value in whole.items()})
    assert changed.split.a is not None
    return changed.split.a
