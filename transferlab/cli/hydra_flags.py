"""Hydra's own flags, of `run` and, as far as it has them, of `sweep`."""

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from transferlab.errors import UserError
from transferlab.experiment import compose
from transferlab.experiment.conf import CONF, Conf
from transferlab.experiment.keys import SWEEP_KEYS, known_keys
from transferlab.experiment.launcher import launcher_keys
from transferlab.runtime import commands

# Flags that are handed on to Hydra: with a value, and without
FLAGS = {"config_path": "--config-path", "config_dir": "--config-dir",
         "config_name": "--config-name", "cfg": "--cfg", "package": "--package",
         "info": "--info"}  # fmt: skip
SWITCHES = {"resolve": "--resolve", "hydra_help": "--hydra-help",
            "shell_completion": "--shell-completion"}  # fmt: skip

HELP_FLAGS = ("-h", "--help")
UNKNOWN_FLAGS = "unrecognized arguments:"  # how argparse begins its message


@dataclass(frozen=True)
class CommandLine:
    """A command line of Hydra's: its flags, the overrides, and the files to compose from."""

    flags: Namespace
    overrides: tuple[str, ...]
    conf: Conf

    @property
    def flag_names(self) -> list[str]:
        """The flags that are given, in their long form."""
        return [
            "--" + name.replace("_", "-")
            for name, value in vars(self.flags).items()
            if value and name != "overrides"
        ]

    @property
    def shows(self) -> bool:
        """Whether Hydra prints something, and nothing is run."""
        flags = self.flags
        return bool(flags.cfg or flags.info or flags.hydra_help or flags.shell_completion)

    def words(self, overrides: Sequence[str]) -> list[str]:
        """The same command line with other overrides, for one job."""
        given = dict(vars(self.flags))
        given |= {"config_path": self.conf.folder, "config_dir": self.conf.directory}
        flags = [(flag, str(given[name])) for name, flag in FLAGS.items() if given[name]]
        switches = [flag for name, flag in SWITCHES.items() if given[name]]
        return [*(word for pair in flags for word in pair), *switches, *overrides]


def parse(arguments: Sequence[str]) -> CommandLine:
    """The command line. Raises: UserError for unknown flags, and for flags that do not agree."""
    from hydra._internal.utils import get_args_parser

    parser: Any = get_args_parser()
    parser.error = _refuse
    flags = parser.parse_intermixed_args([compose.as_typed(argument) for argument in arguments])
    _check(flags)
    flags.overrides = compose.with_model(flags.overrides)
    # `hydra.searchpath` decides which choices there are, all else is an override like any other
    searchpath = [o for o in flags.overrides if o.lstrip("+").startswith("hydra.searchpath=")]
    conf = Conf(
        folder=_folder("--config-path", flags.config_path),
        primary=flags.config_name or "config",
        directory=_folder("--config-dir", flags.config_dir),
        searchpath=tuple(searchpath),
    )
    return CommandLine(flags, tuple(flags.overrides), conf)


def conf(arguments: Sequence[str]) -> Conf:
    """The files to compose from, of a command line that may have mistakes."""
    words = [word for word in arguments if word not in HELP_FLAGS]
    try:
        return parse(words).conf if words else CONF
    except UserError:
        return CONF


def _refuse(message: str) -> NoReturn:
    written = next((word for word in message.split() if word.startswith("--")), "--")
    name = written.removeprefix("--").partition("=")[0].replace("-", "_")
    keys = (*known_keys(), *SWEEP_KEYS, *launcher_keys())
    named = [key for key in keys if key.rpartition(".")[2] == name]
    if message.startswith(UNKNOWN_FLAGS) and named:
        nearest = min(named, key=lambda key: key.count("."))  # data.size, not split.a.size
        added = "+" if nearest == "study" else ""  # which the files of `sweep` do not have
        raise UserError(f"{message}; settings are keys without dashes: {added}{nearest}=VALUE")
    raise UserError(f"{message}; --help lists the commands and keys, --hydra-help Hydra's flags")


def _folder(flag: str, value: str | None) -> Path | None:
    if value is None:
        return None
    folder = Path(value).expanduser().absolute()
    if not folder.is_dir():
        raise UserError(f"{flag} {value} is not a folder: name one with config files")
    return folder


def _check(flags: Namespace) -> None:
    if flags.experimental_rerun is not None:
        raise UserError(
            f"--experimental-rerun {flags.experimental_rerun} would unpickle the file, which can "
            f"run any code: train a finished run again with {commands.line('rerun', 'FOLDER')}"
        )
    modes = {"--cfg": flags.cfg, "--info": flags.info, "--shell-completion": flags.shell_completion,
             "--run": flags.run, "--hydra-help": flags.hydra_help}  # fmt: skip
    several = [flag for flag, value in modes.items() if value]
    if flags.run and flags.multirun:
        several.append("--multirun")
    if len(several) > 1:
        raise UserError(f"{' and '.join(several)} do not go together: choose one")
    for flag, value in (("--resolve", flags.resolve), ("--package", flags.package)):
        if value and not flags.cfg:
            raise UserError(f"{flag} is used only by --cfg: add --cfg job, or omit it")
    if flags.shell_completion and not flags.overrides:
        raise UserError("--shell-completion needs install=bash, or fish, or zsh")
