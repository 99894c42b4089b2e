"""What is made to be sent around names no host, user or folder of the machine, unless asked."""

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest
from support.stores import config, finish, located, start

from transferlab import results
from transferlab.__main__ import main
from transferlab.results import catalogue, figures, formats, loading
from transferlab.results.sharing import Sharing
from transferlab.store import mirrors

HOST, USER = "node-17.cluster.example", "alicia"
HOME = "/".join(("", "home", USER))  # no place on a machine of ours
PHOTOS = f"{HOME}/secret photos/birds"
PLACES = {
    "data.name": "image_folder",
    "data.root": PHOTOS,
    "data.val": "val",
    "data.holdout": None,
    "runtime.cache": f"/scratch/{USER}/cache",
    "runtime.store": f"/scratch/{USER}/runs",
}
WITH_PLACES = ("runs", "left_out")  # the tables with columns of hosts and folders
PLANTED = (HOST, USER, "secret", HOME, "/scratch")
FAILURE = (
    f"data.root={PHOTOS} is not a folder; process 12 on {HOST} wrote '{HOME}/x y/z.png' "
    f"(owner {USER}), see https://example.org/a/b and ~{USER}/log.txt; 25 images/s"
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two splits with a run at chance level, a failed one and a damaged one, on that machine."""
    store = tmp_path_factory.mktemp("hidden") / USER / "vault"
    for split in (0, 1):
        for label, top1 in (("baseB", 0.8), ("B3B", 0.7), ("A3B", 0.6), ("A3B+", 0.9)):
            finish(store, label, top1, PLACES, split=split, host=HOST)
    finish(store, "B5B", 0.2, PLACES, learned=False, host=HOST)
    failed = start(store, config("A5B", PLACES))
    failed.failure_file.write_text(json.dumps({"error": FAILURE, "time": "now"}))
    finish(store, "A6B", 0.5, PLACES).result_file.write_text("{")
    return store


@pytest.fixture(autouse=True)
def at_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("USER", USER)
    monkeypatch.setenv("HOME", HOME)
    monkeypatch.chdir(tmp_path)


def named(content: bytes, store: Path) -> set[str]:
    """Which of the planted words are in a file, or in one that is encoded in it."""
    parts = [content]
    parts += [base64.b64decode(part) for part in re.findall(rb"base64,([\w+/=]+)", content)]
    words = (*PLANTED, str(store.parent))
    return {word for word in words for part in parts if word.encode() in part}


def written(store: Path, name: str, *arguments: str) -> bytes:
    command = "report" if name.endswith(".html") else "results"
    out = ("--archive" if "archive" in name else "--out", name)
    assert main([command, "--store", str(store), *out, *arguments]) == 0
    return Path(name).read_bytes()


@pytest.mark.parametrize(
    ("table", "ending"),
    [
        (name, ending)
        for name in catalogue.table_names()
        for ending in (formats.SUFFIXES if name in WITH_PLACES else [".csv"])
    ],
)
def test_an_exported_table_names_nothing_of_the_machine(store: Path, table: str, ending: str):
    assert named(written(store, f"table{ending}", "--table", table), store) == set()


def test_neither_does_the_page_nor_an_archive(store: Path):
    assert named(written(store, "report.html"), store) == set()
    assert named(written(store, "archive.csv"), store) == set()


@pytest.mark.parametrize("ending", ["pdf", "png", "svg"])
def test_nor_a_figure(store: Path, ending: str):
    drawn = figures.draw(results.load(store), "figure2")
    assert named(figures.render(drawn, ending), store) == set()


def test_nor_a_page_of_weights_and_biases(store: Path):
    (run, *_) = (located(store, config("baseB", PLACES, split=0)),)
    page = mirrors.page(run)
    assert named(repr(page).encode(), store) == set()
    assert page.config["data.root"] == "birds"
    assert not {"runtime.store", "runtime.cache"} & page.config.keys()


def test_with_paths_all_is_named(store: Path):
    assert named(written(store, "t.csv", "--with-paths"), store) >= {HOST, USER, str(store.parent)}
    assert named(written(store, "report.html", "--with-paths"), store) >= {HOST, HOME, USER}
    assert HOST.encode() in written(store, "archive.csv", "--with-paths")
    again = results.load("archive.csv").table
    assert set(again["host"]) == {HOST} and set(again["data.root"]) == {PHOTOS}


def test_folders_are_relative_to_the_store_and_other_paths_are_their_last_part(store: Path):
    loaded = results.load(store)
    shared = Sharing(loaded)
    runs = shared.table(results.table(loaded, "runs"))
    left_out = shared.table(results.table(loaded, "left_out")).set_index("kind")

    assert shared.store == "vault"
    assert set(runs["data.root"]) == {"birds"}
    assert all((store / folder).is_dir() for folder in [*runs["path"], *left_out["folder"]])
    assert left_out["reason"]["failed"] == (
        "data.root=birds is not a folder; process 12 wrote 'x y/z.png' "
        "(owner USER), see https://example.org/a/b and log.txt; 25 images/s"
    )
    assert left_out["reason"]["damaged"].startswith("A6B-")


def test_the_published_store_keeps_its_name():
    assert Sharing(results.load("published:yosinski2014")).store == "published:yosinski2014"


# --- spreadsheets and terminals -----------------------------------------------------------------

HOSTILE = "=cmd|' /C calc'!A0\x1b[2J\u202e"
SAFE = r"'=cmd|' /C calc'!A0\x1b[2J\u202e"


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A store with a data set and a device of such a name."""
    places = {**PLACES, "data.root": f"/data/{HOSTILE.replace('/', '-')}"}
    finish(tmp_path / "runs", "baseB", 0.8, places, device="@SUM(A1)")
    finish(tmp_path / "runs", "A3B", 0.7, places, device="-1+1")
    return tmp_path / "runs"


@pytest.mark.parametrize("ending", ["csv", "md", "txt", "tex", "json"])
def test_a_file_for_a_spreadsheet_or_terminal_has_texts_alone(hostile: Path, ending: str):
    content = written(hostile, f"table.{ending}").decode()
    assert not {"\x1b", "\u202e", "\x9b"} & {*content}
    cells = {cell for line in content.splitlines() for cell in re.split(r"\s*\|\s*|,", line)}
    if ending in ("csv", "md"):
        assert not [cell for cell in cells if re.match("[=@+\t\r]", cell)]
    if ending == "csv":
        assert "'@SUM(A1)" in content and "'-1+1" in content


def test_numbers_stay_numbers(hostile: Path):
    table = loading.load(hostile).table
    (delta,) = table.loc[table["n"] > 0, "delta_to_target_base"]
    assert f",{delta!r}," in written(hostile, "table.csv").decode() and delta < 0


def test_the_page_has_such_texts_as_text(hostile: Path):
    content = written(hostile, "report.html").decode()
    assert not {"\x1b", "\u202e", "\x9b"} & {*content}
    assert not re.search(r"<(td|dt|dd)[^>]*>[=@+]", content)
    assert "<dt>&#x27;=cmd|" in content


def test_an_archive_of_such_texts_is_read_as_it_was(tmp_path: Path):
    devices = ["=1+1", "'=1", "@x", "-2", "+3", "'quoted'", "plain, with comma"]
    more: dict[str, Any] = {}
    for seed, device in enumerate(devices):
        finish(tmp_path / "runs", "baseB", 0.8, {"seed": seed, **more}, device=device)
    written(tmp_path / "runs", "archive.csv")
    again = results.load("archive.csv").table.sort_values("seed")
    assert list(again["device"]) == devices
    assert "'=1+1" in Path("archive.csv").read_text() and "''=1" in Path("archive.csv").read_text()
