"""The parser of commands that have flags of their own, most of them with `--store DIR`."""

import argparse
from pathlib import Path
from typing import NoReturn

from transferlab.errors import UserError
from transferlab.runtime import commands, environment, paths

WITH_PATHS = "name hosts and full paths, which are left out of what may be sent around"


class Flags(argparse.ArgumentParser):
    """A parser whose errors are UserErrors. `store`: whether the command reads a store."""

    def __init__(self, command: str, description: str, *, store: bool = True) -> None:
        super().__init__(f"{commands.PROGRAM} {command}", description=description,
                         allow_abbrev=False)  # fmt: skip
        if not store:
            return
        default = environment.value(environment.STORE) or "runs"
        self.add_argument(
            "--store",
            type=store_of,
            default=default,
            metavar="DIR",
            help="where the runs are kept (default: runs, or TRANSFERLAB_STORE)",
        )

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; {' '.join(self.format_usage().split())}")


def store_of(text: str) -> Path:
    """The path of a store, from the root on: the `type` of an argument."""
    try:
        return paths.absolute(text)
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def path_of(text: str) -> Path:
    """A path on the command line: the `type` of an argument."""
    try:
        return paths.expand(text)
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
