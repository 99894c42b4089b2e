"""What a command could not read of a store: a warning for each part, and an honest exit status."""

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transferlab.results import Results

log = logging.getLogger(__name__)
INCOMPLETE = 1  # the exit status if a part of the store cannot be read


def warn(reasons: Iterable[str]) -> None:
    """Log each reason once: it names the path and what to do."""
    for reason in dict.fromkeys(reasons):
        log.warning("left out: %s", reason)


def exit_status(results: "Results") -> int:
    """Warn of runs that cannot be read; 0 if there are none. Damaged ones are in `left_out`."""
    left_out = results.left_out
    reasons = left_out["reason"][left_out["kind"] == "unreadable"].tolist()
    warn(reasons)
    return INCOMPLETE if reasons else 0
