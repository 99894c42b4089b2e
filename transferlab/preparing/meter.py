"""How far the preparing is: a bar on a terminal, elsewhere a line now and then."""

import logging
import time
from contextlib import AbstractContextManager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from transferlab import logs

log = logging.getLogger(__name__)
EVERY_S = 10.0


class Meter(AbstractContextManager["Meter"]):
    """Counts images of `total`: those that are made, and those kept from before."""

    def __init__(self, total: int) -> None:
        self.total, self.made, self.kept = total, 0, 0
        self.start = self.said = time.monotonic()
        self.bar: Progress | None = None

    def __enter__(self) -> "Meter":
        if logs.on_terminal():
            self.bar = Progress(
                TextColumn("preparing"),
                BarColumn(bar_width=None),
                TextColumn("{task.completed:.0f}/{task.total:.0f}"),
                TextColumn("{task.fields[rate]} images/s"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self.task = self.bar.add_task("", total=self.total, rate="-")
            self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.stop()
            self.bar = None

    @property
    def done(self) -> int:
        return self.made + self.kept

    @property
    def rate(self) -> float:
        """Images made each second; what was kept does not count."""
        return self.made / max(time.monotonic() - self.start, 1e-6)

    def count(self, images: int, *, kept: bool) -> None:
        """So many more are done."""
        if kept:
            self.kept += images
        else:
            self.made += images
        if self.bar is not None:
            self.bar.update(self.task, completed=self.done, rate=f"{self.rate:.0f}")
        elif time.monotonic() - self.said >= EVERY_S and self.made:
            self.said = time.monotonic()
            left = logs.duration((self.total - self.done) / self.rate)
            log.info(
                "%d of %d images  %.0f images/s  %s left", self.done, self.total, self.rate, left
            )
