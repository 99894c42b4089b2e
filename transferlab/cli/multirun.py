"""A Hydra multirun with our launchers: its jobs are planned and carried out together."""

from collections.abc import Mapping, Sequence
from typing import Any

from transferlab import store
from transferlab.cli import sweep
from transferlab.experiment import metrics, study
from transferlab.experiment.config import RunConfig
from transferlab.experiment.launcher import build_launcher
from transferlab.launch import dispatch

STUDY = "multirun"


def launch(
    configs: Sequence[RunConfig], raw: Mapping[str, Any], pack: object
) -> list[float | None]:
    """Returns the leading metric of each run, None if it is not finished: submitting does not wait.

    A failed run does not stop the others and is reported at the end.

    Raises: UserError, Interrupted; RunFailed if runs are not finished.
    """
    launcher = build_launcher(raw)
    runs = dispatch.resolved(map(study.absolute, configs), launcher)
    sweep.carry_out(dispatch.order(STUDY, runs, launcher, pack=sweep.pack_size(pack)))
    results = map(store.read_result, runs)
    return [None if result is None else metrics.final(result["metrics"]) for result in results]
