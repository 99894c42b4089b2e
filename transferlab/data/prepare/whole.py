"""From a folder of images to prepared data: what is done in which order, and gone on with."""

import contextlib
import logging
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from transferlab.data.datasets import folder, prepared
from transferlab.data.datasets.folder import Index
from transferlab.data.datasets.prepared import Pixels, Record
from transferlab.data.prepare import OUT, chunks, finish, space, workplace
from transferlab.data.prepare.chunks import Chunk, Made
from transferlab.data.prepare.crew import Crew
from transferlab.data.prepare.finish import Unreadable
from transferlab.data.prepare.journal import Journal
from transferlab.data.prepare.meter import Meter
from transferlab.data.prepare.workplace import Settings
from transferlab.errors import Interrupted, RunFailed, UserError
from transferlab.runtime import signals
from transferlab.runtime.files import explained
from transferlab.runtime.signals import StopRequest

log = logging.getLogger(__name__)
NAMED = 20  # unreadable files that are named, before they are only counted


@dataclass(frozen=True)
class Outcome:
    """What there is now. made: how many images this call has decoded, in `time_s`."""

    record: Record
    made: int
    time_s: float


def prepare(
    root: Path,
    dst: Path,
    pixels: Pixels,
    *,
    val: str | None,
    holdout: float | None,
    jobs: int,
    skip_unreadable: bool,
) -> Outcome:
    """Decode and resize all images below `root` into `dst`, or go on with that.

    Raises: UserError, RunFailed if files cannot be read, Interrupted; what is done is kept.
    """
    start, dst = time.monotonic(), dst.resolve()  # a link is not replaced, but followed
    index = folder.scan(str(root), val, holdout)
    _require_outside(dst, index)
    settings = Settings(pixels, val, holdout, workplace.listing(index))
    if (record := workplace.finished(dst, settings)) is not None:
        workplace.tidy(dst)
        return Outcome(record, 0, 0.0)
    with workplace.hold(dst, settings) as place, signals.watch() as request, request.deferred():
        with contextlib.closing(Journal(place / workplace.JOURNAL)) as journal:
            with _targets(place, index, pixels, journal) as targets:
                made = _make_all(place, index, pixels, journal, targets, jobs, request)
            left_out = finish.unreadable(index, journal)
            finish.write_unreadable(place, left_out)
            _tell(left_out, place, skip_unreadable)
            record = finish.finish(place, index, journal, settings, root)
        workplace.publish(place, dst)
    return Outcome(record, made, time.monotonic() - start)


def _require_outside(dst: Path, index: Index) -> None:
    for place in (index.train.folder, index.val.folder):
        if dst.is_relative_to(place.resolve()):
            raise UserError(
                f"--out {dst} is inside {place}, whose folders are the classes: "
                "choose another place"
            )


@contextlib.contextmanager
def _targets(
    place: Path, index: Index, pixels: Pixels, journal: Journal
) -> Iterator[dict[str, IO[bytes]]]:
    """The files of both subsets' images: raw in full length, JPEGs as far as they are journaled.

    Raises: UserError if they are not as they were left.
    """
    with contextlib.ExitStack() as stack:
        targets: dict[str, IO[bytes]] = {}
        for name, files in (("train", index.train), ("val", index.val)):
            path = place / name / prepared.IMAGES[pixels.codec]
            raw_bytes = len(files.labels) * pixels.size**2 * 3
            length = raw_bytes if pixels.codec == "raw" else journal.end(name)
            begun = any(subset == name for subset, _ in journal.entries)
            if begun and (not path.exists() or path.stat().st_size < length):
                raise UserError(f"{path} is damaged: delete {place} to begin anew")
            with explained(path, OUT):
                path.parent.mkdir(exist_ok=True)
                target = stack.enter_context(path.open("r+b" if path.exists() else "w+b"))
                target.truncate(length)
                target.seek(length)
            targets[name] = target
        yield targets


def _make_all(
    place: Path,
    index: Index,
    pixels: Pixels,
    journal: Journal,
    targets: dict[str, IO[bytes]],
    jobs: int,
    request: StopRequest,
) -> int:
    """Make every chunk that is not there; how many images that were.

    Raises: Interrupted; RunFailed if a worker dies, UserError if the disk is too small.
    """
    total = len(index.train.labels) + len(index.val.labels)
    with Crew(jobs, lambda: request.number is not None) as crew:
        need = space.need(index, pixels, crew)
        _stop_if_asked(request, place, journal, total)
        free = space.require(place, need)
        log.info(
            "%d images as %s of %d pixels: need %s, %s free",
            *(total, pixels.codec, pixels.size, space.size(need), space.size(free)),
        )
        tasks = (
            chunks.Task(chunk, pixels, targets[chunk.subset].name, journal.known(chunk.key))
            for chunk in chunks.chunks(index)
        )
        with Meter(total) as meter:
            for task, made in crew.each(chunks.make, tasks):
                if made is not None:
                    _keep(task.chunk, made, targets[task.chunk.subset], journal)
                meter.count(len(task.chunk.names), kept=made is None)
    _stop_if_asked(request, place, journal, total)
    return meter.made


def _keep(chunk: Chunk, made: Made, target: IO[bytes], journal: Journal) -> None:
    """Add a chunk's JPEGs to their file, unless they are there from before; then journal it."""
    before = journal.entries.get(chunk.key)
    if before is not None and before.sha256 == made.sha256:
        journal.add(chunk.key, made, before.start)
        return
    start = target.tell()
    if made.content:
        with explained(Path(target.name), OUT):
            target.write(made.content)
            target.flush()
            os.fsync(target.fileno())
    journal.add(chunk.key, made, start)


def _stop_if_asked(request: StopRequest, place: Path, journal: Journal, total: int) -> None:
    if request.number is not None:
        done = min(total, chunks.CHUNK * len(journal.entries))
        raise Interrupted(
            f"stopped by {signal.Signals(request.number).name}: about {done} of {total} images "
            f"are done and kept in {place}"
        )


def _tell(left_out: list[Unreadable], place: Path, skip: bool) -> None:
    """Name the files that cannot be read. Raises: RunFailed unless they may be left out."""
    for one in left_out[:NAMED]:
        log.warning("unreadable: %s: %s", one.file, one.reason)
    if len(left_out) > NAMED:
        log.warning("and %d more", len(left_out) - NAMED)
    if left_out and not skip:
        raise RunFailed(
            f"{len(left_out)} of the files cannot be read, all in {place / finish.UNREADABLE}: "
            "mend them and give the same command, or leave them out with --skip-unreadable"
        )
