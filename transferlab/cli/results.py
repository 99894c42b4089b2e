"""The command `results`: finished runs, and the paper's figures and tables made of them."""

import argparse
import sys
from collections.abc import Iterable, Sequence

from transferlab import results
from transferlab.cli import faults
from transferlab.cli.flags import WITH_PATHS, Flags, path_of
from transferlab.errors import UserError
from transferlab.results import Results, archive, catalogue, comparable, formats, notes
from transferlab.results.metrics import METRICS
from transferlab.results.sharing import Sharing
from transferlab.runtime import logs, output
from transferlab.runtime.garbage import uncollected

TABLE = "runs"
# What is asked for, the first that is given -> the flags without effect on it
UNUSED = {
    "archive": ("table", "plot", "published", "width", "metric", "format", "out"),
    "plot": ("table", "format", "with_paths"),
    "table": ("published", "width"),
}


@uncollected()
def run(arguments: Sequence[str]) -> int:
    """Finished runs, or a table or figure of the paper made of them. --store
    published:yosinski2014 shows the paper's own networks."""
    options = _flags().parse_args(arguments)
    logs.to_stderr()
    for flag, value, known in (
        ("--table", options.table, catalogue.table_names()),
        ("--plot", options.plot, catalogue.figure_names()),
        ("--metric", options.metric, METRICS),
        ("--format", options.format, formats.FORMATS),
    ):
        if value is not None and value not in known:
            raise UserError(f"{flag} {value} is unknown: choose one of {_list(known)}")
    _refuse_unused(options)
    if options.archive is not None:
        return _archive(options)
    if options.plot is not None:
        return _plot(options)
    return _table(results.load(*options.store, study=options.study), options)


def _flags() -> Flags:
    flags = Flags("results", run.__doc__ or "", stores=True)
    flags.add_argument("--study", metavar="NAME", help="only the runs of this study")
    flags.add_argument("--table", metavar="NAME",
                       help=f"{_list(catalogue.table_names())} (default: runs)")  # fmt: skip
    flags.add_argument("--plot", metavar="NAME",
                       help=f"{_list(catalogue.figure_names())}; to --out FILE.pdf, .png or "
                       ".svg")  # fmt: skip
    flags.add_argument("--published", action=argparse.BooleanOptionalAction,
                       help="draw the paper's networks behind yours (default: where data and "
                       "network are the paper's)")  # fmt: skip
    flags.add_argument("--experiment", metavar="TEXT",
                       help="only this experiment: its id, or part of its name")  # fmt: skip
    flags.add_argument("--width", type=float, metavar="INCHES",
                       help="width (default: 3.3, one column; two are about 7)")  # fmt: skip
    flags.add_argument("--metric", metavar="NAME",
                       help=f"{_list(METRICS)} (default: top1_final, with several labels "
                       "an image map11_final; of published networks top1_best10)")  # fmt: skip
    flags.add_argument("--format", metavar="NAME",
                       help=f"{_list(formats.FORMATS)} (default: by the name of --out, else "
                       "table)")  # fmt: skip
    flags.add_argument("--out", type=path_of, metavar="FILE",
                       help="write to a file instead of stdout")  # fmt: skip
    flags.add_argument("--with-paths", action="store_true", default=None, help=WITH_PATHS)
    flags.add_argument("--archive", type=path_of, metavar="FILE.csv",
                       help="write the runs to a file that --store reads")  # fmt: skip
    return flags


def _refuse_unused(options: argparse.Namespace) -> None:
    """Raises: UserError for a flag without effect on what is asked for."""
    asked = next((name for name in UNUSED if getattr(options, name) is not None), "table")
    for name in UNUSED[asked]:
        if getattr(options, name) is not None:
            flag = name.replace("_", "-")
            raise UserError(f"--{flag} has no effect with --{asked}: omit one of them")


def _list(names: Iterable[str]) -> str:
    return ", ".join(names)


def _archive(options: argparse.Namespace) -> int:
    """Write the finished runs to a file that is read like a store."""
    path = options.archive
    if path.suffix.lower() != archive.SUFFIX:
        raise UserError(f"--archive {path} is not a CSV file: name it FILE{archive.SUFFIX}")
    loaded = results.load(*options.store, study=options.study)
    if options.experiment is not None:
        loaded = catalogue.only(loaded, comparable.chosen(loaded.experiments, options.experiment))
    formats.write(path, archive.text(loaded.table, with_paths=bool(options.with_paths)))
    output.note(str(path), *notes.left_out(loaded))
    return faults.exit_status(loaded)


def _plot(options: argparse.Namespace) -> int:
    """Write a figure; the flags are checked before the store is read."""
    name, path = options.plot, options.out
    if path is None:
        raise UserError(f"--plot {name} needs a file: --out {name}.pdf, .png or .svg")
    from transferlab.results import figures
    from transferlab.results.figures import layout

    figures.kind_of(path)
    loaded = results.load(*options.store, study=options.study)
    figure = figures.draw(
        loaded,
        name,
        options.metric,
        options.published,
        experiment=options.experiment,
        width=layout.COLUMN if options.width is None else options.width,
    )
    figures.write(figure, path)
    output.note(str(path))
    return faults.exit_status(loaded)


def _table(loaded: Results, options: argparse.Namespace) -> int:
    """Show or write a table."""
    name, metric, experiment = options.table or TABLE, options.metric, options.experiment
    table = results.table(loaded, name, metric, experiment=experiment)
    if not options.with_paths:
        table = Sharing(loaded).table(table)
    of_file = None if options.out is None else formats.of_file(options.out)
    file_format = options.format or of_file or "table"
    content = formats.render(table, file_format)
    if options.out is not None:
        formats.write(options.out, content)
        output.note(str(options.out))
    elif isinstance(content, bytes):
        if sys.stdout.isatty():
            raise UserError(f"--format {file_format} is binary: write it to a file with --out FILE")
        output.show_bytes(content)
    else:
        output.show(*content.removesuffix("\n").split("\n"))
    if file_format in ("csv", "parquet"):  # formats without notes
        output.note(*table.attrs["notes"])
    return faults.exit_status(loaded)
