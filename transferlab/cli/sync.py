"""The command `sync`: Weights & Biases rebuilt from a store."""

import logging
from collections.abc import Sequence

from transferlab.cli.flags import Flags, path_of
from transferlab.errors import UserError
from transferlab.experiment import compose
from transferlab.results import archive, published
from transferlab.results.wandb import entries, sync
from transferlab.runtime import commands, logs, output, paths

log = logging.getLogger(__name__)
HIDDEN = ".wandb"  # in the store
NAMES = 5  # unfinished runs that the warning names; further ones are counted


def run(arguments: Sequence[str]) -> int:
    """Rebuild Weights & Biases from a store: a W&B run for every finished run, and a report for
    every study. Nothing is sent without --online."""
    flags = Flags("sync", run.__doc__ or "")
    flags.add_argument("--study", metavar="NAME", help="only the runs of this study")
    flags.add_argument("--project", metavar="NAME",
                       help="W&B project (default: runtime.wandb_project of each run)")  # fmt: skip
    flags.add_argument("--online", action="store_true",
                       help="send the runs, if you are logged in (default: only write a "
                       "folder)")  # fmt: skip
    flags.add_argument("--out", type=path_of, metavar="DIR",
                       help="write to DIR/wandb (default: .wandb in the store)")  # fmt: skip
    options = flags.parse_args(arguments)
    logs.to_stderr()
    if published.is_published(options.store) or archive.is_archive(options.store):
        raise UserError(
            f"--store {options.store} is not a folder of runs: name one with --store DIR"
        )
    if options.online:
        sync.require_login()
    collected = entries.collect(options.store, study=options.study, project=options.project)
    folder = options.store / HIDDEN if options.out is None else options.out / "wandb"
    cache = paths.cache(compose.compose("config", [])["runtime"]["cache"])
    written, not_written = sync.write(
        collected.entries, folder.absolute(), online=options.online, cache=cache
    )
    left_out = [*collected.left_out, *not_written]
    for line in left_out:
        log.warning("left out: %s", line)
    if collected.unfinished:
        more = len(collected.unfinished) - NAMES
        names = [*collected.unfinished[:NAMES], *([f"{more} more"] if more > 0 else [])]
        log.warning("left out because not finished: %s", ", ".join(names))
    unchanged = len(collected.entries) - written - len(not_written)
    missing = len(left_out) + len(collected.unfinished)
    output.report(f"{written} written, {unchanged} unchanged, {missing} left out: {folder}")
    if written and not options.online:
        command = commands.line(str(folder), program="wandb sync")
        output.note(f"to send them: {command}/offline-run-*")
    return 0
