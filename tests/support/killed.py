"""A process that prepares a folder and kills itself at a chosen moment. For test_pipeline.

It works by itself: to start workers takes seconds, and they know nothing that could be lost.
"""

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from transferlab.data.datasets.prepared_record import Pixels


class Alone:
    """Runs the tasks in this process, in place of workers."""

    def __init__(self, jobs: int, function: Callable[[Any], Any], *, advice: str) -> None:
        self.function = function

    def __enter__(self) -> "Alone":
        return self

    def __exit__(self, *_: object) -> None: ...

    def each(self, tasks: Iterable[Any], **_: object) -> Iterator[tuple[Any, Any]]:
        return ((task, self.function(task)) for task in tasks)


def prepare(root: Path, dst: Path, pixels: Pixels, moment: str, count: int) -> None:
    """Prepare in chunks of four; die at the `count`-th occurrence of `moment`."""
    from support import trees

    from transferlab.data.prepare import chunks, finish, pipeline, workspace
    from transferlab.data.prepare.journal import Journal

    chunks.CHUNK = 4
    left = count
    add, record, publish = Journal.add, finish.finish, workspace.publish

    def reach(here: str) -> None:
        nonlocal left
        left -= here == moment
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def add_or_die(journal: Journal, *arguments: Any) -> None:
        reach("before a line")
        before = journal.file.tell()
        add(journal, *arguments)
        if moment == "within a line" and left == 1:
            journal.file.truncate(before + 40)
        reach("within a line")
        reach("after a line")

    def record_or_die(*arguments: Any) -> Any:
        reach("before the record")
        return record(*arguments)

    def publish_or_die(*arguments: Any) -> None:
        reach("before the rename")
        publish(*arguments)

    Journal.add = add_or_die  # type: ignore[method-assign]
    finish.finish, workspace.publish = record_or_die, publish_or_die
    pipeline.Workers = Alone  # type: ignore[assignment,misc]
    trees.prepare(root, dst, pixels)
