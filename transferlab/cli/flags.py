"""The parser of commands that have flags of their own, most of them with `--store DIR`."""

import argparse
from pathlib import Path
from typing import Any, NoReturn

from transferlab.errors import UserError
from transferlab.runtime import commands, environment, paths

WITH_PATHS = "name hosts and full paths, which are left out of what may be sent around"


class Flags(argparse.ArgumentParser):
    """A parser whose errors are UserErrors. `store`: whether the command reads a store; `stores`:
    it reads several as one, a tuple of paths, and archives like stores."""

    def __init__(
        self, command: str, description: str, *, store: bool = True, stores: bool = False
    ) -> None:
        super().__init__(f"{commands.PROGRAM} {command}", description=description,
                         allow_abbrev=False)  # fmt: skip
        if not store:
            return
        default = environment.value(environment.STORE) or "runs"
        kept = "where the runs are kept (default: runs, or TRANSFERLAB_STORE)"
        if stores:
            self.add_argument(
                "--store",
                type=_stores_of,
                action=_Several,
                default=default,
                metavar="DIR",
                help=f"{kept}, or FILE.csv; several are read as one",
            )
        else:
            self.add_argument(
                "--store", type=store_of, action=_One, default=default, metavar="DIR", help=kept
            )

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; {' '.join(self.format_usage().split())}")


class _Several(argparse.Action):
    """Collects the values of a flag that is given several times, each a tuple."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        before = getattr(namespace, self.dest)
        given = before if isinstance(before, tuple) else ()  # else the default, which is a text
        setattr(namespace, self.dest, (*given, *values))


class _One(argparse.Action):
    """Refuses a flag that is given twice, of which argparse would take the last."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        before = getattr(namespace, self.dest)
        if not isinstance(before, str):  # as the default is, until the end
            parser.error(f"{option_string} names two stores, {before} and {values}: name one")
        setattr(namespace, self.dest, values)


def store_of(text: str) -> Path:
    """The path of a store, from the root on: the `type` of an argument."""
    try:
        return paths.absolute(text)
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _stores_of(text: str) -> tuple[Path, ...]:
    return (store_of(text),)


def path_of(text: str) -> Path:
    """A path on the command line: the `type` of an argument."""
    try:
        return paths.expand(text)
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
