"""From a folder of images to prepared data: the steps in their order, and how they resume."""

import contextlib
import logging
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import IO

from transferlab.data import waiting
from transferlab.data.datasets import folder
from transferlab.data.datasets.folder import Index
from transferlab.data.datasets.prepared_record import (
    IMAGES,
    Pixels,
    PreparedRecord,
    PrepareSettings,
)
from transferlab.data.prepare import OUT, chunks, finish, space, workspace
from transferlab.data.prepare.chunks import Chunk, ChunkEntry, ChunkTask
from transferlab.data.prepare.finish import UnreadableFile
from transferlab.data.prepare.journal import Journal
from transferlab.data.prepare.space import ChunkWorkers
from transferlab.data.workers import Workers
from transferlab.errors import Interrupted, RunFailed, UserError
from transferlab.runtime import folders, signals
from transferlab.runtime.files import explained, open_update
from transferlab.runtime.progress import Bar, Display, Rate
from transferlab.runtime.signals import StopRequest

log = logging.getLogger(__name__)
ADVICE = "finished images are kept; run the command again, with fewer --jobs if this happens again"
LEAVE_S = 10.0  # for the images that were begun to be finished after a signal
NAMED = 20  # unreadable files that are named; further ones are counted


@dataclass(frozen=True)
class Preparation:
    """The prepared data. made: how many images this call decoded, in `time_s`."""

    record: PreparedRecord
    made: int
    time_s: float


def prepare(
    root: Path,
    out: Path,
    pixels: Pixels,
    *,
    val: str | None,
    holdout: float | None,
    jobs: int,
    skip_unreadable: bool,
) -> Preparation:
    """Decode and resize all images below `root` into `out`, or resume that.

    Raises: UserError, RunFailed if files cannot be read, Interrupted; finished images are kept.
    """
    start, out = time.monotonic(), out.resolve()  # a link is followed, not replaced
    index = folder.scan(str(root), val, holdout)
    _require_outside(out, index)
    settings = PrepareSettings(pixels, val, holdout, workspace.listing(index))
    if (record := workspace.finished(out, settings, index.digest)) is not None:
        workspace.tidy(out)
        return Preparation(record, 0, 0.0)
    with workspace.hold(out, settings) as hold, signals.watch() as request, request.deferred():
        partial = hold.path.parent
        with contextlib.closing(Journal(partial / workspace.JOURNAL)) as journal:
            made = _Making(partial, index, pixels, journal, request).make_all(jobs)
            unreadable = finish.unreadable_files(index, journal)
            finish.write_unreadable(partial, unreadable)
            _report(unreadable, partial, skip_unreadable)
            record = finish.finish(partial, index, journal, settings, root)
        workspace.publish(hold, out)
    return Preparation(record, made, time.monotonic() - start)


def _require_outside(out: Path, index: Index) -> None:
    for files in index.subsets.values():
        if out.is_relative_to(files.folder.resolve()):
            raise UserError(
                f"--out {out} is inside {files.folder}, whose folders are the classes: "
                "choose another folder"
            )


def _report(unreadable: list[UnreadableFile], partial: Path, skip: bool) -> None:
    """Name the files that cannot be read. Raises: RunFailed unless they may be left out."""
    for each in unreadable[:NAMED]:
        log.warning("unreadable: %s: %s", each.file, each.reason)
    if len(unreadable) > NAMED:
        log.warning("and %d more", len(unreadable) - NAMED)
    if unreadable and not skip:
        raise RunFailed(
            f"{len(unreadable)} files cannot be read, listed in {partial / finish.UNREADABLE}: "
            "repair them and run the command again, or leave them out with --skip-unreadable"
        )


@dataclass(frozen=True)
class _Making:
    """Makes all images in the folder `partial`."""

    partial: Path
    index: Index
    pixels: Pixels
    journal: Journal
    request: StopRequest

    def make_all(self, jobs: int) -> int:
        """Make every chunk that is missing; returns how many images that were.

        Raises: Interrupted; RunFailed if a worker dies, UserError if the disk is too small.
        """
        pool: ChunkWorkers = Workers(jobs, chunks.make, advice=ADVICE)
        with self._targets() as targets, pool as workers:
            self._require_space(workers)
            tasks = (
                ChunkTask(
                    chunk, self.pixels, targets[chunk.subset].name, self.journal.known(chunk.key)
                )
                for chunk in chunks.chunks(self.index)
            )
            done, made, rate = 0, 0, Rate()

            def bars() -> list[Bar]:
                notes = "" if rate.per_s is None else f"{rate.per_s:.0f} images/s"
                left_s = rate.left_s(self._total - done)
                return [Bar("preparing", done, self._total, "images", notes, left_s)]

            with Display(log) as display:
                slices = partial(waiting.slices, self._leave)
                for task, result in workers.each(tasks, stop=self._is_stopped, slices=slices):
                    count = len(task.chunk.names)
                    if result is not None:
                        self._keep(task.chunk, *result, targets[task.chunk.subset])
                        made += count
                        rate.update(made)
                    done += count
                    display.show(bars)
        self._raise_if_stopped()
        return made

    @contextlib.contextmanager
    def _targets(self) -> Iterator[dict[str, IO[bytes]]]:
        """The image files of both subsets: raw in full length, JPEGs as far as they are journaled.

        Raises: UserError if they are not as they were left.
        """
        targets: dict[str, IO[bytes]] = {}
        with contextlib.ExitStack() as stack:
            for subset, files in self.index.subsets.items():
                path = self.partial / subset / IMAGES[self.pixels.codec]
                raw_bytes = len(files.labels) * self.pixels.size**2 * 3
                raw = self.pixels.codec == "raw"
                length = raw_bytes if raw else self.journal.end(subset)
                begun = any(key[0] == subset for key in self.journal.entries)
                if begun and (not path.exists() or path.stat().st_size < length):
                    raise UserError(f"{path} is damaged: delete {self.partial} to start over")
                with explained(path, OUT):
                    folders.make(path.parent)
                    target = stack.enter_context(open_update(path))
                    target.truncate(length)
                    target.seek(length)
                targets[subset] = target
            yield targets

    def _require_space(self, workers: ChunkWorkers) -> None:
        needed = space.needed(self.index, self.pixels, workers)
        self._raise_if_stopped()
        free = space.require(self.partial, needed)
        log.info(
            "%d images as %s of %d pixels: need %s, %s free",
            *(self._total, self.pixels.codec, self.pixels.size),
            *(space.text(needed), space.text(free)),
        )

    def _keep(self, chunk: Chunk, entry: ChunkEntry, content: bytes, target: IO[bytes]) -> None:
        """Append a chunk's JPEGs to their file, unless it has them already; then journal it."""
        earlier = self.journal.entries.get(chunk.key)
        if earlier is not None and earlier.sha256 == entry.sha256:
            start = earlier.start
        else:
            start = target.tell()
            with explained(Path(target.name), OUT):
                target.write(content)
                target.flush()
                os.fsync(target.fileno())
        self.journal.add(chunk.key, replace(entry, start=start))

    @property
    def _total(self) -> int:
        return sum(len(files.labels) for files in self.index.subsets.values())

    def _is_stopped(self) -> bool:
        return self.request.number is not None

    def _leave(self, waited: float) -> None:
        """Raises: Interrupted if images that were begun do not end, some time after a signal."""
        if waited >= LEAVE_S:
            self._raise_if_stopped()

    def _raise_if_stopped(self) -> None:
        if self.request.number is not None:
            done = min(self._total, chunks.CHUNK * len(self.journal.entries))
            raise Interrupted(
                f"stopped by {signal.Signals(self.request.number).name}: about {done} of "
                f"{self._total} images are finished and kept in {self.partial}"
            )
