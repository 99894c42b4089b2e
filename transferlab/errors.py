"""The ways in which a command can end other than well, each with its exit status.

Everybody may import this and it imports nothing, so that the front door can tell a user's mistake
(a message, no trace) from a defect of ours (a trace), whichever module found it.
"""


class UserError(ValueError):
    """A wrong value, file or place that the user can put right; the message says how."""

    exit_code = 2


class RunFailed(RuntimeError):
    """A run that was started and cannot be finished, a nan loss for instance."""

    exit_code = 1


class Interrupted(KeyboardInterrupt):
    """Stopped by a signal, with everything saved; the same command goes on from there.

    A `KeyboardInterrupt`, because no library on the way should take it for an error of its own.
    """

    exit_code = 75
