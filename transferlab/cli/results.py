"""The command `results`: finished runs, and the paper's figures and tables made of them."""

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from transferlab import results
from transferlab.cli.flags import Flags
from transferlab.errors import UserError
from transferlab.results import formats, tables
from transferlab.runtime import logs


def run(arguments: Sequence[str]) -> int:
    """Finished runs, or a table of the paper made of them. --store published:yosinski2014 takes
    the paper's own networks."""
    chosen = _flags().parse_args(arguments)
    logs.to_stderr()
    for flag, name, known in (
        ("--table", chosen.table, tuple(tables.TABLES)),
        ("--metric", chosen.metric, tables.METRICS),
        ("--format", chosen.format, tuple(formats.FORMATS)),
    ):
        if name is not None and name not in known:
            raise UserError(f"{flag} {name} is not there: choose one of {', '.join(known)}")
    if chosen.plot is not None:
        return _plot(chosen)
    found = results.load(chosen.store, study=chosen.study)
    return _table(found, chosen)


def _flags() -> Flags:
    flags = Flags("results", run.__doc__ or "")
    flags.add_argument("--study", metavar="NAME", help="only the runs of this study")
    flags.add_argument("--table", metavar="NAME", default="runs",
                       help=f"{_list(tables.TABLES)} (default: runs)")  # fmt: skip
    flags.add_argument("--plot", metavar="NAME",
                       help="figure2, interpretation, figure3, decomposition, curves or reduced, "
                       "to --out FILE.pdf, .png or .svg")  # fmt: skip
    flags.add_argument("--with-published", action="store_true",
                       help="put the paper's own curve behind the plot")  # fmt: skip
    flags.add_argument("--experiment", metavar="WORDS",
                       help="which one to plot, where the store has several")  # fmt: skip
    flags.add_argument("--width", type=float, default=3.3, metavar="INCHES",
                       help="of the plot (default: 3.3, one column; two are about 7)")  # fmt: skip
    flags.add_argument("--metric", metavar="NAME",
                       help=f"{_list(tables.METRICS)} (default: top1_final; of published networks "
                       "top1_best10, which is what the paper plots)")  # fmt: skip
    flags.add_argument("--format", metavar="NAME",
                       help=f"{_list(formats.FORMATS)} (default: what --out is called, else "
                       "table)")  # fmt: skip
    flags.add_argument("--out", type=lambda text: Path(text).expanduser(), metavar="FILE",
                       help="write to a file instead of stdout")  # fmt: skip
    return flags


def _list(names: Iterable[str]) -> str:
    return ", ".join(names)


def _plot(chosen: argparse.Namespace) -> int:
    """Write the plot that is asked for; what can be wrong is looked at before the store is read."""
    from transferlab.results import figures

    if chosen.plot not in figures.PLOTS:
        known = _list(figures.PLOTS)
        raise UserError(f"--plot {chosen.plot} is not there: choose one of {known}")
    if chosen.format is not None:
        raise UserError(f"--format {chosen.format} is for tables: a plot's is what --out ends in")
    if chosen.out is None:
        raise UserError(f"--plot {chosen.plot} needs a file: --out {chosen.plot}.pdf, .png or .svg")
    figures.kind_of(chosen.out)
    figure = figures.draw(
        results.load(chosen.store, study=chosen.study),
        chosen.plot,
        chosen.metric,
        chosen.with_published,
        experiment=chosen.experiment,
        width=chosen.width,
    )
    figures.write(figure, chosen.out)
    print(chosen.out, file=sys.stderr)
    return 0


def _table(found: results.Results, chosen: argparse.Namespace) -> int:
    """Show or write the table that is asked for."""
    table = tables.TABLES[chosen.table](found, chosen.metric)
    by_name = None if chosen.out is None else formats.of_file(chosen.out)
    name = chosen.format or by_name or "table"
    content = formats.render(table, name)
    if chosen.out is not None:
        formats.write(chosen.out, content)
        print(chosen.out, file=sys.stderr)
    elif isinstance(content, bytes):
        if sys.stdout.isatty():
            raise UserError(f"--format {name} is not for reading: give --out FILE")
        sys.stdout.buffer.write(content)
    else:
        print(content, end="")
    if name in ("csv", "parquet"):  # which have no place for them
        for note in table.attrs["notes"]:
            print(note, file=sys.stderr)
    return 0
