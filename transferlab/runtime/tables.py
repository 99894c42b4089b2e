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
    rows = [[escaped(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        GAP.join(
            cell.rjust(width) if number in right else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
            if width
        ).rstrip()
        for row in rows
    ]


def table(
    heading: Sequence[str], rows: Sequence[Sequence[str]], right: Collection[int] = ()
) -> list[str]:
    """The lines of `aligned` under a heading and a rule."""
    rule = [
        "-" * max(len(escaped(cell)) for cell in column)
        for column in zip(heading, *rows, strict=True)
    ]
    return aligned([heading, rule, *rows], right)
