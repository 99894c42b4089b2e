"""The runs that are damaged, failed, at chance level or missing, each with its reason."""

import pandas as pd

from transferlab.results.exhibits import Selection


def build(selection: Selection) -> pd.DataFrame:
    """The columns `left_out.LEFT_OUT`."""
    table = selection.results.left_out.copy()
    table.attrs = {"title": selection.exhibit.name, "metric": selection.metric, "notes": []}
    return table
