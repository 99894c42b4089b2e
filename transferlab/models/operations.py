"""A network as a table of operations: what is fused to what, what each costs and what it sees.

A row is one operation with what is fused to it, in order of execution: `conv+bn+relu`, or
`bn+relu+conv` before activation. A fully connected layer is a convolution with its input map as
the kernel, global pooling a pool with the map as its window. Multiply-accumulates are counted as in
`shapes`: every tap, those on zero padding too.
"""

import math
from dataclasses import dataclass
from typing import Any

from torch import nn

from transferlab.errors import UserError
from transferlab.models import calls, maps
from transferlab.models.calls import Windows
from transferlab.models.facts import stage_number
from transferlab.models.fusing import Row, fused
from transferlab.models.recording import Call, Recorder
from transferlab.models.stages import StagedNetwork

AUXILIARY = "auxiliary"  # of a StagedNetwork: its heads, by name


@dataclass(frozen=True)
class Operation:
    """One row. Sizes, jumps and fields are (height, width); a size of one number counts tokens.

    `neurons` are the outputs of an operation with weights of its own. `auxiliary`: it belongs to an
    auxiliary head, which no total counts.
    """

    stage: str
    name: str
    op: str
    windows: Windows | None
    groups: int | None
    in_channels: int
    out_channels: int
    size: tuple[int, ...]
    jump: tuple[int | None, int | None]
    field: tuple[int | None, int | None]
    neurons: int | None
    parameters: int
    macs: int
    bias: bool
    auxiliary: bool

    @property
    def kernel(self) -> str:
        return "" if self.windows is None else maps.text([w.kernel for w in self.windows])

    @property
    def stride(self) -> str:
        return "" if self.windows is None else maps.text([w.stride for w in self.windows])

    @property
    def pad(self) -> str:
        """`1`; `0:1` for none before and one after the map."""
        if self.windows is None:
            return ""
        return maps.text([
            str(w.before) if w.before == w.after else f"{w.before}:{w.after}" for w in self.windows
        ])  # fmt: skip

    @property
    def map_text(self) -> str:
        return maps.text(self.size)

    @property
    def jump_text(self) -> str:
        return maps.text(self.jump)

    @property
    def field_text(self) -> str:
        return maps.text(self.field)

    @property
    def full_name(self) -> str:
        return f"{self.stage}.{self.name}" if self.stage else self.name


@dataclass(frozen=True)
class Table:
    """The operations of a network, in order. `unused`: parameters that no operation uses."""

    operations: tuple[Operation, ...]
    unused: int

    @property
    def trunk(self) -> tuple[Operation, ...]:
        return tuple(op for op in self.operations if not op.auxiliary)

    @property
    def auxiliary_parameters(self) -> int:
        """Those of auxiliary heads, also of heads that only training uses."""
        return self.unused + sum(op.parameters for op in self.operations if op.auxiliary)

    @property
    def parameters(self) -> int:
        return sum(op.parameters for op in self.trunk)

    @property
    def macs(self) -> int:
        return sum(op.macs for op in self.trunk)

    @property
    def neurons(self) -> int:
        return sum(op.neurons or 0 for op in self.trunk)

    def stages(self) -> dict[str, tuple[Operation, ...]]:
        """The operations by stage, in order, without auxiliary heads."""
        names = dict.fromkeys(op.stage for op in self.trunk)
        return {n: tuple(op for op in self.trunk if op.stage == n) for n in names}

    def blocks(self) -> list[tuple[str, tuple[Operation, ...]]]:
        """The same with the auxiliary heads, each after the stage that it hangs on."""
        blocks: list[tuple[str, tuple[Operation, ...]]] = []
        for op in self.operations:
            if op.auxiliary or blocks and blocks[-1][0] == op.stage:
                name, members = blocks.pop()
                blocks.append((name, (*members, op)))
            else:
                blocks.append((op.stage, (op,)))
        return blocks


def table(network: nn.Module, image_size: int, *, channels: int = 3) -> Table:
    """The operations of a network for an image of `image_size` pixels a side.

    Of a `StagedNetwork` those of its stages and then of its auxiliary heads; any other module is
    one stage without a name. Its weights are on the meta device, or it is moved there.

    Raises: MapVanished if the image is too small; UserError if the output does not come from the
        image through functions of torch.
    """
    network = network.to("meta").eval()
    recorder = Recorder(network)
    with recorder.recording():
        x = recorder.image(channels, image_size)
        if isinstance(network, StagedNetwork):
            _follow(network, recorder, x)
        else:
            _require(recorder, network(x))
    rows = fused(recorder.calls)
    return Table(tuple(map(_operation, rows)), sum(recorder.unused.values()))


def _follow(network: StagedNetwork, recorder: Recorder, x: Any) -> None:
    """Stage by stage, each auxiliary head after the stage that it hangs on."""
    names = network.stage_names
    taps = {name: stage_number(names, tap) for name, (tap, _) in network.taps.items()}
    for number, (name, stage) in enumerate(network.stages.items(), start=1):
        recorder.stage = name
        x = stage(x)
        for head in (head for head, tap in taps.items() if tap == number):
            recorder.stage = f"{AUXILIARY}.{head}"
            network.auxiliary[head](x)
    _require(recorder, x)


def _require(recorder: Recorder, output: Any) -> None:
    outputs = output if isinstance(output, tuple | list) else [output]
    if not any(recorder.knows(tensor) for tensor in outputs):
        raise UserError(
            "the network cannot be inspected: its output does not come from the image through "
            "functions of torch"
        )


def _operation(row: Row) -> Operation:
    main = row.main
    incoming, out = main.incoming[0], main.out
    weighted = main.kind in calls.WEIGHTED
    auxiliary = main.stage.startswith(f"{AUXILIARY}.")
    return Operation(
        stage=row.calls[-1].stage,
        name=_name(main),
        op=f"aux:{row.op}" if auxiliary else row.op,
        windows=row.windows,
        groups=main.groups,
        in_channels=out.channels if main.kind == "concat" else incoming.channels,
        out_channels=out.channels,
        size=out.positions,
        jump=(out.height.jump, out.width.jump),
        field=(out.height.field, out.width.field),
        neurons=math.prod(out.shape) if weighted else None,
        parameters=sum(sum(call.weights.values()) for call in row.calls),
        macs=sum(call.macs for call in row.calls),
        bias=weighted and len(main.weights) > 1,
        auxiliary=auxiliary,
    )


def _name(call: Call) -> str:
    path = call.path.removeprefix(f"{call.stage}.") if call.path != call.stage else ""
    return path or call.kind
