"""A table as text or bytes, for a terminal, another program or a paper.

In the readable formats accuracies are in percent with two digits, and the notes are below the
table; in the machine formats they are fractions with every digit, and every column is included.
Nothing is computed here.
"""

import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from transferlab.errors import UserError
from transferlab.runtime import files, tables
from transferlab.runtime.escapes import escaped, inert

OUT = files.Advice(
    full="make room, or write to another disk",
    refused="choose a file in an existing, writable folder with --out FILE",
)
DIGITS = 2  # of a percentage, unless the table says otherwise
# Letters that are commands in LaTeX
LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"} | {
    letter: f"\\{letter}" for letter in "&%$#_{}"
}


def render(table: pd.DataFrame, name: str) -> str | bytes:
    """The table in the format `name`, one of FORMATS. Raises: UserError for another name."""
    if name not in FORMATS:
        raise UserError(f"format={name} is unknown: choose one of {', '.join(FORMATS)}")
    return FORMATS[name](table)


def of_file(path: Path) -> str | None:
    """The format by the suffix of a file, None if no format has it."""
    return SUFFIXES.get(path.suffix.lower())


def write(path: Path, content: str | bytes) -> None:
    """Write a file atomically: a reader sees the old one or the new one.

    Raises: UserError if it cannot be written.
    """
    data = content if isinstance(content, bytes) else content.encode()
    files.write(path, lambda file: file.write(data), OUT)


def title(table: pd.DataFrame) -> str:
    """`Figure 2: top1_final, digits (10 classes, 1.44k images) alexnet_small quick`, in a line."""
    parts = [table.attrs["metric"]] if "metric" in table.attrs else []
    if "experiment" in table and table["experiment"].nunique() == 1:
        parts.append(table["experiment"].dropna().iloc[0])  # rows of published values have none
    about = f": {', '.join(parts)}" if parts else ""
    return escaped(f"{table.attrs['title']}{about}")


def cells(table: pd.DataFrame, *, pasted: bool) -> pd.DataFrame:
    """The columns to be shown as text, accuracies in percent.

    `pasted`: the format is one that a spreadsheet takes apart, as HTML, so that a text which begins
    like a formula is marked as text.
    """
    percent = dict.fromkeys(table.attrs.get("percent", ()), DIGITS) | table.attrs.get("digits", {})
    keys = [key for key in table.attrs.get("shown", table.columns) if key in table]
    if "experiment" in keys and table["experiment"].nunique() < 2:
        keys.remove("experiment")  # it is in the title
    grouped = table.attrs.get("grouped", ())  # large counts: 60,965,224
    shown = {
        f"{key} %" if key in percent else key: _cells(
            table[key], percent.get(key), pasted, grouped=key in grouped
        )
        for key in keys
    }
    return pd.DataFrame(shown, dtype=object)


def column_of(key: object) -> str:
    """The column of the table that a column of `cells` shows."""
    return str(key).removesuffix(" %")


def is_number(table: pd.DataFrame, key: object) -> bool:
    """Whether a column of `cells` holds numbers."""
    column = table[column_of(key)]
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


# --- readable formats ---------------------------------------------------------------------------


def _text(table: pd.DataFrame) -> str:
    shown = cells(table, pasted=False)
    numbers = [index for index, key in enumerate(shown) if is_number(table, key)]
    rows: list[list[str]] = shown.to_numpy().tolist()
    lines = tables.table([str(key) for key in shown], rows, right=numbers)
    return "\n".join([title(table), "", *lines, "", *_notes(table)]).rstrip() + "\n"


def _markdown(table: pd.DataFrame) -> str:
    shown = cells(table, pasted=True)
    rule = ["---:" if is_number(table, key) else "---" for key in shown]
    rows = [list(shown.columns), rule, *shown.itertuples(index=False)]
    lines = ["| " + " | ".join(str(c).replace("|", "\\|") for c in row) + " |" for row in rows]
    notes = [f"\n{note}" for note in _notes(table)]
    return "\n".join([f"**{title(table)}**", "", *lines, *notes]) + "\n"


def _latex(table: pd.DataFrame) -> str:
    """A table environment with booktabs' rules."""
    shown = cells(table, pasted=False)
    columns = "".join("r" if is_number(table, key) else "l" for key in shown)
    rows = [" & ".join(map(_latex_text, row)) + r" \\" for row in shown.itertuples(index=False)]
    head = " & ".join(map(_latex_text, shown.columns)) + r" \\"
    return (
        "\n".join(
            [
                r"% \usepackage{booktabs}",
                *(f"% {note}" for note in _notes(table)),
                r"\begin{table}",
                r"\centering",
                rf"\caption{{{_latex_text(title(table))}}}",
                rf"\begin{{tabular}}{{{columns}}}",
                r"\toprule",
                head,
                r"\midrule",
                *rows,
                r"\bottomrule",
                r"\end{tabular}",
                r"\end{table}",
            ]
        )
        + "\n"
    )


def _notes(table: pd.DataFrame) -> list[str]:
    return [escaped(note) for note in table.attrs.get("notes", ())]


def _cells(column: pd.Series, digits: int | None, pasted: bool, *, grouped: bool) -> list[str]:
    """The cells of a column; `digits` as in `_cell`."""
    values = column.tolist()
    if isinstance(column.dtype, pd.StringDtype):  # of many runs, which have few different texts
        known = {text: _cell(text, digits, pasted, grouped=grouped) for text in {*values}}
        return [known[text] for text in values]
    return [_cell(value, digits, pasted, grouped=grouped) for value in values]


def _cell(value: object, digits: int | None, pasted: bool, *, grouped: bool = False) -> str:
    """`digits` of a percentage, None for any other value."""
    if value is None or value is pd.NA or value != value:
        return ""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if grouped and isinstance(value, int | np.integer):
        return f"{value:,}"
    if isinstance(value, float):
        text = f"{value:.4g}" if digits is None else f"{100 * value:.{digits}f}"
        return text.removeprefix("-") if not text.strip("-0.") else text
    text = escaped(str(value))
    return inert(text) if pasted and isinstance(value, str) else text


def _latex_text(text: object) -> str:
    return "".join(LATEX.get(letter, letter) for letter in str(text))


# --- machine formats ----------------------------------------------------------------------------


def csv(table: pd.DataFrame) -> str:
    """Comma-separated values. No text in it is a formula to a spreadsheet or steers a terminal;
    `escapes.restored` undoes the first."""
    safe = table.copy()
    for key in table:
        if not pd.api.types.is_numeric_dtype(table[key]):
            known = {value: _safe(value) for value in table[key].dropna().unique()}
            if any(value is not text for value, text in known.items()):
                safe[key] = table[key].map(known, na_action="ignore")
    return str(safe.to_csv(index=False, lineterminator="\n"))


def _safe(value: object) -> object:
    return inert(escaped(value)) if isinstance(value, str) else value


def _json(table: pd.DataFrame) -> str:
    """One object: title, metric, notes, and the rows, with null for an empty cell."""
    rows = json.loads(table.to_json(orient="records", double_precision=15))
    about = {key: table.attrs.get(key) for key in ("title", "metric", "notes")}
    return json.dumps({**about, "rows": rows}, indent=1, allow_nan=False) + "\n"


def _parquet(table: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    return buffer.getvalue()


FORMATS: Mapping[str, Callable[[pd.DataFrame], str | bytes]] = {
    "table": _text,
    "csv": csv,
    "json": _json,
    "markdown": _markdown,
    "latex": _latex,
    "parquet": _parquet,
}
SUFFIXES = {
    ".txt": "table", ".csv": "csv", ".json": "json", ".md": "markdown", ".tex": "latex",
    ".parquet": "parquet",
}  # fmt: skip
