"""What is printed when runs are done: a small table, and a command to run next."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from transferlab import store
from transferlab.errors import UserError
from transferlab.experiment import metrics
from transferlab.experiment.config import RunConfig, TransferConfig
from transferlab.experiment.metrics import Measure
from transferlab.experiment.run import Run
from transferlab.launch.inline import FinishedRun
from transferlab.runtime import commands, plugins, tables

COLUMNS = ("vs chance", "vs base", "steps", "time", "", "folder")


def table(runs: Sequence[FinishedRun]) -> list[str]:
    """One line per run: its metrics, and the difference of the leading one from chance and from
    the base of its target."""
    measures = metrics.in_records(finished.result["metrics"] for finished in runs)
    columns = ("run", *(measure.short for measure in measures), *COLUMNS)
    return tables.table(columns, [_row(finished, measures) for finished in runs])


def next_command(run: Run, overrides: Sequence[str]) -> list[str]:
    """The lines with a command that trains the best run to compare with that the store lacks."""
    other_overrides = [
        override for override in overrides if not override.lstrip("+").startswith("transfer.")
    ]
    for reason, transfer in _companions(run.config):
        try:
            if not store.unfinished([run.sibling(transfer)]):
                continue
        except UserError:  # no such run: half A of split=whole, for instance
            continue
        transfer_overrides = [f"transfer.variant={transfer.variant}"]
        if transfer.n:
            transfer_overrides.append(f"transfer.n={transfer.n}")
        if transfer.keep:
            transfer_overrides.append(f"transfer.keep={transfer.keep}")
        if transfer.variant == "base":
            transfer_overrides.append(f"transfer.target={transfer.target}")
        command = commands.line(*other_overrides, *transfer_overrides)
        return [f"next, {reason}:", f"  {command}"]
    return ["the store has everything to compare this run with"]


def _companions(config: RunConfig) -> list[tuple[str, TransferConfig]]:
    """The runs to compare with next, the most informative first, each with the reason."""
    variant = config.variant
    target = variant.target
    other = "B" if target == "A" else "A"
    if variant.n == 0:
        n = (
            1 if plugins.is_own(config.model.name) else 3
        )  # a network of one's own may have two stages
        return [
            ("a transfer to this half", TransferConfig(f"{other}n{target}", n, None, 0)),
            ("its selffer control", TransferConfig(f"{target}n{target}", n, None, 0)),
            ("the base of the other half", TransferConfig("base", 0, other, 0)),
        ]
    n = variant.n
    shallower = (
        [("one layer less", replace(config.transfer, n=n - 1, target=None))] if n > 1 else []
    )
    return [
        ("the base of the same target", TransferConfig("base", 0, target, 0)),
        ("the selffer control, same target", TransferConfig(f"{target}n{target}", n, None, 0)),
        ("the transfer, same target", TransferConfig(f"{other}n{target}", n, None, 0)),
        ("with the copied layers learning", TransferConfig(f"{other}n{target}+", n, None, 0)),
        *shallower,
    ]


def _row(finished: FinishedRun, measures: Sequence[Measure]) -> tuple[str, ...]:
    run, result = finished.run, finished.result
    values, base = result["metrics"], _target_base(run)
    reached = metrics.final(values)
    over_chance = None if reached is None else reached - values["chance"]
    over_base = None if reached is None or base is None else reached - base
    return (
        run.label,
        *metrics.cells(values, measures),
        _signed(over_chance),
        _signed(over_base),
        str(result["steps"]),
        f"{result['time_s']:.0f} s",
        ", ".join(_notes(finished)),
        str(run.folder),
    )


def _signed(difference: float | None) -> str:
    return "-" if difference is None else f"{difference:+.4f}"


def _notes(finished: FinishedRun) -> Iterator[str]:
    """Whether the run is an earlier one, and what is wrong with it."""
    result, base = finished.result, finished.run.base
    base_result = None if base is None else store.read_result(base)
    if "account" in result:  # never trained here, so neither new nor reused
        yield "trained elsewhere"
    elif finished.reused:
        yield "reused"
    if not result["learned"]:
        yield "chance!"
    elif base_result is not None and not base_result["learned"]:
        yield "base at chance!"
    if result["skipped"]:
        yield f"{len(result['skipped'])} files skipped"


def _target_base(run: Run) -> float | None:
    """The leading metric of the base network of the run's own target, if the store has it."""
    if run.config.variant.n == 0:
        return None
    base = run.sibling(TransferConfig("base", 0, run.config.variant.target, 0))
    result = store.read_result(base)
    return None if result is None else metrics.final(result["metrics"])
