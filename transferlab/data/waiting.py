"""Waiting for images: in short slices, reported when it is long, and with a limit.

A disk in the network may stop answering without an error, for minutes while a server restarts, or
for ever; a read then ends neither by itself nor by a signal. A slice is as long as a request to
stop may be overlooked.
"""

import logging
import time
from collections.abc import Callable, Iterator

from transferlab.errors import RunFailed
from transferlab.runtime import logs

log = logging.getLogger(__name__)
SLICE_S = 0.2
REPORT_S = 60.0
# Longer than servers of NFS and Lustre take to recover, a quarter of an hour, and as long as torch
# waits for another process; a device that is held longer for nothing is wasted
LIMIT_S = 1800.0


def slices(check: Callable[[float], object]) -> Iterator[float]:
    """The seconds of each slice, one after the other, for as long as the caller waits.

    `check` is called after each with the seconds waited so far, and may raise.
    Raises: RunFailed after `LIMIT_S`.
    """
    start, reported = time.monotonic(), 0.0
    while True:
        yield SLICE_S
        waited = time.monotonic() - start
        check(waited)
        if waited >= LIMIT_S:
            raise RunFailed(
                f"no image was read for {logs.duration(waited)}: the disk of the images does not "
                "answer; what is finished is saved: run the command again once it does"
            )
        if waited >= reported + REPORT_S:
            reported = waited
            log.warning(
                "no image was read for %s: is the disk of the images slow? Waiting for at most %s",
                logs.duration(waited),
                logs.duration(LIMIT_S),
            )
