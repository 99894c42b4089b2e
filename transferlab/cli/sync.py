"""The command `sync`: Weights & Biases rebuilt from a store."""

import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from transferlab.cli.flags import Flags
from transferlab.errors import UserError
from transferlab.experiment import compose
from transferlab.results import published
from transferlab.results.wandb import entries, sync
from transferlab.results.wandb.sync import Target
from transferlab.runtime import logs

log = logging.getLogger(__name__)
HIDDEN = ".wandb"  # in the store
NAMES = 5  # of runs that are not finished, before they are only counted


def run(arguments: Sequence[str]) -> int:
    """Rebuild Weights & Biases from a store: a run of W&B for every finished run, and a report for
    every study. Nothing is sent without --online."""
    flags = Flags("sync", run.__doc__ or "")
    flags.add_argument("--study", metavar="NAME", help="only the runs of this study")
    flags.add_argument("--project", metavar="NAME",
                       help="of W&B (default: runtime.wandb_project of each run)")  # fmt: skip
    flags.add_argument("--online", action="store_true",
                       help="send it, if you are logged in (default: write a folder)")  # fmt: skip
    flags.add_argument("--out", type=lambda text: Path(text).expanduser(), metavar="DIR",
                       help="write to DIR/wandb (default: .wandb in the store)")  # fmt: skip
    chosen = flags.parse_args(arguments)
    logs.to_stderr()
    if published.is_published(chosen.store):
        raise UserError(f"--store {chosen.store} is no store of yours: name one with --store DIR")
    if chosen.online:
        sync.require_login()
    found = entries.collect(chosen.store, study=chosen.study, project=chosen.project)
    folder = chosen.store / HIDDEN if chosen.out is None else chosen.out / "wandb"
    cache = str(compose.compose("config", [])["runtime"]["cache"])
    told = sync.tell(found.entries, Target(folder.absolute(), chosen.online, cache))
    left_out = [*found.left_out, *told.left_out]
    for line in left_out:
        log.warning("left out: %s", line)
    if found.unfinished:
        more = len(found.unfinished) - NAMES
        names = [*found.unfinished[:NAMES], *([f"{more} more"] if more > 0 else [])]
        log.warning("not finished, so left out: %s", ", ".join(names))
    lacking = len(left_out) + len(found.unfinished)
    print(f"{told.new} written, {told.same} there already, {lacking} left out: {folder}")
    if told.new and not chosen.online:
        print(f"to send them: wandb sync {folder}/offline-run-*", file=sys.stderr)
    return 0
