"""Shows how a plan is carried out: bars on a terminal, elsewhere a log line for each event."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager

from transferlab import store
from transferlab.experiment import metrics
from transferlab.experiment.plan import Pack
from transferlab.experiment.run import Run
from transferlab.launch.local import Progress, running
from transferlab.runtime.progress import Bar, Display

log = logging.getLogger(__name__)


class Board(AbstractContextManager["Board"]):
    """Reports each event, and on a terminal draws the packs that are being trained."""

    def __init__(self) -> None:
        self.display = Display(log, log_bars=False)

    def __enter__(self) -> "Board":
        self.display.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self.display.__exit__(*exception)

    def started(self, pack: Pack, progress: Progress) -> None:
        if not self.display.on_terminal:
            log.info("%s  started", names(pack.runs))

    def ended(self, pack: Pack, progress: Progress) -> None:
        for run in pack.runs:
            if run.id in progress.done:
                result = store.read_result(run)
                reached = metrics.shown(result["metrics"]) if result else ""
                self.display.print(f"{run.label}  done  {reached}  {count(progress)}")
            elif run.id in progress.failed:
                self.display.print(f"{run.label}  FAILED: {progress.failed[run.id]}")
            else:
                self.display.print(f"{run.label}  interrupted")

    def blocked(self, pack: Pack, reason: str, progress: Progress) -> None:
        self.display.print(f"{names(pack.runs)}  blocked: {reason}")

    def refresh(self, progress: Progress) -> None:
        self.display.show(lambda: bars(progress), count(progress))


def bars(progress: Progress) -> Iterator[Bar]:
    """A bar for each pack that is being trained, as its owner reports it."""
    for pack, owner in running(progress):
        step, total, left_s = (owner.get(key) for key in ("step", "total_steps", "left_s"))
        if not (isinstance(step, int) and isinstance(total, int)):
            step, total = None, 0
        known = left_s if isinstance(left_s, int | float) else None
        yield Bar(names(pack.runs), step, total, left_s=known)


def count(progress: Progress) -> str:
    """`12 of 30 done, 14 running, 1 failed, 3 blocked`."""
    working = sum(len(worker.runs) for worker in progress.running.values())
    parts = [f"{len(progress.done)} of {progress.total} done"]
    for number, word in (
        (working, "running"),
        (len(progress.failed), "failed"),
        (len(progress.blocked), "blocked"),
    ):
        if number:
            parts.append(f"{number} {word}")
    return ", ".join(parts)


def names(runs: Sequence[Run]) -> str:
    """`A3B random0`; of a pack `A1B .. A7B random0 (7 runs)`."""
    split = runs[0].config.split_label
    if len(runs) == 1:
        return f"{runs[0].label} {split}"
    return f"{runs[0].label} .. {runs[-1].label} {split} ({len(runs)} runs)"
