"""Log messages on stderr and in the run's log.txt.

Commands and the processes of a run set this up; library modules only log.
"""

import contextlib
import io
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, TextIO

from transferlab.runtime import files
from transferlab.runtime.escapes import escaped

ROOT = "transferlab"
# Records with this attribute are not shown on a terminal, which has a progress bar instead
FOR_FILES = {"for_files": True}
ONLY_FILES = {"only_files": True}  # and records with this one only in files


def to_stderr() -> None:
    """Show the package's INFO messages on stderr; further calls do nothing."""
    root = logging.getLogger(ROOT)
    root.setLevel(logging.INFO)
    root.propagate = False
    if not root.handlers:
        handler = _Stderr()
        handler.setFormatter(_Lines("%(message)s"))
        handler.addFilter(
            lambda record: (
                not hasattr(record, "only_files")
                and not (on_terminal() and hasattr(record, "for_files"))
            )
        )
        root.addHandler(handler)


@contextlib.contextmanager
def to_file(path: Path) -> Iterator[None]:
    """Append log messages with times to `path`, inside the block.

    Raises: UserError if it cannot be opened.
    """
    with files.explained(path):
        handler = _File(files.open_append(path))
    handler.setFormatter(_Lines("%(asctime)s %(levelname)s %(message)s"))
    root = logging.getLogger(ROOT)
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        handler.close()


class _Lines(logging.Formatter):
    """A message in one line, and below it the lines of a traceback, with escapes in both."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return escaped(super().formatMessage(record))

    def formatException(self, error: Any) -> str:
        return "\n".join(map(escaped, super().formatException(error).split("\n")))


class _Stderr(logging.StreamHandler[TextIO]):
    """Writes to the current sys.stderr, which a live display may have replaced."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stderr

    def handleError(self, record: logging.LogRecord) -> None:
        """Ignored where stderr cannot be written: nobody would read of it."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)


class _File(logging.StreamHandler[TextIO]):
    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(io.TextIOWrapper(file, encoding="utf-8"))

    def close(self) -> None:
        with contextlib.suppress(OSError):  # as `handleError`
            self.stream.close()
        super().close()

    def handleError(self, record: logging.LogRecord) -> None:
        """Ignored: a full disk is reported where a file that matters cannot be written."""


def on_terminal() -> bool:
    """True if stderr is a terminal, where a progress bar can be drawn."""
    return sys.stderr.isatty()


def duration(seconds: float) -> str:
    """`0:42`, `1:02:03`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
