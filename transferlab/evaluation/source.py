"""The images of an evaluation: those that the first run was validated on, or others.

An evaluation takes from the run how its images are prepared, so that only what says which images
there are can be changed.
"""

from collections.abc import Sequence
from dataclasses import replace

from transferlab import data
from transferlab.errors import UserError
from transferlab.experiment import compose, views
from transferlab.experiment.build import build_config, vary_config
from transferlab.experiment.config import DataConfig, RunConfig
from transferlab.experiment.variables import expand
from transferlab.runtime import commands

GROUP = "data"
KEYS = tuple(f"data.{key}" for key in ("name", "root", "val", "holdout", "per_class", "unreadable"))
COMPOSED = ("+split=whole", "transfer.variant=baseB")  # with data of which only those are used


def source(config: RunConfig, overrides: Sequence[str]) -> DataConfig:
    """The images of a run with the overrides of a command line: `data=NAME`, `data.root=DIR`, ...

    `root` is that of this machine, and `digest` is that of the images. Other keys have no meaning.

    Raises: UserError for another key, if the images are missing or damaged, and for a network that
        was trained elsewhere, which has no images of its own, if none are named.
    """
    config = replace(config, data=views.inputs(config))
    chosen = _changed(config, [compose.as_typed(override) for override in overrides]).data
    root = chosen.root and expand("data.root", chosen.root)
    description = data.describe(chosen.name, root=root, val=chosen.val, holdout=chosen.holdout)
    return replace(chosen, root=root, digest=description.digest)


def _changed(config: RunConfig, overrides: Sequence[str]) -> RunConfig:
    """The config with these images. With `data=NAME`, what is not set is that of conf/."""
    compose.check(overrides)
    compose.check_single(overrides)
    changes = {key: value for key, (value,) in compose.settings(overrides).items()}
    for key, value in changes.items():
        if key not in (GROUP, *KEYS):
            raise UserError(
                f"{key}={value} cannot be changed: an evaluation takes all but the images from the "
                f"run, so change only {GROUP}, {', '.join(KEYS)}"
            )
    if GROUP in changes:
        return build_config(compose.compose("config", [*COMPOSED, *overrides]))
    if config.is_pretrained:
        raise UserError(
            f"{config.label} of split.weights={config.split.weights} was trained elsewhere, and "
            f"its images are unknown: name some with {commands.setting(GROUP, 'NAME')}"
        )
    return vary_config(config, changes) if changes else config
