"""How a task ended: the one judgement of what stopped it, from every trace that it left.

The traces are the exit status of its worker or the signal that killed it, the signals that `work`
received, and the state that SLURM reports. A task that was asked to stop has not failed, whichever
of its processes the signal reached first.
"""

import re
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from transferlab.errors import Interrupted, RunFailed
from transferlab.runtime import signals

CANCELLED, STOPPED, OUT_OF_TIME = "cancelled", "stopped", "reached its time limit"
# What SLURM says of a job that it asked to stop
CAUSES = {
    "CANCELLED": CANCELLED,
    "PREEMPTED": "preempted",
    "TIMEOUT": OUT_OF_TIME,
    "DEADLINE": OUT_OF_TIME,
}
# Endings that the process of a job cannot record
ABNORMAL = ("OUT_OF_MEMORY", "NODE_FAIL", "BOOT_FAIL")


@dataclass(frozen=True)
class Ending:
    """How a worker ended: its exit status, or the signal that killed it as a negative number.

    `asked`: it was asked to stop before.
    """

    code: int
    asked: bool = False

    @property
    def good(self) -> bool:
        return self.code == 0

    @property
    def interrupted(self) -> bool:
        """It stopped on request: it saved, or a signal reached it before it had anything to save
        or, SIGKILL, after the time that SLURM gives it."""
        on_request = (Interrupted.exit_code, *(-number for number in signals.WATCHED))
        return self.code in on_request or (self.asked and self.code == -signal.SIGKILL)

    @property
    def status(self) -> int:
        """The exit status with which the supervisor reports this ending."""
        if self.interrupted:
            return Interrupted.exit_code
        return self.code if self.code >= 0 else RunFailed.exit_code

    @property
    def noted(self) -> int:
        """What the task's note keeps: `code`, but that of an interruption if it is one."""
        return Interrupted.exit_code if self.interrupted else self.code

    @property
    def message(self) -> str:
        """`exit status 1`, or the signal that killed it."""
        if self.code >= 0:
            return f"exit status {self.code}"
        known = {number.value: number.name for number in signal.Signals}
        hint = ", perhaps out of memory" if -self.code == signal.SIGKILL else ""
        return f"killed by {known.get(-self.code, f'signal {-self.code}')}{hint}"


def cause(note: Mapping[str, Any], report: str) -> str | None:
    """What asked a task to stop that is no longer in the queue; None if nothing did.

    `note` is the task's; `report` is how it ended by SLURM's account, such as `FAILED 0:15`, empty
    if that is unknown.
    """
    word = report.partition(" ")[0]
    if word in CAUSES:
        return CAUSES[word]
    code, received = note.get("code"), set(note.get("signals") or ())
    interrupted = isinstance(code, int) and Ending(code).interrupted
    if killer := _killer(report):  # the shell of the job's script, or `work` while it started
        return CANCELLED if killer != signal.SIGUSR1 else STOPPED
    if not interrupted and not (code is None and received):
        return None
    return CANCELLED if received - {signal.SIGUSR1.name} else STOPPED


def failures(note: Mapping[str, Any], report: str, *, explained: bool) -> list[str]:
    """Why a task that nothing asked to stop has failed, by its exit status and SLURM's account.

    `explained`: its run recorded an error, to which a plain `FAILED` adds nothing.
    """
    code, reasons = note.get("code"), []
    if report.partition(" ")[0] in ABNORMAL:
        reasons.append(f"SLURM reports {report}")
    if isinstance(code, int) and code != 0 and not Ending(code).interrupted:
        reasons.append(Ending(code).message)
    elif report.startswith("FAILED") and not explained and cause(note, report) is None:
        reasons.append(f"SLURM reports {report}")
    return reasons


def _killer(report: str) -> signal.Signals | None:
    """Which of the watched signals killed the script of a job: `FAILED 0:15`."""
    match = re.fullmatch(r"FAILED 0:(\d+)", report)
    return next((each for each in signals.WATCHED if match and each == int(match[1])), None)
