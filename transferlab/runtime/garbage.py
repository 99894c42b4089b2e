"""Python's collection of garbage in cycles, put off where many objects are made and all are kept.

It looks at every object that is alive again and again: a third of the time in which 100,000 runs
are planned, and a tenth of that in which torch is imported. Neither leaves cycles behind.
"""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Collect none meanwhile; also a decorator, `@uncollected()`."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            many = gc.get_count()[0] > gc.get_threshold()[0]  # were made: they would be looked at
            if many and gc.get_freeze_count() == 0:  # or what others have frozen would be thawed
                gc.freeze()  # what was made meanwhile counts as old then: it is not looked at now
                gc.unfreeze()
            gc.enable()


def leave() -> None:
    """Before the exit of a process without torch, whose objects have more to do there than to free
    memory: none is looked at once more, a tenth of `results` of 10,000 runs."""
    if "torch" not in sys.modules:
        gc.freeze()
