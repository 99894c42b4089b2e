"""How one network differs from another of the same name, in words.

The operations of both are aligned, in order, so that as little as possible differs; what differs in
several places is one line with all of them. Concatenations are not compared: a dense block may
write them in several ways.
"""

from collections.abc import Iterator, Sequence

from transferlab.models import calls, maps
from transferlab.models.operations import Operation, Table

GAP = 1.0  # the cost of an operation that only one network has; a pair that differs costs less
SHOWN = 4  # places that a line names


def differences(ours: Table, theirs: Table) -> list[str]:
    """What `theirs` has and `ours` has not, and the reverse: a line each, the totals first.

    An empty list: the same operations with the same windows, channels, parameters and
    multiply-accumulates, in the same order.
    """
    lines = [
        f"{name}: {b:,} instead of {a:,} ({b - a:+,})"
        for name, a, b in (
            ("parameters", ours.parameters, theirs.parameters),
            ("multiply-accumulates", ours.macs, theirs.macs),
            ("parameters of auxiliary heads", ours.auxiliary_parameters,
             theirs.auxiliary_parameters),
        )
        if a != b
    ]  # fmt: skip
    lines += _overall(ours.trunk, theirs.trunk)
    pairs = list(_aligned(_compared(ours), _compared(theirs)))
    places: dict[str, list[str]] = {}
    for number, (a, b) in enumerate(pairs):
        for text in _changes(a, b, pairs[number:]):
            places.setdefault(text, []).append(_place(a, b))
    return lines + [f"{text}: {_list(names)}" for text, names in places.items()]


def _compared(table: Table) -> list[Operation]:
    return [op for op in table.trunk if kind_of(op) not in ("concat", "zeropad_channels")]


def kind_of(operation: Operation) -> str:
    """What the main operation of a row is: `conv` of `bn+relu+conv`."""
    kinds = [part.partition("(")[0] for part in operation.op.split("+")]
    mains = [kind for kind in kinds if kind in calls.WEIGHTED | calls.POOLS | calls.JOINS]
    return mains[0] if mains else kinds[0]


def _overall(ours: Sequence[Operation], theirs: Sequence[Operation]) -> Iterator[str]:
    """Batch normalisation and biases, which all weights have in most networks, or none."""
    for text, has in (("batch normalisation", _normalised), ("a bias", lambda op: op.bias)):
        counts = [
            (sum(map(has, weighted)), len(weighted))
            for weighted in ([op for op in ops if op.neurons] for ops in (ours, theirs))
        ]
        (a, of_a), (b, of_b) = counts
        if a != b and of_a - a != of_b - b:
            yield f"{text} with {b} of {of_b} operations with weights instead of {a} of {of_a}"


def _normalised(operation: Operation) -> bool:
    return bool(calls.NORMS.intersection(operation.op.split("+")))


# --- alignment ----------------------------------------------------------------------------------

Pair = tuple[Operation | None, Operation | None]


def _aligned(ours: Sequence[Operation], theirs: Sequence[Operation]) -> list[Pair]:
    """Pairs in order, None where one side has nothing: the cheapest, by dynamic programming."""
    costs = [[GAP * j for j in range(len(theirs) + 1)]]
    for i, a in enumerate(ours, start=1):
        above, row = costs[-1], [GAP * i]
        for j, b in enumerate(theirs, start=1):
            row.append(min(above[j - 1] + _cost(a, b), above[j] + GAP, row[-1] + GAP))
        costs.append(row)
    pairs: list[Pair] = []
    i, j = len(ours), len(theirs)
    while i or j:
        if i and j and costs[i][j] == costs[i - 1][j - 1] + _cost(ours[i - 1], theirs[j - 1]):
            i, j = i - 1, j - 1
            pairs.append((ours[i], theirs[j]))
        elif i and costs[i][j] == costs[i - 1][j] + GAP:
            i -= 1
            pairs.append((ours[i], None))
        else:
            j -= 1
            pairs.append((None, theirs[j]))
    return pairs[::-1]


def _cost(a: Operation, b: Operation) -> float:
    """Between 0, the same, and less than two gaps; operations of different kinds are no pair.

    A fully connected layer and a convolution are one kind.
    """
    if kind_of(a) != kind_of(b) and not (a.neurons and b.neurons):
        return 2 * GAP + 1
    return sum(
        weight
        for weight, x, y in (
            (0.75, a.kernel, b.kernel),
            (0.25, a.stride, b.stride),
            (0.25, a.size, b.size),
            (0.25, a.out_channels, b.out_channels),
            (0.125, a.in_channels, b.in_channels),
        )
        if x != y
    )


# --- words --------------------------------------------------------------------------------------


def _changes(a: Operation | None, b: Operation | None, rest: Sequence[Pair]) -> Iterator[str]:
    """What differs in a pair. `rest`: the pairs from this one on."""
    if a is None or b is None:
        only = b or a
        assert only is not None
        text = _described(only) + _where(rest)
        yield f"in addition {text}" if a is None else f"without {text}"
        return
    for name, x, y in (
        ("kernel", a.kernel, b.kernel),
        ("stride", a.stride, b.stride),
        ("padding", a.pad, b.pad),
        ("groups", a.groups, b.groups),
        ("output channels", a.out_channels, b.out_channels),
        ("map", maps.text(a.size), maps.text(b.size)),
        ("operation", _without_norms(a.op), _without_norms(b.op)),
    ):
        if x != y:
            yield f"{name} {y or 'none'} instead of {x or 'none'}"


def _described(operation: Operation) -> str:
    kernel = f"{operation.kernel} " if operation.kernel else ""
    return f"{kernel}{operation.op}"


def _where(rest: Sequence[Pair]) -> str:
    """Of dropout, what it precedes."""
    first = rest[0][0] or rest[0][1]
    assert first is not None
    if not first.op.startswith("dropout"):
        return ""
    following = next((a for a, _ in rest[1:] if a is not None and a.neurons), None)
    return "" if following is None else f" before {following.full_name}"


def _place(a: Operation | None, b: Operation | None) -> str:
    names = [op.full_name for op in (a, b) if op is not None]
    return " / ".join(dict.fromkeys(names))


def _without_norms(op: str) -> str:
    return "+".join(part for part in op.split("+") if part not in calls.NORMS)


def _list(names: Sequence[str]) -> str:
    shown = ", ".join(names[:SHOWN])
    return shown if len(names) <= SHOWN else f"{shown} and {len(names) - SHOWN} more"
