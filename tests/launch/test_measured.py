"""The measurements of a store: which records have one, and that each is read once."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from support.records import made
from support.stores import record

from transferlab.experiment.cost.estimate import RunTiming
from transferlab.launch import measured

RECIPE = ("alexnet_small", "digits", 32, 32, 32, "float32")
BASE = RunTiming(RECIPE, ("alexnet_small", 5, 32), 12.5, 10848, 0, True)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The folders whose records are read."""
    folders: list[str] = []
    real = measured.reader.read

    def spy(path: str, kind: measured.schemas.RecordKind) -> measured.reader.Values | None:
        folders.append(path.split("/")[-2])
        return real(path, kind)

    monkeypatch.setattr(measured.reader, "read", spy)
    return folders


def written(store: Path, folder: str, content: bytes) -> Path:
    file = store / folder / "result.json"
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(content)
    return file


def of(variant: str, **more: object) -> bytes:
    config = made(variant=variant, n=None, target=None)
    return json.dumps(record(config, 0.5) | more).encode()


def test_measurements_are_those_of_records_in_the_form_of_one(tmp_path: Path):
    for folder, content in {
        "baseA": of("baseA"),
        "packed": of("A3B", pack_size=5),
        "other": b'{"format": 1, "id": "b"}',
        "cut-off": b'{"format": 1, "id":',
        "bytes": b"\xff\xfe",
        "list": b"[1]",
        "newer": b'{"format": 2, "id": "c"}',
        ".multirun": of("baseA"),
    }.items():
        written(tmp_path, folder, content)
    (tmp_path / "unfinished").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "folder" / "result.json").mkdir(parents=True)

    packed = BASE._replace(device_s=2.5, frozen=3, own=False)
    for _ in range(2):
        assert measured.timings(tmp_path) == [BASE, packed]


def test_a_missing_store_has_none(tmp_path: Path):
    assert measured.timings(tmp_path / "none") == []


def test_a_record_is_read_once_and_whether_it_has_a_measurement_or_not(
    tmp_path: Path, read: list[str]
):
    written(tmp_path, "sound", of("baseA"))
    written(tmp_path, "untimed", of("baseA", time_s=0))
    assert [measured.timings(tmp_path) for _ in range(2)] == [[BASE], [BASE]]
    written(tmp_path, "new", of("baseA"))
    assert [measured.timings(tmp_path) for _ in range(2)] == [[BASE, BASE]] * 2

    assert read == ["sound", "untimed", "new"]


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda file: file.write_bytes(of("baseA", time_s=25.0)), [25.0]),
        (lambda file: file.write_bytes(of("baseA")[:-1]), []),
        (lambda file: file.unlink(), []),
        (lambda file: file.parent.rename(file.parent.with_name("b")), [12.5]),
    ],
)
def test_a_record_that_has_changed_is_noticed(
    tmp_path: Path, change: Callable[[Path], object], found: list[float]
):
    file = written(tmp_path, "a", of("baseA"))
    assert measured.timings(tmp_path) == [BASE]

    change(file)

    assert [timing.device_s for timing in measured.timings(tmp_path)] == found
