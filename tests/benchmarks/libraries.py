"""Which networks of torchvision and timm can be cut: `python tests/benchmarks/libraries.py timm`.

One row for each network of a library: the smallest of some image sizes that it takes, its stages,
and whether their outputs were compared bit for bit (`verified`), only found (`found`, networks of
more than `--most` million parameters) or why not (`refused`). What FILE already has is not examined
again. One process; of a network that takes longer than `--limit` seconds nothing is known.
"""

import argparse
import csv
import gc
import signal
import warnings
from pathlib import Path
from types import FrameType

import timm
import torch

from transferlab import models
from transferlab.errors import UserError
from transferlab.models import libraries
from transferlab.models.stages import StagedNetwork

SMALL = 32, 64, 128  # pixels a side
COLUMNS = "network", "parameters", "image_size", "stages", "fine", "outcome", "reason"
OUTPUTS = 7


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("library", choices=libraries.LIBRARIES)
    parser.add_argument("--file", type=Path, required=True, help="rows are appended")
    parser.add_argument("--most", type=int, default=100, help="million parameters to compute with")
    parser.add_argument("--limit", type=int, default=240, help="seconds for one network")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGALRM, _stop)
    known = _known(arguments.file)
    for name in _by_family(arguments.library):
        if name not in known:
            signal.alarm(arguments.limit)
            row = _examined(name, arguments.most)
            signal.alarm(0)
            with arguments.file.open("a", newline="") as file:
                csv.writer(file).writerow(row)
            print(*row, flush=True)
            gc.collect()


def _stop(signal_number: int, frame: FrameType | None) -> None:
    raise TookTooLong


class TookTooLong(BaseException):
    """No error of the network's, which `models.build` would report as such."""


def _known(file: Path) -> set[str]:
    if not file.exists():
        file.write_text(",".join(COLUMNS) + "\n")
    with file.open(newline="") as rows:
        return {row["network"] for row in csv.DictReader(rows)}


def _by_family(library: str) -> list[str]:
    """The first network of each family, then the second, and so on."""
    if library != "timm":
        return libraries.names(library)
    families = [timm.list_models(module=module) for module in timm.list_modules()]
    order = [(index, f"timm:{name}") for names in families for index, name in enumerate(names)]
    return [name for _, name in sorted(order)]


def _examined(name: str, most: int) -> tuple[str | int, ...]:
    reason = ""
    for size in (*SMALL, _native(name)):
        try:
            with torch.device("meta"):
                network = models.build(name, num_outputs=OUTPUTS, image_size=size)
            count = sum(parameter.numel() for parameter in network.parameters())
            outcome = "found"
            if count <= most * 1_000_000:
                network = models.build(name, num_outputs=OUTPUTS, image_size=size)
                outcome = "verified"
            return name, count, size, *_counts(network), outcome, ""
        except UserError as error:
            reason = str(error)
            if "pixels" not in reason:
                break
        except TookTooLong:
            return name, "", "", "", "", "unknown", "took too long"
    return name, "", "", "", "", "refused", reason


def _native(name: str) -> int:
    """The images, in pixels a side, for which the library has the network."""
    library, _, network = name.partition(":")
    config = timm.get_pretrained_cfg(network) if library == "timm" else None
    return 224 if config is None else config.input_size[-1]


def _counts(network: StagedNetwork) -> tuple[int, int]:
    stage = len(network)
    network.cuts = "fine"
    return stage, len(network)


if __name__ == "__main__":
    main()
