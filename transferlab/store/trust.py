"""Data does not name code: what a store brings along runs only if its user wrote it, or says so.

A record can name a network, a data set or a split of somebody's own (`package.module:attribute`), a
job script, and further options of `sbatch`. As with git's `safe.directory`, that counts if the
record belongs to the user of the command, root included, or if a folder above it is trusted.
Commands that only read and show import nothing that a record names: see `build_config`.
"""

import os
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path

from transferlab.errors import UserError
from transferlab.experiment.config import RunConfig
from transferlab.experiment.launcher import ROLES, Launcher, SlurmSettings
from transferlab.runtime import environment, folders, paths, plugins

VARIABLE = "TRANSFERLAB_TRUST"  # folders, separated by colons, with everything below them


def require(record: Path, owner: int, code: Iterable[str], *, folder: Path) -> None:
    """Raises: UserError if a record of another user names code.

    `owner` is the user id of the owner of the file that was read, `code` what it names, as
    `KEY=VALUE`, and `folder` the store, or the folder of a run that was copied from one.
    """
    named = sorted({*code})
    if not named or owner == os.geteuid() or _is_trusted(folder):
        return
    where = folder.absolute()
    raise UserError(
        f"{record} belongs to {folders.user(owner)} and names code that this command would run: "
        f"{', '.join(named)}; if you trust everybody who can write {where}, say so with "
        f"{VARIABLE}={shlex.quote(str(where))} in front of the command"
    )


def of_configs(configs: Iterable[RunConfig]) -> set[str]:
    """The code that configs name."""
    return {
        f"{key}={name}"
        for config in configs
        for key, name, own in (
            *((key, name, plugins.is_own(name)) for key, name in data_sets(config)),
            ("model.name", config.model.name, config.model.is_own),
            ("split.name", config.split.name, plugins.is_own(config.split.name)),
        )
        if own
    }


def data_sets(config: RunConfig) -> Iterator[tuple[str, str]]:
    """The keys that name the data sets of a config, and the names."""
    yield "data.name", config.data.name
    if config.split.a is not None:
        yield "split.a.name", config.split.a.name


def of_launcher(launcher: Launcher) -> set[str]:
    """The code that a launcher names: its script, and options that may be any of `sbatch`."""
    if not isinstance(launcher, SlurmSettings):
        return set()
    named = {f"launcher.extra={option}" for option in launcher.extra or ()}
    for role in ROLES:
        own = getattr(launcher, role).extra or ()
        named |= {f"launcher.{role}.extra={option}" for option in own}
    if launcher.template is not None:
        named.add(f"launcher.template={launcher.template}")
    return named


def _is_trusted(folder: Path) -> bool:
    trusted = [paths.expand(name).resolve() for name in _names() if name]
    return any(folder.resolve().is_relative_to(parent) for parent in trusted)


def _names() -> list[str]:
    return (environment.value(VARIABLE) or "").split(":")
