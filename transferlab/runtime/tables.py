"""Aligned text for people: rows in columns, with or without a heading.

Plain string formatting, so that `status` has no slow import.
"""

from collections.abc import Collection, Sequence

from transferlab.runtime.escapes import escaped

GAP = "  "


def aligned(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> list[str]:
    """A line for each row, its cells padded to the width of their columns.

    Columns whose numbers are in `right` are right-aligned; columns without any text are omitted.
    Control characters are escaped, so that a row is one line.
    """
    return _lines(_columns(rows), len(rows), right)


def table(
    heading: Sequence[str], rows: Sequence[Sequence[str]], right: Collection[int] = ()
) -> list[str]:
    """The lines of `aligned` under a heading and a rule."""
    columns = _columns([heading, *rows])
    ruled = [(head, "-" * max(map(len, (head, *rest))), *rest) for head, *rest in columns]
    return _lines(ruled, len(rows) + 2, right)


def _columns(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    return [[*map(escaped, column)] for column in zip(*rows, strict=True)]


def _lines(columns: Sequence[Sequence[str]], rows: int, right: Collection[int]) -> list[str]:
    padded = []
    for number, column in enumerate(columns):
        if width := max(map(len, column)):
            pad = str.rjust if number in right else str.ljust
            padded.append([pad(cell, width) for cell in column])
    if not padded:
        return [""] * rows
    return [GAP.join(cells).rstrip() for cells in zip(*padded, strict=True)]
