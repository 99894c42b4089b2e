"""What the papers say of the networks: totals as computed from their tables, published errors.

`published.csv` has its sources by line. Read without building a network, and without torch.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

from transferlab.errors import UserError

LIBRARIES = ("torchvision", "timm")


@dataclass(frozen=True)
class Published:
    """One network. Errors are fractions of the data set that its paper tests on, by `protocol`.

    `parameters` and `macs` (multiply-accumulates of one image) are of images of `image_size` pixels
    and `outputs` classes, without auxiliary heads. `origin`: what its graph is taken from.
    `counterparts`: the networks of that name in libraries.
    """

    parameters: int
    macs: int
    image_size: int
    outputs: int
    top1_error: float | None
    top5_error: float | None
    protocol: str
    origin: str
    source: str
    counterparts: Mapping[str, str]


def _read() -> dict[str, Published]:
    text = resources.files(__package__).joinpath("published.csv").read_text("utf-8")
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    return {row["name"]: _network(row) for row in rows}


def _network(row: Mapping[str, str]) -> Published:
    return Published(
        parameters=int(row["parameters"]),
        macs=int(row["macs"]),
        image_size=int(row["image_size"]),
        outputs=int(row["outputs"]),
        top1_error=_fraction(row["top1_error"]),
        top5_error=_fraction(row["top5_error"]),
        protocol=row["protocol"],
        origin=row["origin"],
        source=row["source"],
        counterparts={library: row[library] for library in LIBRARIES if row[library]},
    )


def _fraction(percent: str) -> float | None:
    return float(percent) / 100 if percent else None


NETWORKS: Mapping[str, Published] = _read()


def counterpart(model: str, library: str) -> str:
    """The network of that name in a library. Raises: UserError if it has none."""
    facts = NETWORKS.get(model)
    name = model.partition(":")[2] if facts is None else facts.counterparts.get(library, "")
    if not name:
        others = [name for name, each in NETWORKS.items() if library in each.counterparts]
        raise UserError(
            f"{library} has no network of the name {model}: compare one of {' '.join(others)}"
        )
    return name
