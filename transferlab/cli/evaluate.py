"""The command `evaluate`: ask finished runs something without training them, once."""

import argparse
import json
import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any

from transferlab.cli.flags import Flags
from transferlab.errors import UserError
from transferlab.evaluation import ask, protocols, questions, source
from transferlab.evaluation.ask import Reply
from transferlab.evaluation.crops import CROPS
from transferlab.evaluation.pooling import CODES
from transferlab.evaluation.protocols import PROTOCOLS, Computing, Evaluation
from transferlab.evaluation.questions import Question
from transferlab.evaluation.runs import FinishedFolder, all_of, find
from transferlab.runtime import commands, logs, output, tables

log = logging.getLogger(__name__)
OVERRIDE = re.compile(r"[\w.]+=")
ACCELERATORS = ("auto", "cpu", "gpu", "cuda", "mps")
DEFAULT = "posteriors"
SUBSETS = ("val", "train")
# The flags of the command itself: every other one is a setting of a protocol
OWN = ("runs", "study", "store", "protocol", "average", "device", "batch_size", "workers", "json")


def run(arguments: Sequence[str]) -> int:
    """Ask finished runs something without training them: other crops and test scales, dense
    evaluation, averages. The answer is recorded beside the run, by the digests of all that decides
    it, and never computed twice; results --table evaluations lists the answers."""
    overrides = [word for word in arguments if OVERRIDE.match(word)]
    options = _flags().parse_args([word for word in arguments if word not in overrides])
    logs.to_stderr()
    asked = _of_study if options.study else _of_runs
    groups = [
        [_evaluation(options, question, part, overrides) for part in parts]
        for question, parts in asked(options)
    ]
    recorded = [[_asked(evaluation) for evaluation in group] for group in groups]
    if options.json:
        records = [each.record for group in recorded for each in group]
        output.show(*json.dumps(records, indent=1).splitlines())
        return 0
    for group in recorded:
        output.show(*_lines(group))
    return 0


def _of_runs(options: argparse.Namespace) -> list[tuple[Question, list[list[FinishedFolder]]]]:
    """The question of the command line, and the runs of each evaluation."""
    if not options.runs:
        raise UserError("name a RUN, or --study NAME: see evaluate --help")
    runs = [find(name, options.store) for name in options.runs]
    _check(runs, options)
    given = _given(options)
    parts = [runs] if options.average else [[each] for each in runs]
    return [(Question(options.protocol or DEFAULT, given, {}, None), parts)]


def _of_study(options: argparse.Namespace) -> list[tuple[Question, list[list[FinishedFolder]]]]:
    """The questions of a study, each with the runs of the store that it is put to."""
    given = [f"--{name.replace('_', '-')}" for name in _given(options)]
    given += ["--average"] * options.average + ["--protocol"] * (options.protocol is not None)
    if options.runs or given:
        name = [*options.runs, *given][0]
        raise UserError(f"{name} has no effect with --study, which has its questions: omit it")
    runs = all_of(options.store)
    found = [(each, list(map(list, each.put_to(runs)))) for each in questions.load(options.study)]
    if not any(parts for _, parts in found):
        raise UserError(
            f"no finished run of {options.store} is one that --study {options.study} asks: train "
            + commands.line("sweep", commands.setting("+study", options.study))
        )
    return [(question, parts) for question, parts in found if parts]


def _given(options: argparse.Namespace) -> dict[str, Any]:
    """The settings of a protocol that are named on the command line."""
    given = {name: value for name, value in vars(options).items() if name not in OWN}
    return {name: value for name, value in given.items() if value is not None}


def _evaluation(
    options: argparse.Namespace,
    question: Question,
    runs: Sequence[FinishedFolder],
    overrides: Sequence[str],
) -> Evaluation:
    return Evaluation(
        question.protocol,
        protocols.settings(question.protocol, question.settings, runs),
        tuple(runs),
        source.source(runs[0].config, overrides),
        Computing(options.device, options.batch_size, options.workers),
    )


def _flags() -> Flags:
    flags = Flags("evaluate", run.__doc__ or "")
    flags.usage = f"{flags.prog} RUN [RUN ...] [--average] [flags] [DATA OVERRIDES ...]"
    flags.epilog = (
        f"{commands.setting('data', 'NAME')} and {commands.setting('data.root', 'DIR')} ask on "
        "other images of the same classes; how they are prepared is the run's. Protocols: "
        + "; ".join(f"{name}: {each.text}" for name, each in PROTOCOLS.items())
    )
    flags.add_argument("runs", nargs="*", metavar="RUN",
                       help="a finished run: folder, or id or label in --store")  # fmt: skip
    flags.add_argument("--study", metavar="NAME",
                       help="put the questions of conf/evaluation/NAME.yaml to the runs of that "
                       "study in --store")  # fmt: skip
    flags.add_argument("--protocol", metavar="NAME",
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
    flags.add_argument("--stage", metavar="NAME",
                       help="whose features train SVMs (default: the last stage before the "
                       "classifier, as fc7)")  # fmt: skip
    flags.add_argument("--pooling", metavar="CODE",
                       help="how SVMs see the views of an image in training and test: each (f), "
                       "sum (s), maximum (m), stacked (t), the centre alone (-): "
                       f"{', '.join(CODES)} (default: fs)")  # fmt: skip
    flags.add_argument("--l2", action=argparse.BooleanOptionalAction, default=None,
                       help="features of norm 1 (default)")  # fmt: skip
    flags.add_argument("--grey", action="store_true", default=None,
                       help="show the network grey images")  # fmt: skip
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
    """What was asked, and a table: a row a run, and one for the average of several."""
    records = [each.record for each in recorded]
    metrics = list(dict.fromkeys(name for record in records for name in record["metrics"]))
    rows: list[list[str]] = []
    for record in records:
        runs, images = record["runs"], f"{record['images']:,}"
        for run in runs:
            head = [run["label"], run["id"], run["model"], images]
            rows.append([*head, *_numbers(run["metrics"], metrics)])
        if len(runs) > 1:
            head = [f"average of {len(runs)}", record["id"], "", images]
            rows.append([*head, *_numbers(record["metrics"], metrics)])
    heading = ["run", "id", "model", "images", *metrics]
    return [records[0]["text"], *tables.table(heading, rows, range(3, len(heading)))]


def _numbers(values: Mapping[str, float | None], metrics: Sequence[str]) -> list[str]:
    found = (values.get(name) for name in metrics)
    return ["" if value is None else f"{value:.4f}" for value in found]
