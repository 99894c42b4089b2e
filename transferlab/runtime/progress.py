"""Progress of long work: bars on a terminal, elsewhere a log line at intervals.

Bars go to stderr; lines that are logged meanwhile stand above them.
"""

import logging
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from transferlab.runtime import logs
from transferlab.runtime.escapes import escaped

DRAW_S = 0.5  # between two reads of the numbers, which may be in files or on a device
LOG_S = 10.0  # between two lines of a log


@dataclass(frozen=True)
class Bar:
    """One piece of work: `done` of `total` units, None before it has started.

    `unit` names them in a log; `notes` follow the numbers, `25 images/s` for instance.
    """

    name: str
    done: int | None
    total: int
    unit: str = ""
    notes: str = ""
    left_s: float | None = None

    @property
    def remarks(self) -> str:
        """`25 images/s  0:20 left`: the notes and, once it is known, the time left."""
        left = "" if self.left_s is None else f"{logs.duration(self.left_s)} left"
        return "  ".join(filter(None, (self.notes, left)))

    @property
    def line(self) -> str:
        """`mean image: 500 of 1000 images  25 images/s  0:20 left`."""
        count = f"{self.name}: {self.done or 0} of {self.total} {self.unit}".rstrip()
        return "  ".join(filter(None, (count, self.remarks)))


class Rate:
    """The speed of a growing count, measured from the first call on: earlier units and the time to
    start do not count."""

    def __init__(self) -> None:
        self.first: tuple[int, float] | None = None
        self.per_s: float | None = None

    def update(self, count: int) -> float | None:
        """Units per second; None until the count has grown."""
        now = time.monotonic()
        if self.first is None:
            self.first = count, now
        grown = count - self.first[0]
        self.per_s = grown / max(now - self.first[1], 1e-6) if grown else None
        return self.per_s

    def left_s(self, remaining: int) -> float | None:
        """The seconds that the remaining units take at this speed."""
        return None if self.per_s is None else remaining / self.per_s


class Display(AbstractContextManager["Display"]):
    """Shows bars while it is open.

    `log_bars`: where stderr is no terminal, log them at intervals. `keep`: leave them on the
    terminal at the end.
    """

    def __init__(self, log: logging.Logger, *, log_bars: bool = True, keep: bool = False) -> None:
        self.log, self.log_bars, self.keep = log, log_bars, keep
        self.live: Any = None
        self.bars: Callable[[], Iterable[Bar]] | None = None
        self.title = ""
        self.shown = time.monotonic()

    def __enter__(self) -> "Display":
        if logs.on_terminal():
            from rich.console import Console
            from rich.live import Live

            self.live = Live(console=Console(stderr=True), transient=not self.keep)
            self.live.start()
            self.shown -= DRAW_S  # the first bars are drawn immediately
        return self

    def __exit__(self, *_: object) -> None:
        if self.live is not None:
            if self.keep:
                self._draw()
            self.live.stop()
            self.live = None

    @property
    def on_terminal(self) -> bool:
        """Whether there is a terminal to draw on."""
        return self.live is not None

    def show(self, bars: Callable[[], Iterable[Bar]], title: str = "") -> None:
        """Draw or log the bars, unless that was done a moment ago: then `bars` is not called."""
        self.bars, self.title = bars, title
        if not (self.on_terminal or self.log_bars):
            return
        if time.monotonic() - self.shown < (DRAW_S if self.on_terminal else LOG_S):
            return
        self.shown = time.monotonic()
        if self.on_terminal:
            self._draw()
            return
        for bar in bars():
            self.log.info("%s", bar.line)

    def print(self, line: str) -> None:
        """Print a line above the bars, or log it.

        The terminal breaks it, not rich, so that a path in it can be copied.
        """
        if self.on_terminal:
            self.live.console.print(escaped(line), highlight=False, markup=False, soft_wrap=True)
        else:
            self.log.info("%s", line)

    def _draw(self) -> None:
        if self.bars is not None:
            self.live.update(drawing(self.bars(), self.title))


def drawing(bars: Iterable[Bar], title: str = "") -> Any:
    """The rich renderable: the title, then a line for each bar."""
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    lines = Table.grid(padding=(0, 2, 0, 0), pad_edge=False, expand=True)
    for ratio in (None, 1, None, None):  # the bars fill the width that the texts leave
        lines.add_column(no_wrap=True, ratio=ratio)
    for bar in bars:
        name = Text(escaped(bar.name))
        if bar.done is None:
            lines.add_row(name, Text("starting"))
            continue
        drawn = ProgressBar(total=max(bar.total, 1), completed=bar.done)
        count, remarks = f"{bar.done}/{bar.total}", Text(escaped(bar.remarks))
        lines.add_row(name, drawn, count, remarks)
    return Group(Text(escaped(title), style="bold"), lines) if title else lines
