"""The ways in which a command can fail, each with its exit status.

Every room may import this module, which imports nothing. `__main__` shows a user's mistake as a
message and a bug of ours as a traceback, whichever module raised it.
"""

from collections.abc import Iterable


class UserError(ValueError):
    """A wrong value, file or folder that the user can correct; the message says how.

    `lines` follow the message, such as the things to choose from.
    """

    exit_code = 2

    def __init__(self, message: str, lines: Iterable[str] = ()) -> None:
        self.lines = (message, *lines)
        super().__init__("\n".join(self.lines))


class RunFailed(RuntimeError):
    """A run that was started and cannot be finished, a nan loss for instance."""

    exit_code = 1


class Interrupted(KeyboardInterrupt):
    """Stopped by a signal. `advice` follows the reason: most commands have saved everything.

    A `KeyboardInterrupt`, so that no library in between handles it as an error of its own.
    """

    exit_code = 75

    def __init__(self, reason: str, advice: str = "run the command again to resume") -> None:
        super().__init__(reason)
        self.advice = advice
