"""The command `inspect`: what a network is made of, and what each of its operations costs."""

import argparse
import difflib
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from transferlab.cli import operation_table
from transferlab.cli.flags import Flags, path_of
from transferlab.errors import UserError
from transferlab.models.zoo import NETWORKS, published
from transferlab.results import formats
from transferlab.runtime import output

if TYPE_CHECKING:
    from transferlab.models.operations import Table

CUTS = ("stage", "fine")
LIBRARIES = ("torchvision", "timm")
# What is asked for, the first that is given -> the flags without effect on it
UNUSED: Mapping[str, tuple[str, ...]] = {
    "list": ("image_size", "num_classes", "cuts", "against", "plot"),
    "against": ("plot", "format"),
    "plot": ("format",),
}
OUTPUTS, IMAGE_SIZE = 1000, 224  # of ImageNet, for networks that are not in the zoo


def run(arguments: Sequence[str]) -> int:
    """Every operation of a network: kernel, stride, padding, groups, channels, map, jump, receptive
    field, neurons, parameters and multiply-accumulates, and where it may be cut; totals of each
    stage. MODEL is a name of --list, torchvision:NAME, timm:NAME or package.module:function."""
    options = _flags().parse_args(arguments)
    _check(options)
    if options.list:
        table = operation_table.catalogue()
    elif options.against is not None:
        output.show(*_against(options))
        return 0
    else:
        operations = _operations(options)
        if options.plot is not None:
            _plot(operations, options)
            return 0
        table = operation_table.table(operations, _title(options))
    content = formats.render(table, options.format or "table")
    if isinstance(content, bytes):
        output.show_bytes(content)
    else:
        output.show(*content.removesuffix("\n").split("\n"))
    return 0


def _flags() -> Flags:
    flags = Flags("inspect", run.__doc__ or "", store=False)
    flags.add_argument("model", nargs="?", metavar="MODEL", help="the network")
    flags.add_argument("--list", action="store_true", default=None,
                       help="all networks with their totals and published errors")  # fmt: skip
    flags.add_argument("--image-size", type=int, metavar="P",
                       help="pixels a side (default: as its authors train it)")  # fmt: skip
    flags.add_argument("--num-classes", type=int, metavar="K",
                       help="outputs (default: those of its paper's data set)")  # fmt: skip
    flags.add_argument("--cuts", metavar="NAME",
                       help=f"{' or '.join(CUTS)}: as model.cuts (default: stage)")  # fmt: skip
    flags.add_argument("--against", metavar="LIBRARY",
                       help=f"how that of {' or '.join(LIBRARIES)} differs, in words")  # fmt: skip
    flags.add_argument("--plot", type=path_of, metavar="FILE",
                       help="draw parameters, multiply-accumulates, map and receptive field "
                       "along the depth: FILE.pdf, .png or .svg")  # fmt: skip
    flags.add_argument("--format", metavar="NAME",
                       help=f"{', '.join(formats.FORMATS)} (default: table)")  # fmt: skip
    return flags


def _check(options: argparse.Namespace) -> None:
    for flag, value, known in (
        ("--cuts", options.cuts, CUTS),
        ("--against", options.against, LIBRARIES),
        ("--format", options.format, formats.FORMATS),
    ):
        if value is not None and value not in known:
            raise UserError(f"{flag} {value} is unknown: choose one of {', '.join(known)}")
    for flag, value in (
        ("--image-size", options.image_size),
        ("--num-classes", options.num_classes),
    ):
        if value is not None and value < 1:
            raise UserError(f"{flag} {value} is out of range: it is at least 1")
    if options.format == "parquet" and sys.stdout.isatty():
        raise UserError("--format parquet is binary: send it to a file or a program")
    if bool(options.list) == (options.model is not None):
        raise UserError("name a network, inspect MODEL, or list them all, inspect --list")
    _refuse_unused(options)
    if options.plot is not None:
        from transferlab.results import figures

        figures.kind_of(options.plot)
    if not options.list and options.model not in NETWORKS and ":" not in options.model:
        near = difflib.get_close_matches(options.model, NETWORKS, n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else "inspect --list has all of them"
        raise UserError(f"{options.model} is an unknown network: {hint}")


def _refuse_unused(options: argparse.Namespace) -> None:
    """Raises: UserError for a flag without effect on what is asked for."""
    asked = next((name for name in UNUSED if getattr(options, name) is not None), None)
    for name in UNUSED[asked] if asked else ():
        if getattr(options, name) is not None:
            flag = name.replace("_", "-")
            raise UserError(f"--{flag} has no effect with --{asked}: omit one of them")


def _size(options: argparse.Namespace) -> int:
    entry = NETWORKS.get(options.model)
    return int(options.image_size or (entry.crop if entry else IMAGE_SIZE))


def _outputs(options: argparse.Namespace) -> int:
    facts = published.NETWORKS.get(options.model)
    return int(options.num_classes or (facts.outputs if facts else OUTPUTS))


def _title(options: argparse.Namespace) -> str:
    size = _size(options)
    return f"{options.model}: images of {size}x{size} pixels, {_outputs(options)} classes"


def _operations(options: argparse.Namespace) -> "Table":
    import torch

    from transferlab import models
    from transferlab.models import operations

    with torch.device("meta"):
        network = models.build(
            options.model, num_outputs=_outputs(options), image_size=_size(options),
            cuts="fine" if options.cuts == "fine" else "stage",
        )  # fmt: skip
    return operations.table(network, _size(options))


def _against(options: argparse.Namespace) -> list[str]:
    from transferlab.models import alignment, reference

    name = published.counterpart(options.model, options.against)
    theirs = reference.network(options.against, name, num_outputs=_outputs(options))
    ours = _operations(options)
    words = alignment.differences(ours, theirs.table)
    return [
        f"{options.against}:{name} ({theirs.image_size} pixels) against {_title(options)}",
        "",
        *(words or ["the same operations, channels, parameters and multiply-accumulates"]),
    ]


def _plot(operations: "Table", options: argparse.Namespace) -> None:
    from transferlab.results import figures
    from transferlab.results.figures import depth

    figure = depth.draw(_title(options), operation_table.points(operations))
    figures.write(figure, options.plot)
    output.note(str(options.plot))
