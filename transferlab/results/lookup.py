"""Which of many texts are among many others, which pandas makes copies for Arrow of to find out."""

from collections.abc import Iterable

import pandas as pd


def among(column: pd.Series, values: Iterable[object]) -> pd.Series:
    """Whether each value of a column is one of `values`; a missing one is not."""
    known = {*values}
    found = [value in known for value in column.tolist()]
    return pd.Series(found, index=column.index, dtype=bool) & column.notna()
