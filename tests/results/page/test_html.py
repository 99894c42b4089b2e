"""The data of a table: every digit, compressed where the page would become large."""

import base64
import gzip
import re

import pandas as pd
import pytest

from transferlab.results.page import html


def test_data_of_a_long_table_is_compressed_and_the_same_each_time(
    monkeypatch: pytest.MonkeyPatch,
):
    frame = pd.DataFrame({"id": ["a", "b"], "value": [0.1, 0.25]})
    content = b"id,value\na,0.1\nb,0.25\n"

    def saved() -> tuple[str, str, bytes]:
        found = re.search(r'download="(.*?)" href="data:(.*?);base64,(.*?)"', html.data(frame, "t"))
        assert found is not None
        return found[1], found[2], base64.b64decode(found[3])

    assert saved() == ("t.csv", "text/csv;charset=utf-8", content)
    monkeypatch.setattr(html, "PLAIN_BYTES", len(content))
    assert saved()[0] == "t.csv"
    monkeypatch.setattr(html, "PLAIN_BYTES", len(content) - 1)
    name, kind, data = saved()
    assert (name, kind, gzip.decompress(data)) == ("t.csv.gz", "application/gzip", content)
    assert data[4:8] == bytes(4)  # no time
