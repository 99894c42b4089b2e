"""SIGINT, SIGTERM, SIGUSR1, SIGHUP: stop immediately, or in training after the current step.

The only signal handler of a process, from its first line to its last. It replaces Lightning's, with
which a single SIGTERM ends a half-trained run with exit status 0. SIGTERM comes from `kill`, and
from SLURM when a job is cancelled, perhaps after another signal; SIGUSR1 from a launcher, and from
SLURM ahead of a time limit; SIGHUP when a terminal closes. They may be repeated or come together,
so only a second Ctrl-C, which is a person at a terminal, forces an immediate stop.
"""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

from transferlab.errors import Interrupted

WATCHED = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)


class StopRequest:
    """Whether this process was asked to stop. Installed with `watch`."""

    def __init__(self, *, only_note: bool = False) -> None:
        self.number: int | None = None
        self.insisted = False  # after a SIGINT the next does not wait
        self.deferring = False
        self.only_note = only_note  # in one of several processes, of which the first decides

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """The signal handler. A second SIGINT stops immediately, and none after it."""
        repeated = self.insisted and number == signal.SIGINT
        self.insisted |= number == signal.SIGINT
        again, self.number = self.number is not None, number
        for child in multiprocessing.active_children():
            if child.pid is not None and not child.daemon:  # of several devices; not a loader's
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child.pid, signal.SIGTERM)
        if again and not repeated:
            return  # the first is being handled
        if not self.only_note and (repeated or not self.deferring):
            self.only_note = repeated  # so that the cleaning-up cannot be interrupted for ever
            raise Interrupted(f"stopped by {signal.Signals(number).name}")

    def install(self) -> None:
        """Take over the watched signals, and receive those that were held back until now; a no-op
        outside the main thread. A process started with `nohup` goes on ignoring SIGHUP."""
        if threading.current_thread() is threading.main_thread():
            for number in WATCHED:
                if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                    signal.signal(number, self)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, WATCHED)

    def check(self) -> None:
        """Raises: Interrupted if a stop was requested while that was deferred."""
        if self.number is not None:
            raise Interrupted(f"stopped by {signal.Signals(self.number).name}")

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """Inside the block a first signal only sets `number`, which the code must check."""
        before, self.deferring = self.deferring, True
        try:
            yield
        finally:
            self.deferring = before


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Hold the watched signals back: in this block until its end, and in a process that is started
    in it until that installs its own handlers, so that none of them meets a default handler."""
    old = signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old)


@contextlib.contextmanager
def watch() -> Iterator[StopRequest]:
    """Handle the watched signals, and restore the old handlers at the end. Within another `watch`
    it is the same request: a process is stopped once."""
    current = signal.getsignal(signal.SIGTERM)
    if isinstance(current, StopRequest):
        yield current
        return
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    old = {number: signal.getsignal(number) for number in WATCHED}
    request.install()
    try:
        yield request
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def process(main: Callable[[], int]) -> int:
    """The exit status of `main`, which is all that a process does. Signals are handled while it
    runs, and ignored from its end on: the status is that of `main`, and not that of a signal
    which comes while the interpreter shuts down. A process that was started with signals held back
    receives them when `main` installs its own handlers."""
    if not signal.pthread_sigmask(signal.SIG_BLOCK, []) & set(WATCHED):
        StopRequest().install()
    status: int | None = None
    while True:  # at most twice more: a request raises for the first signal and for one repetition
        try:
            status = main() if status is None else status
            ignore()
            return status
        except KeyboardInterrupt:
            status = Interrupted.exit_code if status is None else status
        except SystemExit:  # argparse has printed
            ignore()
            raise


def ignore() -> None:
    """Ignore the watched signals: at the end of a process, and in one whose parent handles them."""
    for number in WATCHED:
        signal.signal(number, signal.SIG_IGN)
