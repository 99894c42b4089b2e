"""What runs is what was submitted, or it says so: the code of a job, compared at its start."""

import logging
from collections.abc import Sequence

from transferlab import store
from transferlab.errors import RunFailed
from transferlab.experiment.run import Run
from transferlab.runtime import commands, provenance, reading
from transferlab.store import sweeps
from transferlab.store.sweeps import Job

log = logging.getLogger(__name__)


def compare(job: Job, task: int, runs: Sequence[Run]) -> None:
    """Note and report a difference between the code of this process and that of the submission.

    Raises: RunFailed, also recorded for the runs, if there is one and the launcher refuses it.
    """
    running = provenance.code(name for run in runs for name in run.plugins)
    if not job.code or (difference := provenance.difference(job.code, running)) is None:
        return
    sweeps.note_edited(job, task, difference)
    sweep = sweeps.sweep_of(job)
    if sweep.launcher.changed_code == "warn":
        log.warning("the code was edited since the job was submitted: %s", difference)
        return
    retry = commands.line("retry", "--store", str(sweep.store))
    message = (
        f"the code was edited since the job was submitted: {difference}; "
        f"launcher.changed_code=refuse: restore the code, or accept the new one with {retry}"
    )
    for run in runs:
        if not reading.exists(run.result_file):
            store.note_failure(run, message)
    raise RunFailed(message)
