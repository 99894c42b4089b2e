"""What a command prints: on stdout what was asked for or an account of what was done, on stderr
everything else.

A stream may fail: its reader has left, its disk is full, its terminal is gone. That stops no work
and prints no trace. Where what was asked for is lost, the command fails. Control characters in
names are shown as escapes, and so is what the encoding of a stream lacks.
"""

import contextlib
import errno
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any, TextIO

from transferlab.runtime.escapes import escaped

CLEAR = "\x1b[2J\x1b[H"  # the screen of a terminal, and its cursor at the top


class OutputLost(RuntimeError):
    """What a command was asked for cannot be printed; without a message if its reader has left."""

    exit_code = 1

    def __init__(self, error: OSError) -> None:
        super().__init__("" if left(error) else f"stdout cannot be written: {error.strerror}")


class Outlet:
    """Stands in for stdout or stderr, and raises nothing where writing fails.

    `error` is the first failure. After it stdout is not written any more, since a reader cannot
    know what is missing; stderr is, since a full disk may have room again. `missing`: whether
    something that was asked for is lost, rather than only a report. Characters that the stream's
    encoding lacks are written as escapes.
    """

    def __init__(self, stream: TextIO | None, *, persistent: bool) -> None:
        self.persistent = persistent
        self.error: OSError | None = None
        self.missing = self.reporting = False
        self.absent = stream is None  # closed before the interpreter started
        if self.absent:
            self.error = OSError(errno.EBADF, os.strerror(errno.EBADF))
        self.stream = stream or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  until `end`

    def write(self, text: str) -> int:
        if self.error is None or self.persistent:
            encoding = self.stream.encoding or "utf-8"
            text = text.encode(encoding, "backslashreplace").decode(encoding)
            self._try(lambda: self.stream.write(text))
        self.missing |= self.error is not None and not self.reporting
        return len(text)

    def flush(self) -> None:
        if self.error is None or self.persistent:
            self._try(self.stream.flush)
            self.missing |= self.error is not None and not self.reporting

    def end(self) -> None:
        """Flush, and drop what cannot be written, or the interpreter would fail at its exit."""
        self.flush()
        if self.absent:
            self.stream.close()
        elif self.error is not None:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self.stream.fileno())
            os.close(null)

    def _try(self, action: Any) -> None:
        try:
            action()
        except OSError as error:
            self.error = self.error or error

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextlib.contextmanager
def guarded() -> Iterator[Outlet]:
    """Inside the block stdout and stderr stop nothing by failing; yields stdout."""
    if isinstance(sys.stdout, Outlet):
        yield sys.stdout
        return
    before = sys.stdout, sys.stderr
    out, err = Outlet(sys.stdout, persistent=False), Outlet(sys.stderr, persistent=True)
    sys.stdout, sys.stderr = out, err  # type: ignore[assignment]
    try:
        yield out
    finally:
        out.end()
        err.end()
        sys.stdout, sys.stderr = before


def show(*lines: str) -> None:
    """Print what the command was asked for. Raises: OutputLost if stdout cannot be written."""
    with guarded() as stdout:
        _print(lines, sys.stdout)
        check(stdout)


def redraw(*lines: str) -> None:
    """The same in place of all that is on the terminal."""
    sys.stdout.write(CLEAR)
    show(*lines)


def show_bytes(content: bytes) -> None:
    """The same in a binary format."""
    try:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    except OSError as error:
        raise OutputLost(error) from error


def report(*lines: str) -> None:
    """Print an account of what was done, which stays done if stdout cannot be written."""
    with guarded() as stdout:
        stdout.reporting = True
        _print(lines, sys.stdout)
        stdout.reporting = False


def note(*lines: str) -> None:
    """Print lines on stderr."""
    with guarded():
        _print(lines, sys.stderr)


def _print(lines: Sequence[str], stream: TextIO) -> None:
    """Each in a line of its own, whatever characters are in it."""
    if lines:
        print("\n".join(map(escaped, lines)), file=stream, flush=True)


def check(stdout: Outlet) -> None:
    """Raises: OutputLost if something that was asked for could not be printed."""
    stdout.flush()
    if stdout.missing:
        assert stdout.error is not None
        raise OutputLost(stdout.error)


def left(error: OSError) -> bool:
    """Whether the reader of a stream has left, as `head` does when it has seen enough."""
    return error.errno == errno.EPIPE
