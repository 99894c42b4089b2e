"""The accuracies that results can be shown in, and what each is called."""

from collections.abc import Mapping

from transferlab.errors import UserError

METRICS: Mapping[str, str] = {
    "top1_final": "final accuracy",
    "top1_best10": "mean of the ten best validations",  # of 100 or more
    "top1_peak": "best validation",
}


def metric_of(metric: str | None, default: str) -> str:
    """The metric asked for, else the default. Raises: UserError for an unknown one."""
    if metric is None:
        return default
    if metric not in METRICS:
        raise UserError(f"metric={metric} is unknown: choose one of {', '.join(METRICS)}")
    return metric
