"""Everything on disk: run folders and their records, sweeps and jobs, mirrors; imports no torch.

May import: errors, runtime, experiment.
"""

from transferlab.store.folders import folder_names, require_space, require_writable, unfinished
from transferlab.store.lock import is_owned, owned, report_progress, wait_for
from transferlab.store.records import (
    FORMAT,
    check_file,
    clean,
    create,
    finish,
    finished_records,
    note_failure,
    read_config,
    read_copied_config,
    read_copy,
    read_finished,
    read_json,
    read_result,
)

__all__ = [
    "FORMAT",
    "check_file",
    "clean",
    "create",
    "finish",
    "finished_records",
    "folder_names",
    "is_owned",
    "note_failure",
    "owned",
    "read_config",
    "read_copied_config",
    "read_copy",
    "read_finished",
    "read_json",
    "read_result",
    "report_progress",
    "require_space",
    "require_writable",
    "unfinished",
    "wait_for",
]
