"""Intervals that cover what they say, by a simulation through the project's own tables."""

import re
from pathlib import Path

import pandas as pd
import pytest
from support import coverage

DOCUMENT = Path(__file__).parents[2] / "transferlab" / "results" / "README.md"
WITHIN = (0.92, 0.98)
FURTHER = "further"
WITHIN_FURTHER = (0.88, 0.98)  # of 100 values only, two of each experiment
# Of 50 experiments a design, rounded as in the document; blank where a table is not simulated
EXPECTED = """\
| splits and seeds | table1 | decomposition | fine_tuning | figure2 | further | figure2 near 100 % |
| --- | ---: | ---: | ---: | ---: | ---: | ---: |
| 2 splits, 1 seed | 0.960 | 0.930 | 0.937 | 0.949 | 0.900 | 0.948 |
| 4 splits, 1 seed | 0.960 | 0.943 | 0.943 | 0.973 | 0.920 | 0.960 |
| 4 splits, 4 seeds | 0.940 | 0.970 | 0.943 | 0.953 | 0.900 | 0.952 |
| 8 splits, 1 seed | 0.927 | 0.970 | 0.937 | 0.953 | 0.970 | 0.920 |
| 4 splits, 1 seed, networks missing | 0.978 |  |  |  |  |  |
| 1 split, 4 seeds | 0.927 | 0.943 | 0.927 | 0.931 |  | 0.948 |
"""


@pytest.fixture(scope="module")
def simulated() -> pd.DataFrame:
    return coverage.coverage(50)


def test_intervals_of_95_percent_cover_the_truth_as_often(simulated: pd.DataFrame):
    assert coverage.markdown(simulated) == EXPECTED
    assert simulated.drop(columns=FURTHER).stack().dropna().between(*WITHIN).all()
    assert simulated[FURTHER].dropna().between(*WITHIN_FURTHER).all()


def test_the_document_has_the_table_that_the_command_prints(simulated: pd.DataFrame):
    after = DOCUMENT.read_text().partition("<!-- after -->\n")[2].partition("<!-- end -->")[0]

    names = coverage.markdown(simulated.head(0)).splitlines()[0]
    lines = after.splitlines()
    assert lines[0] == names
    assert [line.split(" | ")[0].removeprefix("| ") for line in lines[2:]] == list(simulated.index)
    shares = [float(share) for share in re.findall(r"0\.\d{3}", after)]
    assert len(shares) == simulated.notna().to_numpy().sum()
    assert all(WITHIN[0] <= share <= WITHIN[1] for share in shares)
