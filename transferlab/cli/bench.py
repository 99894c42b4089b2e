"""The command `bench`: two things measured in turn on this machine, and their ratio."""

import logging
from argparse import ArgumentTypeError, Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from transferlab.bench import report
from transferlab.bench.report import Report
from transferlab.bench.trials import Trial
from transferlab.cli.flags import Flags
from transferlab.errors import RunFailed
from transferlab.runtime import logs

OURS = "transferlab.bench"  # whose messages are shown: a training's own would bury them


def run(arguments: Sequence[str]) -> int:
    """Measure in turn (A B A B ...), and print the ratio's median and range beside its target."""
    flags = _names()
    name, *rest = arguments or ["--help"]
    if name not in BENCHMARKS:
        flags.parse_args([name])
    chosen = _flags(name).parse_args(rest)
    with _messages():
        found = BENCHMARKS[name].measure(chosen)
    print(report.as_json(found) if chosen.json else report.as_text(found))
    wrong = [f"{check.what}: {check.found}" for check in found.checks if check.passed is False]
    if wrong:
        raise RunFailed(f"bench {name}: not so: {'; '.join(wrong)}")
    return 0


@dataclass(frozen=True)
class Benchmark:
    """`add` gives it the flags that it has beside --json and --repetitions."""

    words: str
    repetitions: int
    add: Callable[[Flags], None]
    measure: Callable[[Namespace], Report]


# --- flags --------------------------------------------------------------------------------------


def _names() -> Flags:
    """Only for what is wrong, and for --help."""
    text = "; ".join(f"{name}: {benchmark.words}" for name, benchmark in BENCHMARKS.items())
    flags = Flags("bench", f"{run.__doc__} {text}.", store=False)
    flags.add_argument("name", choices=tuple(BENCHMARKS), help="its own --help tells its flags")
    return flags


def _flags(name: str) -> Flags:
    benchmark = BENCHMARKS[name]
    flags = Flags(f"bench {name}", benchmark.words, store=False)
    flags.add_argument("--json", action="store_true", help="everything as one JSON object")
    flags.add_argument("--repetitions", type=_positive, default=benchmark.repetitions, metavar="N",
                       help=f"of each side (default: {benchmark.repetitions})")  # fmt: skip
    benchmark.add(flags)
    return flags


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text} is not a number: 1 or more")
    return int(text)


def _count(text: str) -> int:
    if not text.isdecimal():
        raise ArgumentTypeError(f"{text} is not a number: 0 or more")
    return int(text)


def _folder(text: str) -> Path:
    place = Path(text).expanduser().absolute()
    if not place.is_dir():
        raise ArgumentTypeError(f"{text} is not a folder")
    return place


def _steps(default: int) -> Callable[[Flags], None]:
    def add(flags: Flags) -> None:
        flags.add_argument("--steps", type=_positive, default=default, metavar="N",
                           help=f"of training (default: {default})")  # fmt: skip

    return add


@contextmanager
def _messages() -> Iterator[None]:
    """Meanwhile show the progress of the benchmark on stderr, and of what it runs only warnings."""
    logs.to_stderr()
    levels = {logs.ROOT: logging.WARNING, OURS: logging.INFO}
    before = {name: logging.getLogger(name).level for name in levels}
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    try:
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


# --- the benchmarks, each imported when it is wanted --------------------------------------------


def _trainer(chosen: Namespace) -> Report:
    from transferlab.bench import trainer

    return trainer.measure(steps=chosen.steps, repetitions=chosen.repetitions)


def _startup(chosen: Namespace) -> Report:
    from transferlab.bench import startup

    return startup.measure(repetitions=chosen.repetitions)


def _pack(chosen: Namespace) -> Report:
    from transferlab.bench import pack

    return pack.measure(_trial(chosen), all_runs=chosen.all, repetitions=chosen.repetitions)


def _trial(chosen: Namespace) -> Trial:
    return Trial(chosen.model, chosen.batch, chosen.steps, chosen.device, chosen.root)


def _of_trial(model: str, batch: int, steps: int) -> Callable[[Flags], None]:
    """Adds what is to be trained, with these defaults."""

    def add(flags: Flags) -> None:
        _steps(steps)(flags)
        flags.add_argument("--model", choices=("alexnet_small", "alexnet"), default=model,
                           help=f"at 32 or at 227 pixels (default: {model})")  # fmt: skip
        flags.add_argument("--batch", type=_positive, default=batch, metavar="N",
                           help=f"images of a step (default: {batch})")  # fmt: skip
        flags.add_argument("--device", choices=("cpu", "gpu"), default="cpu",
                           help="(default: cpu)")  # fmt: skip
        flags.add_argument("--root", type=_folder, metavar="DIR",
                           help="a folder of images, train/CLASS/*, val/CLASS/* or CLASS/* "
                           "(default: the digits; at 227 pixels noise)")  # fmt: skip

    return add


def _add_pack(flags: Flags) -> None:
    _of_trial("alexnet_small", 32, 100)(flags)
    flags.add_argument("--all", action="store_true", help="the fine-tuned runs too: 28, not 14")


def _step(chosen: Namespace) -> Report:
    from transferlab.bench import step

    return step.measure(_trial(chosen), workers=chosen.workers, repetitions=chosen.repetitions)


def _add_step(flags: Flags) -> None:
    _of_trial("alexnet_small", 128, 30)(flags)
    flags.add_argument("--workers", type=_count, default=0, metavar="N",
                       help="processes that read images which are files (default: 0)")  # fmt: skip


def _study(chosen: Namespace) -> Report:
    from transferlab.bench import study

    return study.measure(
        chosen.study,
        steps=chosen.steps,
        at_once=chosen.at_once,
        repetitions=chosen.repetitions,
    )


def _add_study(flags: Flags) -> None:
    flags.add_argument("--study", default="quick", metavar="NAME", help="(default: quick)")
    flags.add_argument("--steps", type=_positive, metavar="N",
                       help="of training (default: those of the recipe)")  # fmt: skip
    flags.add_argument("--at-once", type=_positive, default=1, metavar="N",
                       help="single runs at a time (default: 1, as in a loop)")  # fmt: skip


def _loader(chosen: Namespace) -> Report:
    from transferlab.bench import loader

    return loader.measure(root=chosen.root, count=chosen.images, repetitions=chosen.repetitions)


def _add_loader(flags: Flags) -> None:
    flags.add_argument("--root", type=_folder, metavar="DIR",
                       help="JPEGs, CLASS/* or train/CLASS/* (default: two photographs that come "
                       "with scikit-learn, cut into 64)")  # fmt: skip
    flags.add_argument("--images", type=_positive, default=512, metavar="N",
                       help="so many of them (default: 512, more than a cache holds)")  # fmt: skip


BENCHMARKS: Mapping[str, Benchmark] = {
    "loader": Benchmark(
        "our loaders against torchvision's default, on one core", 5, _add_loader, _loader
    ),
    "pack": Benchmark("runs in the planner's packs against one after another", 5, _add_pack, _pack),
    "trainer": Benchmark("steps of the Trainer against a bare loop", 9, _steps(60), _trainer),
    "startup": Benchmark(
        "light commands against importing everything", 7, lambda flags: None, _startup
    ),
    "step": Benchmark(
        "our step against float32 eager; real data against a resident batch", 5, _add_step, _step
    ),
    "study": Benchmark("a study by sweep against a process a run", 1, _add_study, _study),
}
