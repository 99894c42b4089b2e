"""The operations of a network as a table for `results.formats`, and the table of all networks."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from transferlab.models.zoo import NETWORKS, published
from transferlab.models.zoo.published import Published

if TYPE_CHECKING:
    from transferlab.models.operations import Operation, Table
    from transferlab.results.figures.depth import Point

COUNTS = ("neurons", "parameters", "macs")
INTEGERS = ("groups", "in", "out", *COUNTS)


def table(operations: "Table", title: str) -> pd.DataFrame:
    """A row for every operation, after each stage one with its totals, and the total at the end.

    `cut` is the number of the cut after a stage: transfer.n.
    """
    rows: list[dict[str, Any]] = []
    stages = list(operations.stages())
    for number, (stage, members) in enumerate(operations.blocks(), start=1):
        rows += [_row(op) for op in members]
        cut = f"n={number}" if number < len(stages) else ""
        rows.append({**_sums("stage", stage, operations.stages()[stage]), "cut": cut})
    rows.append(_sums("total", "", operations.trunk))
    made = pd.DataFrame(rows)
    for key in INTEGERS:
        made[key] = made[key].astype("Int64")
    made.attrs = {
        "title": title,
        "notes": _notes(operations),
        "grouped": list(COUNTS),
        "shown": [key for key in made if key != "row"],
    }
    return made


def _row(op: "Operation") -> dict[str, Any]:
    return {
        "row": "auxiliary" if op.auxiliary else "operation",
        "stage": op.stage,
        "operation": op.name,
        "op": op.op,
        "kernel": op.kernel,
        "stride": op.stride,
        "pad": op.pad,
        "groups": op.groups,
        "in": op.in_channels,
        "out": op.out_channels,
        "map": op.map_text,
        "jump": op.jump_text,
        "field": op.field_text,
        "neurons": op.neurons,
        "parameters": op.parameters,
        "macs": op.macs,
        "cut": "",
    }


def _sums(row: str, stage: str, operations: Sequence["Operation"]) -> dict[str, Any]:
    """The totals of some operations, with the map that is the output of the last."""
    last = operations[-1]
    return {
        **dict.fromkeys(_row(last), ""),
        "row": row,
        "stage": stage,
        "op": f"[{row}]",
        "groups": None,
        "in": operations[0].in_channels,
        "out": last.out_channels,
        "map": last.map_text,
        "jump": last.jump_text,
        "field": last.field_text,
        **{key: sum(getattr(op, key) or 0 for op in operations) for key in COUNTS},
    }


def _notes(operations: "Table") -> list[str]:
    notes = [
        "field: receptive field, macs: multiply-accumulates, both with zero padding; "
        "cut: transfer.n after the stage"
    ]
    if operations.auxiliary_parameters:
        notes.append(
            f"auxiliary heads, not in the totals: {operations.auxiliary_parameters:,} parameters"
        )
    return notes


def catalogue() -> pd.DataFrame:
    """All networks of the zoo, with their totals and the errors that their authors published."""
    made = pd.DataFrame([_published(name, published.NETWORKS[name]) for name in NETWORKS])
    made.attrs = {
        "title": f"{len(made)} networks",
        "notes": [
            "errors as published, by protocol; macs: multiply-accumulates of one image",
            "any other: torchvision:NAME, timm:NAME or package.module:function",
        ],
        "grouped": ["parameters", "macs"],
        "percent": ["top1_error", "top5_error"],
        "shown": [key for key in made if key != "source"],
    }
    return made


def _published(name: str, facts: Published) -> dict[str, Any]:
    return {
        "model": name,
        "parameters": facts.parameters,
        "macs": facts.macs,
        "pixels": facts.image_size,
        "classes": facts.outputs,
        "top1_error": facts.top1_error,
        "top5_error": facts.top5_error,
        "from": facts.origin,
        "protocol": facts.protocol,
        "source": facts.source,
    }


def points(operations: "Table") -> "list[Point]":
    """The operations for `figures.depth`, without auxiliary heads."""
    from transferlab.results.figures.depth import Point

    return [
        Point(
            stage=op.stage,
            parameters=op.parameters,
            macs=op.macs,
            side=max(op.size) if len(op.size) == 2 else None,
            field=None if None in op.field else max(n for n in op.field if n is not None),
        )
        for op in operations.trunk
    ]
