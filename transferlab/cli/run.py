"""The command `run`: train one config, or each config of a Hydra multirun.

Hydra parses the command line and calls back for every job; it creates no folders.
"""

import importlib
import logging
import os
import re
import sys
from collections.abc import Sequence
from typing import Any

from transferlab.cli import summary
from transferlab.errors import RunFailed, UserError
from transferlab.experiment import compose, usage
from transferlab.experiment.resolve import resolve
from transferlab.launch import inline
from transferlab.runtime import logs, output, signals

log = logging.getLogger(__name__)


def run(arguments: Sequence[str]) -> int:
    """Compose and carry out one config, or each config of a multirun (-m); the exit status.

    In a multirun a failed run does not stop the others.
    Raises: UserError, RunFailed, Interrupted.
    """
    from hydra._internal.utils import get_args_parser

    logs.to_stderr()
    overrides = [compose.with_plus(argument) for argument in arguments]
    parsed = get_args_parser().parse_args(overrides)
    several = parsed.multirun
    compose.check(parsed.overrides)
    if several:
        usage.check_multirun(parsed.overrides)
    else:
        compose.check_single(parsed.overrides)
        _check_launcher(parsed.overrides)
    errors: list[UserError | RunFailed] = []

    def task(composed: Any) -> float | None:
        try:
            config = compose.run_config(composed)
            if not several:
                usage.check(compose.settings(parsed.overrides), [config])
            finished = inline.carry_out([resolve(config)])
        except (UserError, RunFailed) as error:  # not passed to Hydra, which would print its own
            if several:
                log.error("error: %s", error)
            errors.append(error)
            return None
        with signals.watch() as stop, stop.deferred():  # done is done
            output.report(*summary.table(finished))
            if not several:
                output.note(*summary.next_command(finished[-1].run, parsed.overrides))
        if several:
            stop.check()
        return float(finished[-1].result["metrics"]["top1_final"])

    _with_hydra(task, overrides)
    if errors and not several:
        raise errors[0]
    if errors:
        kind = RunFailed if any(isinstance(error, RunFailed) for error in errors) else UserError
        raise kind(f"{len(errors)} of the runs failed, see above")
    return 0


def _check_launcher(overrides: Sequence[str]) -> None:
    """Raises: UserError for keys of Hydra's launchers and sweepers, which a single run lacks."""
    for override in overrides:
        if re.match(r"\+*hydra[./](launcher|sweeper|sweep)\b", override):
            raise UserError(f"{override} is used only by a multirun: add -m, or omit it")


def _register_launchers() -> None:
    """Hydra finds plugins by walking hydra_plugins, which an editable install does not have."""
    from hydra.core.plugins import Plugins

    launchers = importlib.import_module("hydra_plugins.transferlab_launchers.launchers")
    for name in ("LocalLauncher", "SlurmLauncher"):
        Plugins.instance().register(getattr(launchers, name))


def _with_hydra(task: Any, overrides: Sequence[str]) -> None:
    """Let Hydra parse the command line, compose, and call `task` for every job."""
    import hydra

    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises errors instead of printing them
    program, sys.argv = sys.argv, ["transferlab", *overrides]
    config_path = str(compose.conf_folder())
    _register_launchers()
    try:
        with compose.explained():
            hydra.main(version_base="1.3", config_path=config_path, config_name="config")(task)()
    finally:
        sys.argv = program
