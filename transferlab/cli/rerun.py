"""The command `rerun`: train a finished run again and say whether its weights are the same."""

import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transferlab.cli.flags import Flags
from transferlab.experiment import compose, metrics
from transferlab.experiment.metrics import Measure
from transferlab.launch.rerun import Rerun, rerun
from transferlab.runtime import commands, logs, output, paths, tables

log = logging.getLogger(__name__)
SETTING = re.compile(r"[\w.]+=")
COLUMNS = ("weights", "finished", "folder")
DIGITS = 12  # of digests and commits
DIFFERENT = 1  # the exit status


def run(arguments: Sequence[str]) -> int:
    """Train a finished run again, from its config.json alone, in another store, its base first, and
    compare the weights: exit status 0 if they are the same, bit for bit, 1 if not. Run the command
    again to resume after an interruption."""
    flags = Flags("rerun", run.__doc__ or "", store=False)
    flags.add_argument("folder", type=Path, metavar="FOLDER", help="the folder of the run")
    flags.add_argument("--into", type=Path, default=Path("reruns"), metavar="DIR",
                       help="the other store (default: reruns)")  # fmt: skip
    flags.epilog = (
        f"KEY=VALUE changes a key that is not part of the run's id: "
        f"{commands.setting('data.root', 'DIR')} for images that have moved, "
        f"{commands.setting('runtime.accelerator', 'cpu')}, ..."
    )
    flags.usage = f"{flags.prog} FOLDER [--into DIR] [KEY=VALUE ...]"
    settings = [word for word in arguments if SETTING.match(word)]
    selected = flags.parse_args([word for word in arguments if word not in settings])
    logs.to_stderr()
    compose.check(settings)
    compose.check_single(settings)
    changes = {key: value for key, (value,) in compose.settings(settings).items()}
    done = rerun(paths.expand(selected.folder), paths.expand(selected.into), changes)
    if done.again.reused:
        log.info("trained earlier: delete %s to train it again", done.again.run.folder)
    output.report(*_report(selected.folder, done))
    return 0 if done.difference is None else DIFFERENT


def _report(folder: Path, done: Rerun) -> list[str]:
    """The two runs, and what their weights have in common."""
    before, now, run = done.record, done.again.result, done.again.run
    measures = metrics.in_records([before["metrics"], now["metrics"]])
    rows = [
        _row(before["label"], before, folder, measures),
        _row("again", now, run.folder, measures),
    ]
    lines = tables.table(("", *(measure.short for measure in measures), *COLUMNS), rows)
    difference = done.difference
    if difference is None:
        return [*lines, "the weights are the same, bit for bit"]
    assert run.base is not None or not difference.copied
    source = f", copied from {run.base.label}" if run.base and difference.copied else ""
    changed = [
        f"{key} {_short(old)}, now {_short(new)}" for key, (old, new) in done.changed.items()
    ]
    return [
        *lines,
        f"the weights differ, first in {difference.tensor}{source}, there by at most "
        f"{difference.largest:.1e}; {difference.count} of {difference.tensors} tensors differ",
        f"what may be the cause: {'; '.join(changed)}"
        if changed
        else "versions, commit, device, threads, mean image and number of images are the same",
    ]


def _row(
    label: str, record: dict[str, Any], folder: Path, measures: Sequence[Measure]
) -> tuple[str, ...]:
    return (
        label,
        *metrics.cells(record["metrics"], measures),
        record["weights_sha256"][:DIGITS],
        record["finished"],
        str(folder),
    )


def _short(value: Any) -> str:
    """A digest or commit by its first digits, files by their number."""
    if isinstance(value, dict | list):
        return str(len(value))
    text = str(value)
    return text[:DIGITS] if re.fullmatch(r"[0-9a-f]{40,}", text) else text
