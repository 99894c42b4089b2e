"""The entry point: finds the command that a command line names, and calls it.

Exit status: 0 done, 1 failed, 2 usage error, 75 interrupted and resumable. Output for scripts goes
to stdout, everything else to stderr. A command's module is imported when it is called.
"""

import difflib
import importlib
import sys
import traceback
from collections.abc import Sequence

from transferlab.errors import Interrupted, RunFailed, UserError
from transferlab.runtime import environment, garbage, output, signals
from transferlab.runtime.output import OutputLost

# The commands, each in a module of its own that is imported when it is called
COMMANDS = (
    "run", "sweep", "status", "results", "report", "prepare", "sync", "retry", "rerun",
    "evaluate", "export", "cancel", "inspect", "bench", "work", "help",
)  # fmt: skip
WITH_OVERRIDES = ("run", "sweep")  # the others have flags, and help on them, of their own
HELP_FLAGS = {"-h", "--help"}
VERSION_FLAG = "--version"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line; returns the exit status."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    environment.drop_empty()
    with output.guarded() as stdout:
        try:
            status = _run(arguments)
            output.check(stdout)
        except UserError as error:
            _debug()
            message, *lines = error.lines
            output.note(f"error: {message}", *lines)
            return error.exit_code
        except (RunFailed, OutputLost) as error:
            _debug()
            if str(error):
                output.note(f"error: {error}")
            return error.exit_code
        except KeyboardInterrupt as error:
            _debug()
            stopped = error if isinstance(error, Interrupted) else Interrupted("stopped by SIGINT")
            output.note(f"{stopped}: {stopped.advice}")
            return Interrupted.exit_code
        if stdout.error is not None and not output.left(stdout.error):
            output.note(f"{OutputLost(stdout.error)}; the command is done, only its output is lost")
        return status


def _run(arguments: Sequence[str]) -> int:
    name, rest = _command(arguments)
    if name in WITH_OVERRIDES and HELP_FLAGS & {*rest}:
        name = "help"
    with garbage.uncollected():
        command = importlib.import_module(f"transferlab.cli.{name}")
    status = int(command.run(rest))
    return status if arguments else UserError.exit_code


def _debug() -> None:
    """Print the trace of the current error, for whoever looks for its cause."""
    if environment.value(environment.DEBUG):
        traceback.print_exc()


def _command(arguments: Sequence[str]) -> tuple[str, list[str]]:
    """The command's name and its arguments: a leading word without `=` is a command."""
    first = arguments[0] if arguments else "help"
    if first == VERSION_FLAG:  # Hydra's own would be Hydra's version
        return "version", list(arguments[1:])
    if "=" in first or first.startswith(("-", "+", "~")):
        return "run", list(arguments)
    if first in COMMANDS:
        return first, list(arguments[1:])
    near = difflib.get_close_matches(first, COMMANDS, n=1)
    hint = f"did you mean {near[0]}?" if near else f"choose one of: {' '.join(COMMANDS)}"
    raise UserError(f"{first} is an unknown command: {hint}")


def console() -> None:
    """The console script `transferlab`."""
    status = signals.process(main)
    garbage.leave()
    sys.exit(status)


if __name__ == "__main__":
    console()
