"""What a person sees when runs are done: a small table, and the next command to try."""

import shlex
from collections.abc import Sequence
from dataclasses import replace

from transferlab import store
from transferlab.errors import UserError
from transferlab.experiment.build import build_config, config_dict
from transferlab.experiment.config import RunConfig, TransferConfig
from transferlab.experiment.resolve import resolve
from transferlab.launch.inline import Outcome
from transferlab.runtime import tables

COLUMNS = ("run", "top-1", "vs chance", "vs base", "steps", "time", "", "folder")


def table(outcomes: Sequence[Outcome]) -> str:
    """One line a run: accuracy, how far above chance, how far from the base of its own target."""
    return "\n".join(tables.table(COLUMNS, [_row(outcome) for outcome in outcomes]))


def next_command(outcomes: Sequence[Outcome], overrides: Sequence[str]) -> str:
    """The command that adds what the last run is best compared with and the store lacks."""
    config = outcomes[-1].config
    others = [word for word in overrides if not word.lstrip("+").startswith("transfer.")]
    for why, transfer in _companions(config):
        other = resolve_or_none(replace(config, transfer=transfer))
        if other is None or store.locate(other).result.exists():
            continue
        chosen = [f"transfer.variant={transfer.variant}"]
        if transfer.n:
            chosen.append(f"transfer.n={transfer.n}")
        if transfer.keep:
            chosen.append(f"transfer.keep={transfer.keep}")
        if transfer.variant == "base":
            chosen.append(f"transfer.target={transfer.target}")
        return f"next, {why}:\n  python -m transferlab {shlex.join([*others, *chosen])}"
    return "the store has everything to compare this run with"


def resolve_or_none(config: RunConfig) -> RunConfig | None:
    """The canonical, resolved config; None if there is no such run."""
    try:
        return resolve(build_config(config_dict(config)))
    except UserError:
        return None


def _companions(config: RunConfig) -> list[tuple[str, TransferConfig]]:
    """What to look at next, most telling first."""
    variant = config.variant
    target = variant.target
    other = "B" if target == "A" else "A"
    if variant.n == 0:
        return [
            ("a transfer to this half", TransferConfig(f"{other}n{target}", 3, None, 0)),
            ("its selffer control", TransferConfig(f"{target}n{target}", 3, None, 0)),
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


def _row(outcome: Outcome) -> tuple[str, ...]:
    result, metrics = outcome.result, outcome.result["metrics"]
    top1, base = metrics["top1_final"], _target_base(outcome)
    warning = "" if result["learned"] else "chance!"
    warning += "" if result["prefix_unchanged"] in (None, True) else " prefix changed!"
    warning += f" {len(result['skipped'])} files skipped" if result["skipped"] else ""
    return (
        outcome.run.label,
        f"{top1:.4f}",
        f"{top1 - metrics['chance']:+.4f}",
        "-" if base is None else f"{top1 - base:+.4f}",
        str(result["steps"]),
        f"{result['time_s']:.0f} s",
        (warning or ("reused" if outcome.reused else "")).strip(),
        str(outcome.run.folder),
    )


def _target_base(outcome: Outcome) -> float | None:
    """The accuracy of the base network of the run's own target, if the store has it."""
    if outcome.config.variant.n == 0:
        return None
    transfer = TransferConfig("base", 0, outcome.config.variant.target, 0)
    config = resolve_or_none(replace(outcome.config, transfer=transfer))
    result = None if config is None else store.read_result(store.locate(config))
    return None if result is None else float(result["metrics"]["top1_final"])
