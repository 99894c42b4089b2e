"""The command line that trains a config: the settings in which it differs from the defaults."""

from collections.abc import Iterator, Mapping
from typing import Any

from transferlab.experiment import compose
from transferlab.experiment.build import config_dict
from transferlab.experiment.conf import CONF
from transferlab.experiment.config import RunConfig
from transferlab.experiment.variables import REFERENCE, written
from transferlab.runtime import commands

# From the code and the images
FOUND = ("revision", "data.digest", "split.digest", "split.a.digest")


def line(config: RunConfig) -> str:
    """The command that trains this config, and resumes it if it was interrupted."""
    name = config.split.name
    choice = name if name in CONF.choices("split") else "random"
    defaults = dict(_leaves(compose.compose("config", [f"+split={choice}"])))
    changed = {
        key: value
        for key, value in _leaves(config_dict(config))
        if key not in FOUND and written(defaults[key]) != value
    }
    if config.transfer.variant == "base":  # which has no stages to copy
        changed.pop("transfer.n", None)
    settings = [
        commands.interpolation(key, value)
        if REFERENCE.search(str(value))
        else commands.override(key, value)
        for key, value in changed.items()
    ]
    return commands.line(commands.override("+split", choice), *settings)


def _leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
