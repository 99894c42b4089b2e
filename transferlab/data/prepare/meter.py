"""How far the preparing is: a bar on a terminal, elsewhere a line now and then."""

import logging
import time
from contextlib import AbstractContextManager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from transferlab.runtime import logs

log = logging.getLogger(__name__)
EVERY_S = 10.0


class Meter(AbstractContextManager["Meter"]):
    """Counts images of `total`: those that are made, and those kept from before.

    `doing` says on a terminal what is done with them.
    """

    def __init__(self, total: int, doing: str = "preparing") -> None:
        self.total, self.doing, self.made, self.kept = total, doing, 0, 0
        self.first = 0  # images of the first chunk that was made, at `start`
        self.start: float | None = None
        self.said = time.monotonic()
        self.bar: Progress | None = None

    def __enter__(self) -> "Meter":
        if logs.on_terminal():
            self.bar = Progress(
                TextColumn(self.doing),
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
    def rate(self) -> float | None:
        """Images made each second since the first chunk was, None until then.

        What was kept does not count, and neither does the start of the workers, who load torch.
        """
        if self.start is None or self.made == self.first:
            return None
        return (self.made - self.first) / max(time.monotonic() - self.start, 1e-6)

    def count(self, images: int, *, kept: bool) -> None:
        """So many more are done."""
        if kept:
            self.kept += images
        else:
            self.made += images
            if self.start is None:
                self.first, self.start = images, time.monotonic()
        rate = self.rate
        if self.bar is not None:
            self.bar.update(self.task, completed=self.done, rate=f"{rate:.0f}" if rate else "-")
        elif time.monotonic() - self.said >= EVERY_S:
            self.said = time.monotonic()
            speed = ""
            if rate is not None:
                left = logs.duration((self.total - self.done) / rate)
                speed = f"  {rate:.0f} images/s  {left} left"
            log.info("%d of %d images%s", self.done, self.total, speed)
