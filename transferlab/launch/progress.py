"""How far the runs of a task have been trained, as its checkpoints say, without torch.

Only that number is read from a checkpoint: its pickled record is scanned and never loaded.
"""

import pickletools
import zipfile
from collections.abc import Sequence
from pathlib import Path

from transferlab import store
from transferlab.experiment.run import Run

INTEGERS = ("BININT", "BININT1", "BININT2", "LONG1")
LIMIT = 2**20  # bytes of a record that are scanned: its first fields


def trained(runs: Sequence[Run]) -> list[int | None]:
    """The step to which each run is trained and saved; None for one that is finished."""
    left = {run.id for run in store.unfinished(runs)}
    return [checkpoint_step(run.checkpoint_file) if run.id in left else None for run in runs]


def checkpoint_step(path: Path) -> int:
    """The step of a checkpoint; 0 if it is not a regular file or has none."""
    if not path.is_file():
        return 0
    try:
        with zipfile.ZipFile(path) as archive:
            (name,) = (name for name in archive.namelist() if name.endswith("/data.pkl"))
            with archive.open(name) as file:
                return _step(file.read(LIMIT))
    # RuntimeError: zipfile's for an archive that is encrypted, or compressed in an unknown way
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, RuntimeError):
        return 0


def _step(record: bytes) -> int:
    """The integer that follows the key `step` of a pickled dict."""
    key = None
    for operation, argument, _ in pickletools.genops(record):
        if key == "step" and operation.name in INTEGERS and isinstance(argument, int):
            return argument
        if operation.name in ("BINUNICODE", "SHORT_BINUNICODE"):
            key = argument
    return 0
