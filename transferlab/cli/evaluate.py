"""The command `evaluate`: ask finished runs something without training them, once."""

import argparse
import json
import logging
import re
from collections.abc import Mapping, Sequence

from transferlab.cli.flags import Flags
from transferlab.errors import UserError
from transferlab.evaluation import ask, protocols, source
from transferlab.evaluation.ask import Reply
from transferlab.evaluation.crops import CROPS
from transferlab.evaluation.protocols import PROTOCOLS, Computing, Evaluation
from transferlab.evaluation.runs import FinishedFolder, find
from transferlab.runtime import commands, logs, output, tables

log = logging.getLogger(__name__)
OVERRIDE = re.compile(r"[\w.]+=")
ACCELERATORS = ("auto", "cpu", "gpu", "cuda", "mps")
SUBSETS = ("val", "train")
# The flags of the command itself: every other one is a setting of a protocol
OWN = ("runs", "store", "protocol", "average", "device", "batch_size", "workers", "json")


def run(arguments: Sequence[str]) -> int:
    """Ask finished runs something without training them: other crops and test scales, dense
    evaluation, averages. The answer is recorded beside the run, by the digests of all that decides
    it, and never computed twice; results --table evaluations lists the answers."""
    overrides = [word for word in arguments if OVERRIDE.match(word)]
    options = _flags().parse_args([word for word in arguments if word not in overrides])
    logs.to_stderr()
    runs = [find(name, options.store) for name in options.runs]
    _check(runs, options)
    given = {name: value for name, value in vars(options).items() if name not in OWN}
    machine = Computing(options.device, options.batch_size, options.workers)
    parts = [runs] if options.average else [[each] for each in runs]
    evaluations = [
        Evaluation(
            options.protocol,
            protocols.settings(options.protocol, given, part),
            tuple(part),
            source.source(part[0].config, overrides),
            machine,
        )
        for part in parts
    ]
    recorded = [_asked(evaluation) for evaluation in evaluations]
    if options.json:
        output.show(*json.dumps([each.record for each in recorded], indent=1).splitlines())
    else:
        output.show(*_lines(recorded))
    return 0


def _flags() -> Flags:
    flags = Flags("evaluate", run.__doc__ or "")
    flags.usage = f"{flags.prog} RUN [RUN ...] [--average] [flags] [data=NAME] [data.KEY=VALUE ...]"
    flags.epilog = (
        f"{commands.setting('data', 'NAME')} and {commands.setting('data.root', 'DIR')} ask on "
        "other images of the same classes; how they are prepared is the run's. Protocols: "
        + "; ".join(f"{name}: {each.text}" for name, each in PROTOCOLS.items())
    )
    flags.add_argument("runs", nargs="+", metavar="RUN",
                       help="a finished run: folder, or id or label in --store")  # fmt: skip
    flags.add_argument("--protocol", default="posteriors", metavar="NAME",
                       help=f"{', '.join(PROTOCOLS)} (default: posteriors)")  # fmt: skip
    flags.add_argument("--average", action="store_true",
                       help="average the posteriors of all the runs, whose own errors stand "
                       "beside that of the average")  # fmt: skip
    flags.add_argument("--crops", choices=tuple(CROPS),
                       help="centre; flip: and its mirror image; ten: corners and centre, "
                       "mirrored too; grid: 5 x 5, mirrored too (default: centre, with --dense "
                       "none)")  # fmt: skip
    flags.add_argument("--scales", type=_scales, metavar="Q,...",
                       help="test scales, of which the posteriors are averaged: pixels of the "
                       "shorter side, 224,256,288 (default: the run's own images)")  # fmt: skip
    flags.add_argument("--dense", action="store_true", default=None,
                       help="apply the network to the whole rectangle, mirrored too, and average "
                       "its map of scores; with --crops the mean of both")  # fmt: skip
    flags.add_argument("--subset", choices=SUBSETS,
                       help="which images are asked (default: val)")  # fmt: skip
    flags.add_argument("--device", choices=ACCELERATORS, default="auto",
                       help="what computes (default: auto)")  # fmt: skip
    flags.add_argument("--batch-size", type=_count, metavar="B",
                       help="images of a batch (default: as in the run's validations)")  # fmt: skip
    flags.add_argument("--workers", type=_count, metavar="N",
                       help="threads that read images (default: by the cores)")  # fmt: skip
    flags.add_argument("--json", action="store_true", help="print the records")
    return flags


def _scales(text: str) -> list[int]:
    return [_count(part) for part in text.split(",")]


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text)):
        raise argparse.ArgumentTypeError(f"{text} must be an integer of at least 1")
    return int(text)


def _check(runs: Sequence[FinishedFolder], options: argparse.Namespace) -> None:
    """Raises: UserError for runs that cannot be averaged, or are named twice."""
    twice = [run for place, run in enumerate(runs) if run.path in [r.path for r in runs[:place]]]
    if twice:
        raise UserError(f"{twice[0].label} {twice[0].id} is named twice: name every run once")
    if options.average and len(runs) == 1:
        raise UserError("--average has no effect on one run: name several, or omit it")


def _asked(evaluation: Evaluation) -> Reply:
    """The answer, with a line in the log where it is an earlier one or not what was expected."""
    recorded = ask.ask(evaluation)
    if recorded.reused:
        log.info("computed earlier: %s", recorded.path)
    if (difference := ask.difference(evaluation, recorded.record)) is not None:
        log.warning("%s", difference)
    if skipped := recorded.record["skipped"]:
        log.warning("%d images could not be read and are left out", len(skipped))
    return recorded


def _lines(recorded: Sequence[Reply]) -> list[str]:
    """A table: a row a run, and one for the average of several."""
    rows: list[list[str]] = []
    metrics = list(dict.fromkeys(name for each in recorded for name in each.record["metrics"]))
    for record in (each.record for each in recorded):
        for run in record["runs"]:
            rows.append([run["label"], run["id"], *_numbers(run["metrics"], metrics)])
        if len(record["runs"]) > 1:
            label = f"average of {len(record['runs'])}"
            rows.append([label, record["id"], *_numbers(record["metrics"], metrics)])
    first = recorded[0].record
    right = range(2, 2 + len(metrics))
    lines = tables.table(["run", "id", *metrics], rows, right)
    return [f"{first['text']}; {first['images']:,} images", *lines]


def _numbers(values: Mapping[str, float | None], metrics: Sequence[str]) -> list[str]:
    found = (values.get(name) for name in metrics)
    return ["" if value is None else f"{value:.4f}" for value in found]
