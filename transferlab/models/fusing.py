"""Which calls are one operation: weights with normalisation and activation, a sum with its own.

A normalisation belongs to the weights before it, or after it in networks with pre-activation.
Nothing is fused across the end of a stage.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from transferlab.models.calls import ACTIVATIONS, NORMS, WEIGHTED, Windows
from transferlab.models.recording import Call


@dataclass(eq=False)
class Row:
    """Calls that are one operation, in order; `main` gives its geometry."""

    calls: list[Call]
    main: Call

    @property
    def op(self) -> str:
        """What is fused, in order of execution: `conv+bn+relu`."""
        shown = (c for c in self.calls if c is self.main or c.kind not in {"pad", "concat"})
        return "+".join(self._label(call) for call in shown)

    @property
    def windows(self) -> Windows | None:
        """Those of the main call, with the padding that a call before it added."""
        windows, first = self.main.windows, self.calls[0]
        if first.kind != "pad" or first is self.main or windows is None or first.windows is None:
            return windows
        height, width = (
            replace(w, before=w.before + pad.before, after=w.after + pad.after)
            for w, pad in zip(windows, first.windows, strict=True)
        )
        return height, width

    def _label(self, call: Call) -> str:
        if call.kind == "concat":
            return f"concat({'+'.join(map(str, self._parts(call)))})"
        return call.label

    def _parts(self, call: Call) -> Iterator[int]:
        """The channels that a concatenation joins, those of concatenations in it one by one."""
        for source, incoming in zip(call.inputs, call.incoming, strict=True):
            if source is not None and source.kind == "concat" and source in self.calls:
                yield from self._parts(source)
            else:
                yield incoming.channels


def fused(recorded: Sequence[Call]) -> list[Row]:
    """The rows in the order in which their main operations are executed."""
    consumers = Counter(source for call in recorded for source in call.inputs)
    rows: dict[Call, Row] = {}
    for call in recorded:
        row = _fused(call, rows, consumers)
        rows |= dict.fromkeys(row.calls, row)
    mains = {row.main: row for row in rows.values()}
    return [mains[call] for call in recorded if call in mains]


def _fused(call: Call, rows: Mapping[Call, Row], consumers: Counter[Call | None]) -> Row:
    """The row of a call: that of its source, where it is fused to it, or a new one."""
    sources = [rows[source] for source in call.inputs if source is not None]
    near = [row for row in sources if row.calls[-1].stage == call.stage]
    last = next((row for row in near if consumers[row.calls[-1]] == 1), None)
    if call.kind in NORMS | ACTIVATIONS and last is not None and _takes(last, call, rows):
        return Row([*last.calls, call], last.main)
    before = [row for row in near if _precedes(row, call, consumers)]
    if call.kind != "concat":
        before = before[:1]
    return Row([*(n for row in before for n in row.calls), call], call)


def _takes(row: Row, call: Call, rows: Mapping[Call, Row]) -> bool:
    """Whether a normalisation or activation after a row belongs to it.

    Normalisation belongs to the weights before it, unless these take a normalised input: then it
    belongs to the next ones, as in pre-activation networks, with the activation after it.
    """
    if row.main.kind in WEIGHTED:
        return row.calls[-1] is not row.main or (
            call.kind in ACTIVATIONS or not _normalised(row.main, rows)
        )
    return call.kind in ACTIVATIONS and (row.main.kind in NORMS | {"add", "scale", "mul"})


def _normalised(call: Call, rows: Mapping[Call, Row]) -> bool:
    """Whether its input comes from a normalisation that is not that of weights before it."""
    source = call.inputs[0]
    while source is not None and source.kind in ACTIVATIONS:
        source = source.inputs[0]
    if source is None or source.kind not in NORMS:
        return False
    row = rows[source]
    return row.calls.index(source) <= row.calls.index(row.main)


def _precedes(row: Row, call: Call, consumers: Counter[Call | None]) -> bool:
    """Whether the row, whose output the operation takes, is fused to it.

    Normalisation and activation that several operations take belong to the first with weights.
    """
    kind = row.main.kind
    if kind in NORMS | ACTIVATIONS:
        return call.kind in WEIGHTED
    if consumers[row.calls[-1]] > 1:
        return False
    return (
        kind == "pad" and call.windows is not None
        or kind == "scale" and call.kind == "add"
        or kind == "concat" and call.kind == "concat"
    )  # fmt: skip
