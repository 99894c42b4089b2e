"""What runs leave on disk, and how it is found again; takes no torch.

May import: errors, runtime, experiment.
"""

from transferlab.store.lock import is_owned, owned, report_progress, wait_for
from transferlab.store.records import (
    check_weights,
    clean,
    create,
    finish,
    finished_records,
    note_failure,
    read_config,
    read_json,
    read_result,
)
from transferlab.store.runs import (
    RESULT,
    Run,
    finished,
    folder_name,
    folders,
    locate,
    require_space,
    require_writable,
)

__all__ = [
    "RESULT",
    "Run",
    "check_weights",
    "clean",
    "create",
    "finish",
    "finished",
    "finished_records",
    "folder_name",
    "folders",
    "is_owned",
    "locate",
    "note_failure",
    "owned",
    "read_config",
    "read_json",
    "read_result",
    "report_progress",
    "require_space",
    "require_writable",
    "wait_for",
]
