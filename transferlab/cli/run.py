"""The command `run`: train one config, or each config of a Hydra multirun.

Hydra parses the command line and calls back for every job; it creates no folders. What it shows
instead (--cfg, --info, --hydra-help, --shell-completion) it prints itself.
"""

import contextlib
import logging
import os
import shlex
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from transferlab.cli import hydra_checks, hydra_flags, summary
from transferlab.cli.hydra_flags import CommandLine
from transferlab.errors import RunFailed, UserError
from transferlab.experiment import compose, conf, metrics, study, usage
from transferlab.experiment.config import RunConfig
from transferlab.experiment.resolve import resolve
from transferlab.launch import inline
from transferlab.runtime import files, folders, logs, output, paths, signals

log = logging.getLogger(__name__)
MULTIRUNS = ".multirun"  # where `hydra.sweep.dir` in conf/config.yaml is
OF_ALL_JOBS = ("plugins", "searchpath")  # what --info shows of them is the same for all jobs


def run(arguments: Sequence[str]) -> int:
    """Compose and carry out one config, or each config of a multirun (-m); the exit status.

    In a multirun a failed run does not stop the others.
    Raises: UserError, RunFailed, Interrupted.
    """
    logs.to_stderr()
    line = hydra_flags.parse(arguments)
    if line.flags.hydra_help or line.flags.shell_completion:
        return _show(line.words(line.overrides))
    overrides, several, composed = hydra_checks.checked(line)
    if not several:
        compose.check_single(overrides)
        if line.shows:
            return _show(line.words(overrides))
        hydra_checks.check_launcher(overrides)
        compose.run_config(composed)  # before Hydra makes folders
        return _train(line, overrides)
    if line.shows:
        return _show_jobs(line, overrides)
    usage.check_multirun(overrides, line.conf)
    return _train_jobs(line, overrides)


def _train(line: CommandLine, overrides: Sequence[str]) -> int:
    """Raises: UserError, RunFailed, Interrupted."""
    folder = Path.cwd()
    errors: list[Exception] = []

    def task(composed: Any) -> None:
        try:
            config = _config(composed, folder)
            usage.check(compose.settings(overrides, line.conf), [config])
            finished = inline.carry_out([resolve(config)])
        except Exception as error:  # not passed to Hydra, which would print its own
            errors.append(error)
            return
        with signals.watch() as stop, stop.deferred():  # done is done
            output.report(*summary.table(finished))
            output.note(*summary.next_command(finished[-1].run, line.words(overrides)))

    _with_hydra(line.words(overrides), task)
    if errors:
        raise errors[0]
    return 0


def _train_jobs(line: CommandLine, overrides: Sequence[str]) -> int:
    """Raises: UserError, RunFailed, Interrupted."""
    folder = Path.cwd()
    errors: list[Exception] = []

    def task(composed: Any) -> float | None:
        try:
            finished = inline.carry_out([resolve(_config(composed, folder))])
        except Exception as error:
            log.error("error: %s", error)
            errors.append(error)
            return None
        with signals.watch() as stop, stop.deferred():  # done is done
            output.report(*summary.table(finished))
        stop.check()
        return metrics.final(finished[-1].result["metrics"])

    multiruns = _multiruns(line, overrides)
    try:
        _with_hydra(["--multirun", *line.words(overrides)], task)
    finally:
        folders.share_tree(multiruns)
    for error in errors:
        if not isinstance(error, UserError | RunFailed):
            raise error
    if errors:
        kind = RunFailed if any(isinstance(error, RunFailed) for error in errors) else UserError
        raise kind(f"{len(errors)} of the runs failed, see above")
    return 0


def _multiruns(line: CommandLine, overrides: Sequence[str]) -> Path:
    """The folder of a store in which Hydra makes one for each multirun, made here for its group."""
    first = next(compose.points(overrides, conf=line.conf))
    composed = compose.compose("config", first, line.conf)
    folder = paths.expand(composed["runtime"]["store"]) / MULTIRUNS
    files.make_folder(folder)
    return folder


def _config(composed: Any, folder: Path) -> RunConfig:
    """The config of a run; with `hydra.job.chdir` its paths are still those of the user's folder"""
    config = compose.run_config(composed)
    if Path.cwd() == folder:
        return config
    with contextlib.chdir(folder):
        return study.absolute(config)


def _show_jobs(line: CommandLine, overrides: Sequence[str]) -> int:
    """What Hydra shows of the jobs of a multirun, as the documents of one YAML file."""
    for number, point in enumerate(compose.points(overrides, conf=line.conf)):
        if line.flags.info in OF_ALL_JOBS:
            return _show(line.words(point))
        job = (word for word in point if not word.startswith("hydra."))
        output.show(f"--- # job {number}: {shlex.join(job)}")
        if status := _show(line.words(point)):
            return status
    return 0


def _show(words: Sequence[str]) -> int:
    with conf.explained(Exception):  # no code of ours runs
        return _with_hydra(words)


def _with_hydra(words: Sequence[str], task: Callable[[Any], object] | None = None) -> int:
    """Let Hydra parse the command line, compose, and call `task` for every job, or show something.

    Returns the exit status. Raises: UserError for what Hydra refuses.
    """
    import hydra

    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises errors instead of printing them
    program, sys.argv = sys.argv, ["transferlab", *words]
    config_path = str(conf.conf_folder())
    hydra_checks.register_launchers()
    main = hydra.main(version_base="1.3", config_path=config_path, config_name="config")
    try:
        with conf.explained(), _warnings_logged():
            main(task or (lambda _: None))()
    except SystemExit as ended:  # what was shown, or what Hydra has printed an error about
        return UserError.exit_code if ended.code else 0
    finally:
        sys.argv = program
    return 0


@contextlib.contextmanager
def _warnings_logged() -> Iterator[None]:
    """Hydra's warnings as log messages, each once."""
    seen: set[str] = set()

    with warnings.catch_warnings():
        show = warnings.showwarning

        def report(message: Any, category: Any, filename: str, *rest: Any) -> None:
            if f"{os.sep}hydra{os.sep}" not in filename:
                show(message, category, filename, *rest)
            elif (text := " ".join(str(message).split())) not in seen:
                seen.add(text)
                log.warning("Hydra: %s", text)

        warnings.showwarning = report  # type: ignore[assignment]
        warnings.filterwarnings("always", module=r"hydra\.")
        yield
