"""Usage errors and damage: a one-line message with a remedy, exit status 2, and no other effect."""

import hashlib
import json
from pathlib import Path

import pytest
from support.commandline import TINY, call, images, refused


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["transfer.n=3"], "missing split"),
        (["+split=randm", "transfer.n=3"], "split=randm"),
        (["+split=whole", "transfer.n=3"], "split=whole has no half A"),
        (["+split=random", "model=alexnet_smal", "transfer.n=3"], "model=alexnet_smal"),
        (["+split=random", "data=digit", "transfer.n=3"], "data=digit"),
        (["+split=random", "transfer.n=3", "train.lrr=1"], "train.lrr"),
        (["+split=random", "transfer.n=3", "+lr=1"], "unknown key lr"),
        (["+split=random", "transfer.n=three"], "transfer.n=three"),
        (["+split=random", "transfer.n=2.5"], "transfer.n=2.5"),
        (["+split=random", "transfer.n=8"], "transfer.n=8 is not a cut point of alexnet_small"),
        (["+split=random", "transfer.variant=CnB", "transfer.n=1"], "transfer.variant=CnB"),
        (["+split=random"], "missing transfer.n"),
        (["+split=random", "model=alexnet", "transfer.n=3"], "data.crop=32 does not fit"),
        (["+split=random", "data=image_folder", "transfer.n=3"], "data.root is missing"),
        (
            ["+split=random", "data=image_folder", "data.root=/nowhere", "transfer.n=3"],
            "data.root=/nowhere",
        ),
        (["status", "--store", "/a", "--store", "/b"], "--store names two stores, /a and /b: "),
        (["--version", "torch"], "--version goes alone, not with torch"),
        (["stauts"], "stauts is an unknown command: did you mean status?"),
        (
            ["infer"],
            "infer is an unknown command: choose one of: run sweep status results "
            "report prepare sync retry rerun evaluate export cancel inspect bench work help",
        ),
    ],
)
def test_wrong_use_is_refused_in_one_line(place: Path, arguments: list[str], message: str):
    assert message in refused(place, *arguments)


def test_manmade_natural_needs_groups(place: Path):
    message = refused(place, "split=manmade_natural", "transfer.n=3")
    assert message.startswith("split=manmade_natural has no group for 10 of 10 classes (0, 1, 2")
    assert "a file with the columns class,group" in message


def test_a_malformed_image_folder_is_refused(place: Path, tmp_path: Path):
    four = {"a": 2, "b": 2, "c": 2, "d": 2}
    use = ["+split=random", "data=image_folder", "transfer.n=1"]
    (tmp_path / "empty").mkdir()
    assert "contains no folders" in refused(place, *use, f"data.root={tmp_path}/empty")
    images(tmp_path / "no_val", "train", four)
    images(tmp_path / "no_val", "test", four)
    message = refused(place, *use, f"data.root={tmp_path}/no_val")
    assert (
        "has no folder 'val' (it has test, train): name the validation folder with data.val="
        in message
    )
    images(tmp_path / "other", "train", four)
    images(tmp_path / "other", "val", {"a": 2, "b": 2, "c": 2, "e": 2})
    message = refused(place, *use, f"data.root={tmp_path}/other")
    assert "only in train: d; only in val: e" in message
    images(tmp_path / "few", "train", {"a": 2, "b": 2, "c": 2})
    images(tmp_path / "few", "val", {"a": 2, "b": 2, "c": 2})
    message = refused(place, *use, f"data.root={tmp_path}/few")
    assert message.startswith("half A of split=random has 1 class: ")


def test_an_unreadable_image_ends_the_run_or_is_left_out_and_recorded(place: Path, tmp_path: Path):
    root = images(tmp_path / "data", "train", {name: 12 for name in "abcd"})
    images(root, "val", {name: 3 for name in "abcd"})
    bad = {f"{root}/train/{name}/5.png": b"" for name in "abcd"}
    bad |= {
        f"{root}/val/{name}/1.png": (root / f"val/{name}/1.png").read_bytes()[:40]
        for name in "abcd"
    }
    for path, content in bad.items():
        Path(path).write_bytes(content)
    use = [*TINY, "data=image_folder", f"data.root={root}", "data.size=16", "data.crop=16"]
    message = refused(place, *use, "transfer.variant=baseB")
    named = message.partition(" cannot be read")[0]
    assert named in bad and "the file is empty" in message and "data.unreadable=skip" in message

    code, _, err = call(place, *use, "transfer.variant=baseB", "data.unreadable=skip")
    assert code == 0, err
    (path,) = (place.parent / "store").glob("*/result.json")
    record = json.loads(path.read_text())
    contents = {path.removeprefix(f"{root}/"): content for path, content in bad.items()}
    assert len(record["skipped"]) == 4
    for name, sha256 in record["skipped"].items():
        assert sha256 == hashlib.sha256(contents[name]).hexdigest()
        assert f"{name} cannot be read and is skipped" in err


def test_a_store_that_cannot_be_written_is_refused(place: Path, tmp_path: Path):
    (tmp_path / "file").write_text("")
    message = refused(place, *TINY, "transfer.n=1", f"runtime.store={tmp_path}/file/store")
    assert "cannot be written: Not a directory; choose a store that can be written" in message


def test_damage_in_the_store_is_named_and_nothing_is_lost(place: Path):
    assert call(place, *TINY, "transfer.variant=baseA")[0] == 0
    (folder,) = (place.parent / "store").iterdir()
    result, weights = folder / "result.json", folder / "weights.safetensors"
    good, content = result.read_text(), weights.read_bytes()

    weights.write_bytes(content[:-1] + b"x")
    message = refused(place, *TINY, "transfer.n=1")
    assert str(weights) in message and "the file was changed or damaged" in message
    weights.write_bytes(content)

    result.write_text(good[:100])
    message = refused(place, *TINY, "transfer.variant=baseA")
    assert message.startswith(f"{result} is damaged")
    assert result.read_text() == good[:100] and weights.read_bytes() == content
    result.write_text(good)

    for path in (result, folder / "config.json"):
        text = path.read_text()
        path.write_text(text.replace('"format": 1', '"format": 99'))
        if path != result:
            result.unlink()
        message = refused(place, *TINY, "transfer.variant=baseA")
        assert message.startswith(f"{path} was written by an incompatible version (format 99")
        path.write_text(text)


def test_traces_are_shown_on_request(place: Path):
    code, _, err = call(place, "transfer.n=3", TRANSFERLAB_DEBUG="1")
    assert code == 2 and "Traceback" in err
