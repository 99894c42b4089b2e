"""What is checked of a command line of Hydra's before anything is started.

What Hydra composes into the config of a run passes; what would end in a trace, or be ignored
silently, is refused.
"""

import importlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from transferlab.cli.hydra_flags import CommandLine
from transferlab.errors import UserError
from transferlab.experiment import compose

BASIC = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"


class Checked(NamedTuple):
    """The overrides, with globs and the sweeper's parameters written out; whether they are those of
    a multirun; and what Hydra composes without the lists."""

    overrides: list[str]
    several: bool
    composed: Any


def checked(line: CommandLine) -> Checked:
    """What is to be done.

    Raises: UserError for what Hydra cannot compose, or composes into no run.
    """
    compose.check(line.overrides, line.conf)
    overrides = [compose.enumerated(override, line.conf) for override in line.overrides]
    try:
        composed = line.conf.composed(overrides, multirun=True)
    except UserError as error:
        if not line.flags.multirun:
            check_launcher(overrides)
        parameters = [each for each in overrides if "hydra.sweeper.params" in each]
        if not parameters:
            raise
        raise UserError(
            f"{parameters[0]}: Hydra takes the parameters of a sweeper from a file, "
            "--config-name; on the command line write their lists as overrides"
        ) from error
    hydra = composed.hydra
    for group, choice in hydra.runtime.choices.items():
        compose.check_hidden(group, choice, line.conf)
    if hydra.job.env_copy:
        raise UserError(
            "hydra.job.env_copy writes values of the environment into the store, and jobs have "
            "its variables without it: omit it"
        )
    if not line.flags.multirun and (hydra.mode is None or hydra.mode.name != "MULTIRUN"):
        return Checked(overrides, False, composed)
    for role in ("launcher", "sweeper"):
        _check_plugin(role, hydra[role])
    if hydra.sweeper["_target_"] == BASIC:
        overrides = _with_parameters(line, hydra.sweeper.params or {}, overrides)
    return Checked(overrides, True, composed)


def check_launcher(overrides: Iterable[str]) -> None:
    """Raises: UserError for keys of Hydra's launchers and sweepers, which a single run lacks."""
    for override in overrides:
        if re.match(r"\+*hydra[./](launcher|sweeper|sweep)\b", override):
            raise UserError(f"{override} is used only by a multirun: add -m, or omit it")


def register_launchers() -> None:
    """Hydra finds plugins by walking hydra_plugins, which an editable install does not have."""
    from hydra.core.plugins import Plugins

    launchers = importlib.import_module("hydra_plugins.transferlab_launchers.launchers")
    for name in ("LocalLauncher", "SlurmLauncher"):
        Plugins.instance().register(getattr(launchers, name))


def _with_parameters(
    line: CommandLine, parameters: Mapping[str, str], overrides: Sequence[str]
) -> list[str]:
    """The overrides of the basic sweeper: those of `hydra.sweeper.params` come first."""
    given = [compose.as_typed(f"{key}={value}") for key, value in parameters.items()]
    compose.check(given, line.conf)
    given = [compose.enumerated(override, line.conf) for override in given]
    for override in (*given, *overrides):
        if compose.parse(override).is_interval_sweep():
            raise UserError(
                f"{override} has no values that Hydra's basic sweeper could list: write a range or "
                "a list"
            )
    return [*given, *overrides, *(["hydra.sweeper.params=null"] if given else [])]


def _check_plugin(role: str, settings: Any) -> None:
    """Raises: UserError for a class that Hydra does not take for a launcher or a sweeper."""
    from hydra.core.plugins import Plugins

    register_launchers()
    target = None if settings is None else settings.get("_target_")
    if target not in Plugins.instance().class_name_to_class:
        raise UserError(
            f"hydra.{role}._target_={target} is no plugin of Hydra that is installed: choose one "
            f"with hydra/{role}"
        )
