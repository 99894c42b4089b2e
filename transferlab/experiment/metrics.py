"""The numbers by which a run is judged: which ones its labels have, and what each is called.

A run with one label an image has its top-1 accuracy, one with several both forms of mean average
precision, neither of which is ever shown without its form. Everything that shows, compares or
records a run asks here.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Measure:
    """A fraction that every validation gives: `name` in records and tables, `column` in a curve,
    `text` in a sentence, `short` in the head of a column.

    `labels` says which runs have it, by the labels of an image; `guess` names what a guess reaches,
    where the record keeps it: see `chance`.
    """

    name: str
    column: str
    text: str
    short: str
    labels: str
    guess: str | None = None

    @property
    def final(self) -> str:
        """The metric of the last validation, which is not selected on these images."""
        return f"{self.name}_final"


TOP1 = Measure("top1", "val/accuracy", "top-1 accuracy", "top-1", "one label")
MAP11 = Measure(
    "map11", "val/map11", "11-point mAP", "mAP 11-point", "several labels", "map11_guess"
)
MAP = Measure("map", "val/map", "area mAP", "mAP area", "several labels", "map_guess")
MEASURES = (TOP1, MAP11, MAP)  # of the kinds of labels the first is shown unless another is named
STATISTICS = ("final", "best10", "peak")

METRICS: Mapping[str, str] = {
    "top1_final": "final accuracy",
    "top1_best10": "mean of the ten best validations",  # of 100 or more
    "top1_peak": "best validation",
} | {
    f"{measure.name}_{statistic}": text.format(measure.text)
    for measure in (MAP11, MAP)
    for statistic, text in (
        ("final", "final {}"),
        ("best10", "mean of the ten best {} of all validations"),
        ("peak", "best {} of all validations"),
    )
}  # fmt: skip


def measure_of(metric: str) -> Measure:
    """The measure of a metric, as that of `map11_peak`."""
    name = metric.rpartition("_")[0]
    return next(measure for measure in MEASURES if measure.name == name)


def in_curve(columns: Collection[str]) -> tuple[Measure, ...]:
    """The measures of a curve with these columns, the leading one first."""
    return tuple(measure for measure in MEASURES if measure.column in columns)


def in_records(records: Iterable[Mapping[str, Any]]) -> tuple[Measure, ...]:
    """The measures that at least one of these records' metrics has, the leading one first."""
    names = {name for metrics in records for name, value in metrics.items() if value is not None}
    return tuple(measure for measure in MEASURES if measure.final in names)


def cells(metrics: Mapping[str, Any], measures: Iterable[Measure]) -> list[str]:
    """A column for each measure: `0.8125`, or a dash where the record lacks it."""
    values = (metrics.get(measure.final) for measure in measures)
    return ["-" if value is None else f"{value:.4f}" for value in values]


def leading(metrics: Mapping[str, Any]) -> Measure | None:
    """The measure of a record's metrics that stands for the run, None if it has none."""
    return next(iter(in_records([metrics])), None)


def final(metrics: Mapping[str, Any]) -> float | None:
    """The value of the leading measure at the end of the run."""
    measure = leading(metrics)
    return None if measure is None else float(metrics[measure.final])


def shown(metrics: Mapping[str, Any]) -> str:
    """`top-1 0.8125`, `mAP 11-point 0.6790, mAP area 0.6890`."""
    return ", ".join(f"{m.short} {metrics[m.final]:.4f}" for m in in_records([metrics]))
