"""A Hydra multirun with a launcher of ours: its jobs, planned and carried out together."""

from collections.abc import Mapping, Sequence
from typing import Any

from transferlab import store
from transferlab.cli import sweep
from transferlab.experiment import study
from transferlab.experiment.config import RunConfig
from transferlab.experiment.launcher import build_launcher
from transferlab.launch import dispatch

STUDY = "multirun"


def launch(wanted: Sequence[RunConfig], raw: Mapping[str, Any], pack: object) -> list[float | None]:
    """The accuracy of each wanted run, None while it is not known: SLURM returns at once.

    A run that fails does not stop the others; it is told of at the end.

    Raises: UserError, Interrupted; RunFailed if runs are not done.
    """
    launcher = build_launcher(raw)
    runs = dispatch.resolved(map(study.absolute, wanted), launcher)
    sweep.carry_out(dispatch.order(STUDY, runs, launcher, pack=sweep.pack_size(pack)))
    results = map(store.read_result, runs)
    return [
        None if result is None else float(result["metrics"]["top1_final"]) for result in results
    ]
