"""Tests in a headless Chromium: `make test-browser`. It is started once, for all of them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support import chromium


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("browser")


@pytest.fixture(scope="session")
def browser() -> Iterator[chromium.Browser]:
    with chromium.started() as running:
        yield running
