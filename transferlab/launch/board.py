"""How the carrying out of a plan is shown: a live table on a terminal, else a line an event."""

import logging
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from transferlab import store
from transferlab.experiment.plan import Node, Pack
from transferlab.launch.local import Progress, running
from transferlab.runtime import logs

log = logging.getLogger(__name__)
DRAW_S = 0.5  # between two looks at who is how far


class Board(AbstractContextManager["Board"]):
    """Tells of what happens, and on a terminal draws who works at what and how far it is."""

    def __init__(self) -> None:
        self.live: Live | None = None
        self.drawn = 0.0

    def __enter__(self) -> "Board":
        if logs.on_terminal():
            console = Console(stderr=True)
            self.live = Live(console=console, refresh_per_second=4, transient=True)
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.live is not None:
            self.live.stop()
            self.live = None

    def started(self, pack: Pack, progress: Progress) -> None:
        if self.live is None:
            log.info("%s  started", names(pack.nodes))

    def ended(self, pack: Pack, progress: Progress) -> None:
        for node in pack.nodes:
            if node.id in progress.done:
                result = store.read_result(store.locate(node.config, node.id))
                top1 = f"top-1 {result['metrics']['top1_final']:.4f}" if result else ""
                self._say(f"{node.label}  done  {top1}  {count(progress)}")
            elif node.id in progress.failed:
                self._say(f"{node.label}  FAILED: {progress.failed[node.id]}")
            else:
                self._say(f"{node.label}  interrupted")

    def blocked(self, pack: Pack, reason: str, progress: Progress) -> None:
        self._say(f"{names(pack.nodes)}  blocked: {reason}")

    def refresh(self, progress: Progress) -> None:
        if self.live is not None and time.monotonic() - self.drawn >= DRAW_S:
            self.live.update(table(progress))
            self.drawn = time.monotonic()

    def _say(self, line: str) -> None:
        if self.live is not None:  # the terminal breaks long lines, so that a path stays whole
            self.live.console.print(line, highlight=False, markup=False, soft_wrap=True)
        else:
            log.info("%s", line)


def table(progress: Progress) -> Group:
    """The count of all, and who works at what and how far that is."""
    lines = Table(box=None, pad_edge=False, expand=False)
    for title in ("runs", "", "step", "left"):
        lines.add_column(title, no_wrap=True)
    for pack, owner in running(progress):
        lines.add_row(names(pack.nodes), *_bar(owner))
    return Group(Text(count(progress), style="bold"), lines)


def count(progress: Progress) -> str:
    """`12 of 30 done, 14 running, 1 failed, 3 blocked`."""
    working = sum(len(worker.nodes) for worker in progress.running.values())
    parts = [f"{len(progress.done)} of {progress.total} done"]
    for number, word in (
        (working, "running"),
        (len(progress.failed), "failed"),
        (len(progress.blocked), "blocked"),
    ):
        if number:
            parts.append(f"{number} {word}")
    return ", ".join(parts)


def names(nodes: Sequence[Node]) -> str:
    """`A3B random0`; of a pack `A1B .. A7B random0 (7 runs)`."""
    split = nodes[0].config.split_label
    if len(nodes) == 1:
        return f"{nodes[0].label} {split}"
    return f"{nodes[0].label} .. {nodes[-1].label} {split} ({len(nodes)} runs)"


def _bar(owner: dict[str, Any]) -> tuple[Any, str, str]:
    step, total = owner.get("step"), owner.get("total_steps")
    if not isinstance(step, int) or not isinstance(total, int):
        return Text("starting"), "", ""
    bar, left_s = ProgressBar(total=total, completed=step, width=24), owner.get("left_s")
    left = logs.duration(left_s) if isinstance(left_s, int | float) else ""
    return bar, f"{step}/{total}", left
