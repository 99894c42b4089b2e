"""The command `bench`: implementations measured in turn on this machine, and their ratio."""

import importlib
import logging
from collections.abc import Sequence

from transferlab import bench
from transferlab.bench import flags, report
from transferlab.cli.flags import Flags
from transferlab.errors import Interrupted, RunFailed
from transferlab.runtime import logs, output


def run(arguments: Sequence[str]) -> int:
    """Measure in turn (A B A B ...), and print the ratio's median and range beside its target."""
    name, *rest = arguments or ["--help"]
    if name not in bench.BENCHMARKS:
        _names().parse_args([name])
    try:
        return _measure(name, rest)
    except KeyboardInterrupt as error:
        reason = str(error) or "stopped by SIGINT"
        raise Interrupted(
            reason, f"bench {name} has no result, and keeps nothing to resume"
        ) from error


def _measure(name: str, arguments: Sequence[str]) -> int:
    benchmark = importlib.import_module(f"{bench.__name__}.{name}")
    parser = Flags(f"bench {name}", bench.BENCHMARKS[name], store=False)
    parser.add_argument("--json", action="store_true", help="everything as one JSON object")
    parser.add_argument(
        "--repetitions", type=flags.positive, default=benchmark.REPETITIONS, metavar="N",
        help="repetitions of each side (default: %(default)s)",
    )  # fmt: skip
    benchmark.add_flags(parser)
    selected = parser.parse_args(arguments)
    logs.to_stderr()
    logging.getLogger(logs.ROOT).setLevel(logging.WARNING)  # of what it runs, and of its own:
    logging.getLogger(bench.__name__).setLevel(logging.INFO)
    measured = benchmark.measure(selected)
    output.show(*(report.as_json if selected.json else report.as_lines)(measured))
    failed = [f"{check.what}: {check.found}" for check in measured.checks if check.passed is False]
    if failed:
        raise RunFailed(f"bench {name}: failed checks: {'; '.join(failed)}")
    return 0


def _names() -> Flags:
    """Only for an unknown name, and for --help."""
    text = "; ".join(f"{name}: {description}" for name, description in bench.BENCHMARKS.items())
    parser = Flags("bench", f"{run.__doc__} {text}.", store=False)
    parser.add_argument("name", choices=tuple(bench.BENCHMARKS),
                        help="the benchmark; its flags: bench NAME --help")  # fmt: skip
    return parser
