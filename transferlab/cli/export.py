"""The command `export`: the weights of a finished run as a file under its library's names."""

from collections.abc import Sequence
from pathlib import Path

from transferlab.cli.flags import Flags
from transferlab.errors import UserError
from transferlab.evaluation.runs import find
from transferlab.runtime import logs, output, paths

FORMATS = ("safetensors", "pt")


def run(arguments: Sequence[str]) -> int:
    """Write the weights of a finished run as one file: a network of torchvision or timm under
    their names, any other under its own. The file is a base of other runs: +split=pretrained
    split.weights=FILE."""
    flags = Flags("export", run.__doc__ or "")
    flags.add_argument("run", metavar="RUN",
                       help="a finished run: folder, or id or label in --store")  # fmt: skip
    flags.add_argument("--out", type=Path, required=True, metavar="FILE", help="the file")
    flags.add_argument("--format", choices=FORMATS,
                       help="safetensors, or pt as torch.save writes it (default: by the name of "
                       "the file)")  # fmt: skip
    options = flags.parse_args(arguments)
    logs.to_stderr()
    form = options.format or options.out.suffix.removeprefix(".")
    if form not in FORMATS:
        raise UserError(
            f"--out {options.out} names no format: end it in .safetensors or .pt, or choose one "
            "with --format"
        )
    found = find(options.run, options.store)
    from transferlab.evaluation.export import export  # torch: seconds

    output.show(*export(found, paths.expand(options.out), form))
    return 0
