"""Looking up many texts."""

import pandas as pd

from transferlab.results.lookup import among


def test_a_missing_value_is_not_among_others():
    column = pd.Series(["a", None, "b", "a"], index=[3, 5, 7, 9], dtype=object)

    found = among(column, ["a", None, "c"])

    assert found.to_dict() == {3: True, 5: False, 7: False, 9: True}
    assert found.dtype == bool
    assert among(column[:0], ["a"]).dtype == bool
