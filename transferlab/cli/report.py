"""The command `report`: all results of a store as one HTML page."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from transferlab import results
from transferlab.cli import faults
from transferlab.cli.flags import WITH_PATHS, Flags, path_of
from transferlab.errors import UserError
from transferlab.results.metrics import METRICS
from transferlab.runtime import logs, output
from transferlab.runtime.garbage import uncollected

OUT = Path("report.html")


@uncollected()
def run(arguments: Sequence[str]) -> int:
    """Results as one self-contained page: tables, figures, their data, what is missing.
    --store published:yosinski2014 shows the paper's own networks."""
    options = _flags().parse_args(arguments)
    logs.to_stderr()
    if options.metric not in (None, *METRICS):
        raise UserError(f"--metric {options.metric} is unknown: choose one of {', '.join(METRICS)}")
    # imports matplotlib, which help and errors do not need
    from transferlab.results import formats
    from transferlab.results.page import report

    loaded = results.load(*options.store, study=options.study)
    page = report.page(
        loaded,
        options.metric,
        published=options.published,
        experiment=options.experiment,
        with_paths=options.with_paths,
    )
    formats.write(options.out, page)
    output.note(str(options.out))
    return faults.exit_status(loaded)


def _flags() -> Flags:
    flags = Flags("report", run.__doc__ or "", stores=True)
    flags.add_argument("--study", metavar="NAME", help="only the runs of this study")
    flags.add_argument("--experiment", metavar="TEXT",
                       help="only this experiment: its id, or a part of its name")  # fmt: skip
    flags.add_argument("--metric", metavar="NAME",
                       help=f"{', '.join(METRICS)} (default: top1_final, with several labels "
                       "an image map11_final; of published networks top1_best10)")  # fmt: skip
    flags.add_argument("--published", action=argparse.BooleanOptionalAction,
                       help="draw the paper's networks behind yours (default: where data and "
                       "network are the paper's)")  # fmt: skip
    flags.add_argument("--with-paths", action="store_true", help=WITH_PATHS)
    flags.add_argument("--out", type=path_of, default=OUT,
                       metavar="FILE", help=f"the page (default: {OUT})")  # fmt: skip
    return flags
