"""The command `report`: everything a store has to show as one HTML page."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from transferlab import results
from transferlab.cli.flags import Flags
from transferlab.errors import UserError
from transferlab.results import tables
from transferlab.runtime import logs

OUT = Path("report.html")


def run(arguments: Sequence[str]) -> int:
    """Results as one page that needs nothing else: tables, figures, their data, what is missing.
    --store published:yosinski2014 takes the paper's own networks."""
    chosen = _flags().parse_args(arguments)
    logs.to_stderr()
    if chosen.metric not in (None, *tables.METRICS):
        known = ", ".join(tables.METRICS)
        raise UserError(f"--metric {chosen.metric} is not there: choose one of {known}")
    from transferlab.results import formats
    from transferlab.results.page import (
        report,  # matplotlib, which help and refusals can do without
    )

    found = results.load(chosen.store, study=chosen.study)
    page = report.page(found, chosen.metric, published=chosen.published)
    formats.write(chosen.out, page)
    print(chosen.out, file=sys.stderr)
    return 0


def _flags() -> Flags:
    flags = Flags("report", run.__doc__ or "")
    flags.add_argument("--study", metavar="NAME", help="only the runs of this study")
    flags.add_argument("--metric", metavar="NAME",
                       help=f"{', '.join(tables.METRICS)} (default: top1_final; of published "
                       "networks top1_best10, which is what the paper plots)")  # fmt: skip
    flags.add_argument("--published", action=argparse.BooleanOptionalAction, default=True,
                       help="the paper's networks behind one's own in the figures")  # fmt: skip
    flags.add_argument("--out", type=lambda text: Path(text).expanduser(), default=OUT,
                       metavar="FILE", help=f"the page (default: {OUT})")  # fmt: skip
    return flags
