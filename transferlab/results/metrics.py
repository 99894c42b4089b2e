"""The metric in which results are shown: the one asked for, or that of the runs."""

from transferlab.errors import UserError
from transferlab.experiment.metrics import METRICS


def metric_of(metric: str | None, default: str) -> str:
    """The metric asked for, else the default. Raises: UserError for an unknown one."""
    if metric is None:
        return default
    if metric not in METRICS:
        raise UserError(f"metric={metric} is unknown: choose one of {', '.join(METRICS)}")
    return metric
