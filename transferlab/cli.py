"""The command `run`: from Hydra's overrides to configs, and from outcomes to what is printed.

Hydra composes `conf/` and the overrides, once or for every job of a multirun; nothing of its
config objects goes further than this file, and none of its folders appears.
"""

import difflib
import logging
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transferlab import config as configs
from transferlab import logs, summary
from transferlab.config import RunConfig
from transferlab.errors import RunFailed, UserError
from transferlab.launch import inline
from transferlab.resolve import resolve

log = logging.getLogger(__name__)


def conf_folder() -> Path:
    """The folder of the config files: in the package where it was installed, else beside it."""
    package = Path(__file__).parent
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


def run(arguments: Sequence[str]) -> int:
    """Compose and carry out one config, or each of a multirun (-m); the exit status.

    In a multirun a run that fails does not stop the others.
    Raises: UserError, RunFailed, Interrupted.
    """
    from hydra._internal.utils import get_args_parser

    logs.to_stderr()
    overrides = [_with_plus(argument) for argument in arguments]
    parsed = get_args_parser().parse_args(overrides)
    several = parsed.multirun
    _check(parsed.overrides)
    errors: list[UserError | RunFailed] = []

    def task(composed: Any) -> float | None:
        try:
            outcomes = inline.carry_out([resolve(build(composed))])
        except (UserError, RunFailed) as error:  # kept from Hydra, which would print its own
            if several:
                log.error("error: %s", error)
            errors.append(error)
            return None
        print(summary.table(outcomes), flush=True)
        if not several:
            print(summary.next_command(outcomes, parsed.overrides), file=sys.stderr)
        return float(outcomes[-1].result["metrics"]["top1_final"])

    _with_hydra(task, overrides)
    if errors and not several:
        raise errors[0]
    if errors:
        kind = RunFailed if any(isinstance(error, RunFailed) for error in errors) else UserError
        raise kind(f"{len(errors)} of the runs are not done, see above")
    return 0


def build(composed: Any) -> RunConfig:
    """The run's config from what Hydra composed. Raises: UserError."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        raw = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise UserError(str(error).splitlines()[0]) from error
    assert isinstance(raw, dict)
    return configs.build({str(key): value for key, value in raw.items()})


def _with_hydra(task: Any, overrides: Sequence[str]) -> None:
    """Let Hydra parse the command line, compose, and call `task` for every job."""
    import hydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come to us, and no trace is printed
    program, sys.argv = sys.argv, ["transferlab", *overrides]
    try:
        hydra.main(version_base="1.3", config_path=str(conf_folder()), config_name="config")(task)()
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(_plain(error)) from error
    finally:
        sys.argv = program


def _with_plus(word: str) -> str:
    """`split` has no default, so Hydra wants `+split=`; without the plus is meant the same."""
    return f"+{word}" if re.match(r"split=", word) else word


def _check(words: Sequence[str]) -> None:
    """Refuse unknown groups, choices and keys, before Hydra does, with the nearest that there is.

    Raises: UserError.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.core.override_parser.types import Override
    from hydra.errors import HydraException

    parser = OverridesParser.create()
    for word in words:
        try:
            override: Override = parser.parse_override(word)
        except HydraException as error:
            raise UserError(f"{word}: {_plain(error)}") from error
        key = override.key_or_group
        if key.split(".")[0] == "hydra" or key.startswith("hydra/"):
            continue
        if key in _groups():
            values = (
                list(override.sweep_string_iterator())
                if override.is_sweep_override()
                else [str(override.value())]
            )
            for value in values:
                _check_choice(key, value)
        elif key not in configs.known_keys():
            near = difflib.get_close_matches(key, _groups(), n=1)
            if "." not in key and near:
                raise UserError(f"{key} is not a group of conf/: did you mean {near[0]}=?")
            raise UserError(configs.unknown_key(key))


def _groups() -> list[str]:
    return sorted(path.name for path in conf_folder().iterdir() if path.is_dir())


def _check_choice(group: str, value: str) -> None:
    choices = sorted(path.stem for path in (conf_folder() / group).glob("*.yaml"))
    if value not in choices:
        near = difflib.get_close_matches(value, choices, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise UserError(
            f"{group}={value} is not there: {hint}choose one of {', '.join(choices)} "
            f"(they live in conf/{group}/)"
        )


def _plain(error: BaseException) -> str:
    """The first line of Hydra's message and, where it wraps another, of that one."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return "; ".join(lines[:2]) if lines else type(error).__name__
