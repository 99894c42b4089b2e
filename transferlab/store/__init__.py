"""Everything on disk: run folders and their records, sweeps and jobs, mirrors; imports no torch.

May import: errors, runtime, experiment.

README.md has the table of all files, who checks each, and who may have made it.
"""

from transferlab.store.folders import folder_names, require_space, require_writable
from transferlab.store.lock import is_owned, owned, report_progress, wait_for
from transferlab.store.reader import peek
from transferlab.store.records import (
    LARGEST_FILE,
    Outcome,
    clean,
    create,
    finish,
    note_failure,
    outcomes,
    read_config,
    read_copied_config,
    read_copy,
    read_failure,
    read_file,
    read_finished,
    read_result,
    read_run,
    unfinished,
)
from transferlab.store.schemas import FORMAT

__all__ = [
    "FORMAT",
    "LARGEST_FILE",
    "Outcome",
    "clean",
    "create",
    "finish",
    "folder_names",
    "is_owned",
    "note_failure",
    "outcomes",
    "owned",
    "peek",
    "read_config",
    "read_copied_config",
    "read_copy",
    "read_failure",
    "read_file",
    "read_finished",
    "read_result",
    "read_run",
    "report_progress",
    "require_space",
    "require_writable",
    "unfinished",
    "wait_for",
]
