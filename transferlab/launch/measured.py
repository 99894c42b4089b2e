"""How long the finished runs of a store took, from which the cost of a plan is estimated."""

import contextlib
from functools import partial
from pathlib import Path
from typing import Any

from transferlab import __version__
from transferlab.experiment.cost.estimate import RunTiming, timing_of
from transferlab.experiment.run import RESULT
from transferlab.runtime.reading import Damaged, Unreadable
from transferlab.store import reader, schemas
from transferlab.store.kept import Extracts

KIND = f"timings {__version__} 1"  # the number is increased when `timing_of` finds something else


def timings(store: Path) -> list[RunTiming]:
    """The measurements in all records that have the form of one; others are left out.

    Raises: Unreadable if the store cannot be listed.
    """
    extracts = Extracts(store, KIND)
    found = []
    for folder in sorted(extracts.folders):
        with contextlib.suppress(Damaged, Unreadable):
            found.append(extracts.of(folder, partial(_timing, f"{store}/{folder}/{RESULT}")))
    extracts.keep()
    return [
        RunTiming(tuple(recipe), tuple(network), *measured)
        for recipe, network, *measured in filter(None, found)
    ]


def _timing(path: str) -> Any:
    """The measurement in a record; empty if it has none, None if there is no record."""
    record = reader.read(path, schemas.RESULT)
    return None if record is None else timing_of(record) or ()
