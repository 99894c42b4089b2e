"""From a folder of images to prepared data: the content, and resuming after every interruption."""

import io
import json
import logging
import os
import re
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import forked, killed
from support.trees import JPEG, RAW, load_folder, picture, prepare, spoil, tree

from transferlab.data.datasets import folder
from transferlab.data.datasets.images import StoredPixels, Subset
from transferlab.data.datasets.prepared import Prepared
from transferlab.data.datasets.prepared_record import IMAGES, RECORD, Pixels, PrepareSettings
from transferlab.data.prepare import chunks, space, workspace
from transferlab.data.workers import Workers
from transferlab.errors import RunFailed, UserError
from transferlab.runtime import progress

# The worker processes resize with torch
pytestmark = pytest.mark.usefixtures("needs_torch")


@pytest.fixture(autouse=True)
def chunks_of_four(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(chunks, "CHUNK", 4)


def pixels_of(subset: Subset) -> np.ndarray:
    out = np.zeros((len(subset.labels), subset.size, subset.size, 3), np.uint8)
    assert subset.read(np.arange(len(out)), out, None) == {}
    return out


def load(dst: Path, size: int = 8, resize: str = "warp"):
    images = Prepared(str(dst), None, None)
    return images.load(size=size, resize=resize, decode="exact", cache=Path("unused"))


def refused(*arguments: object, **more: object) -> str:
    with pytest.raises(UserError) as caught:
        prepare(*arguments, **more)  # type: ignore[arg-type]
    return str(caught.value)


# --- the content ---------------------------------------------------------------------------------


def test_raw_images_of_the_size_are_the_folders_own_in_its_order(tmp_path: Path):
    root, dst = tree(tmp_path / "images"), tmp_path / "new" / "made"
    outcome = prepare(root, dst)
    assert outcome.made == 23
    original = load_folder(root, size=8)
    made = load(dst)
    assert made.classes == ("Ant", "bee", "cat") and made.digest == outcome.record.digest
    for name, count in (("train", 16), ("val", 7)):
        mine, other = getattr(made, name), getattr(original, name)
        assert mine.labels.tolist() == other.labels.tolist() and len(mine.labels) == count
        assert np.array_equal(pixels_of(mine), pixels_of(other))
    assert made.train.name(5) == "bee/0.png"
    assert sorted(p.name for p in dst.iterdir()) == ["prepared.json", "train", "val"]
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["made"]


@pytest.mark.parametrize("resize", ["warp", "crop"])
def test_pictures_of_all_kinds_are_those_that_the_folder_shows(
    tmp_path: Path, resize: str, caplog: pytest.LogCaptureFixture
):
    root, dst = tree(tmp_path / "images"), tmp_path / "made"
    Image.new("RGBA", (9, 6), (10, 20, 30, 40)).save(root / "train/Ant/transparent.png")
    Image.new("P", (9, 6), 3).save(root / "train/Ant/animation.gif")
    Image.fromarray(np.full((6, 9), 0x1234, np.uint16)).save(root / "train/bee/wide.tif")
    Image.new("F", (9, 6), 0.5).save(root / "train/bee/fractions.tif")
    photograph = io.BytesIO()
    Image.effect_noise((60, 40), 90).save(photograph, "JPEG")
    (root / "train/cat/whole.jpe").write_bytes(photograph.getvalue())
    (root / "train/cat/damaged.jpg").write_bytes(photograph.getvalue()[:-9])
    picture(root / "train/cat/deeper/still/0.png", seed=90)
    (root / "train/cat/notes.txt").write_text("not an image")
    prepare(root, dst, Pixels(5, resize, "raw", None), skip=True)
    assert caplog.messages[0] == (f"{root}: files in class folders that are not read: 1 .txt")
    assert (dst / "unreadable.csv").read_text().splitlines()[1:] == [
        'train,train/bee/fractions.tif,"its grey levels are 32-bit or signed numbers, of which '
        'black and white are unknown: convert it to 8 or 16 bits"',
        "train,train/cat/damaged.jpg,Premature end of JPEG file",
    ]
    for name in ("bee/fractions.tif", "cat/damaged.jpg"):
        (root / "train" / name).unlink()
    folder.scan.cache_clear()
    original = load_folder(root, size=5, resize=resize)
    made = load(dst, 5, resize)
    assert np.array_equal(pixels_of(made.train), pixels_of(original.train))


def test_a_part_held_out_is_the_folders_own(tmp_path: Path):
    root, dst = tree(tmp_path / "images") / "train", tmp_path / "made"
    prepare(root, dst, val=None, holdout=0.3)
    original = load_folder(root, size=8, val=None, holdout=0.3)
    made = load(dst)
    assert len(made.val.labels) == 5
    assert np.array_equal(pixels_of(made.val), pixels_of(original.val))
    assert np.array_equal(pixels_of(made.train), pixels_of(original.train))


def test_jpegs_look_the_same_and_have_the_requested_quality(tmp_path: Path):
    root = tmp_path / "images"
    for subset in ("train", "val"):
        for name in ("a", "b"):
            picture(root / subset / name / "0.png", seed=3, side=2)  # enlarged: smooth
    sizes, raw = {}, tmp_path / "raw"
    prepare(root, raw, Pixels(128, "warp", "raw", None))
    for quality in (50, 95):
        dst = tmp_path / str(quality)
        record = prepare(root, dst, Pixels(128, "warp", "jpeg", quality)).record
        sizes[quality] = record.subsets["train"].size_bytes
        off = pixels_of(load(dst, 128).train).astype(int) - pixels_of(load(raw, 128).train)
        assert 0 < np.abs(off).mean() < {50: 16, 95: 8}[quality]
    assert sizes[50] < 0.7 * sizes[95]


def test_the_groups_beside_the_images_come_along(tmp_path: Path):
    root = tree(tmp_path / "images")
    (root / "classes.csv").write_text("class,group\n")
    prepare(root, tmp_path / "made")
    assert (tmp_path / "made" / "classes.csv").read_text() == "class,group\n"


# --- the digest ----------------------------------------------------------------------------------


def digest(root: Path, dst: Path, *arguments: object, **more: object) -> str:
    return prepare(root, dst, *arguments, **more).record.digest  # type: ignore[arg-type]


def test_the_digest_is_one_of_content_and_settings_alone(tmp_path: Path):
    root = tree(tmp_path / "images")
    first = digest(root, tmp_path / "a")
    assert len(first) == 64
    assert digest(tree(tmp_path / "elsewhere"), tmp_path / "b", jobs=3) == first
    jpeg = digest(root, tmp_path / "c", JPEG)
    assert digest(root, tmp_path / "d", JPEG, jobs=3) == jpeg
    others = [
        jpeg,
        digest(root, tmp_path / "e", Pixels(8, "warp", "jpeg", 90)),
        digest(root, tmp_path / "f", Pixels(7, "warp", "raw", None)),
        digest(root, tmp_path / "g", Pixels(8, "crop", "raw", None)),
    ]
    picture(root / "val/cat/1.png", seed=99)
    others.append(digest(root, tmp_path / "h"))
    (root / "train/cat").rename(root / "train/dog")
    (root / "val/cat").rename(root / "val/dog")
    others.append(digest(root, tmp_path / "i"))
    assert len({first, *others}) == 7


# --- resuming -----------------------------------------------------------------------------------


@pytest.mark.parametrize("pixels", [RAW, JPEG], ids=["raw", "jpeg"])
def test_killed_at_any_moment_it_resumes_and_ends_the_same(tmp_path: Path, pixels: Pixels):
    root, dst = tree(tmp_path / "images"), tmp_path / "made"
    whole = prepare(root, tmp_path / "whole", pixels)
    for moment, count in (
        ("before a line", 1),
        ("after a line", 1),
        ("within a line", 2),
        ("before a line", 2),
        ("after a line", 1),
        ("before the record", 1),
        ("before the rename", 1),
    ):
        code = forked.call(killed.prepare, root, dst, pixels, moment, count)
        assert code == -signal.SIGKILL, moment
        assert not dst.exists()
    outcome = prepare(root, dst, pixels)
    assert outcome.made == 0 and outcome.record == whole.record
    for name in ("train", "val"):
        assert np.array_equal(
            pixels_of(getattr(load(dst), name)), pixels_of(getattr(load(tmp_path / "whole"), name))
        )
        assert (dst / name / IMAGES[pixels.codec]).stat().st_size == whole.record.subsets[
            name
        ].size_bytes
    assert sorted(p.name for p in dst.iterdir()) == ["prepared.json", "train", "val"]


def left(dst: Path, root: Path, count: int) -> Path:
    """A partial folder whose process was killed after `count` chunks."""
    code = forked.call(killed.prepare, root, dst, RAW, "after a line", count)
    assert code == -signal.SIGKILL
    return dst.with_name(f".{dst.name}.partial")


def test_finished_chunks_are_kept_unless_their_files_have_changed(tmp_path: Path):
    root, dst = tree(tmp_path / "images"), tmp_path / "made"
    left(dst, root, 3)  # 12 of 23 images
    picture(root / "train/Ant/1.png", seed=50)
    assert prepare(root, dst).made == 11 + 4
    original = load_folder(root, size=8)
    assert np.array_equal(pixels_of(load(dst).train), pixels_of(original.train))


def test_it_resumes_only_with_the_same_settings_and_files(tmp_path: Path):
    root, dst = tree(tmp_path / "images"), tmp_path / "made"
    partial = left(dst, root, 2)
    assert refused(root, dst, Pixels(9, "crop", "raw", None)) == (
        f"{partial} was made with --size 8 (now 9), --resize warp (now crop): use the "
        f"same settings, choose another --out, or delete {partial} to start over"
    )
    assert "--codec raw (now jpeg), --quality none (now 95)" in refused(root, dst, JPEG)
    picture(root / "val/bee/more.png", seed=60)
    assert refused(root, dst) == (
        f"{partial} was made from other files: restore them, choose another --out, or delete "
        f"{partial} to start over"
    )
    (root / "val/bee/more.png").unlink()
    (partial / "train/images.u8").unlink()
    assert refused(root, dst) == (
        f"{partial}/train/images.u8 is damaged: delete {partial} to start over"
    )


def test_complete_data_are_never_overwritten(tmp_path: Path):
    root, dst = tree(tmp_path / "images"), tmp_path / "made"
    record = prepare(root, dst).record
    before = {p: p.stat().st_mtime_ns for p in dst.rglob("*")}
    again = prepare(root, dst)
    assert (again.made, again.record) == (0, record)
    assert refused(root, dst, JPEG).startswith(f"{dst} was made with --codec raw (now jpeg)")
    content = (root / "train/Ant/0.png").read_bytes()
    picture(root / "train/Ant/0.png", seed=77)
    assert refused(root, dst).startswith(f"{dst} was made from other files: ")
    (root / "train/Ant/0.png").write_bytes(content)
    assert prepare(root, dst).made == 0
    (root / "train/Ant/0.png").unlink()
    assert refused(root, dst).startswith(f"{dst} was made from other files: ")
    assert before == {p: p.stat().st_mtime_ns for p in dst.rglob("*")}
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("mine")
    assert refused(root, other) == (
        f"--out {other} exists and is not prepared data: choose another folder"
    )
    assert [p.name for p in other.iterdir()] == ["thesis.txt"]


def test_an_empty_folder_may_be_there_and_a_link_is_followed(tmp_path: Path):
    root, real = tree(tmp_path / "images"), tmp_path / "disk" / "real"
    real.mkdir(parents=True)
    (tmp_path / "link").symlink_to(real)
    prepare(root, tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (real / "prepared.json").exists()


def test_a_place_among_the_classes_is_refused(tmp_path: Path):
    root = tree(tmp_path / "images")
    assert refused(root, root / "val" / "new") == (
        f"--out {root}/val/new is inside {root}/val, whose folders are the classes: "
        "choose another folder"
    )
    flat = root / "train"
    assert "is inside" in refused(flat, flat / "new", val=None, holdout=0.3)
    prepare(root, root / "beside")
    assert (root / "beside/prepared.json").exists()


def test_one_process_at_a_time(tmp_path: Path):
    root, dst = tree(tmp_path / "images"), tmp_path / "made"
    settings = PrepareSettings(RAW, "val", None, "x")
    with workspace.hold(dst, settings):
        message = refused(root, dst)
    assert message.startswith(f"--out {dst} is being made by process {os.getpid()} on ")
    assert prepare(root, dst).made == 23


# --- files that cannot be read -------------------------------------------------------------------


@pytest.mark.parametrize("pixels", [RAW, JPEG], ids=["raw", "jpeg"])
def test_unreadable_files_are_listed_and_nothing_is_finished(
    tmp_path: Path, pixels: Pixels, caplog: pytest.LogCaptureFixture
):
    root, dst = tree(tmp_path / "images"), tmp_path / "made"
    spoil(root)
    partial = tmp_path / ".made.partial"
    with pytest.raises(RunFailed) as caught:
        prepare(root, dst, pixels)
    assert str(caught.value) == (
        f"3 files cannot be read, listed in {partial}/unreadable.csv: repair them and run the "
        "command again, or leave them out with --skip-unreadable"
    )
    lines = (partial / "unreadable.csv").read_text().splitlines()
    assert lines == [
        "subset,file,reason",
        "train,train/Ant/1.png,the file is empty",
        "train,train/bee/0.png,cannot identify image file",
        "val,val/cat/1.png,No such file or directory",
    ]
    assert "unreadable: train/bee/0.png: cannot identify image file" in caplog.text
    assert not dst.exists()
    size = (partial / "train" / IMAGES[pixels.codec]).stat().st_size
    with pytest.raises(RunFailed):
        prepare(root, dst, pixels)
    # what is tried again takes no more room
    assert (partial / "train" / IMAGES[pixels.codec]).stat().st_size == size
    for number, name in enumerate(("train/Ant/1.png", "train/bee/0.png", "val/cat/1.png")):
        (root / name).unlink()
        picture(root / name, seed=70 + number)
    outcome = prepare(root, dst, pixels)  # as if they had never been bad
    assert outcome.made == 4 + 4 + 3
    assert outcome.record.digest == prepare(root, tmp_path / "new", pixels).record.digest
    assert not (dst / "unreadable.csv").exists()


def test_an_unreadable_file_is_tried_again_though_it_looks_the_same(tmp_path: Path):
    """As after an error of the disk or the network, which changes neither size nor time."""
    root, dst = tree(tmp_path / "images"), tmp_path / "made"
    path = root / "train/bee/0.png"
    content, status = path.read_bytes(), path.stat()
    path.write_bytes(bytes(len(content)))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(RunFailed, match="1 files cannot be read"):
        prepare(root, dst)
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert prepare(root, dst).made == 4


@pytest.mark.parametrize("pixels", [RAW, JPEG], ids=["raw", "jpeg"])
def test_unreadable_files_can_be_left_out(tmp_path: Path, pixels: Pixels):
    root, dst = tree(tmp_path / "images"), tmp_path / "made"
    spoil(root)
    prepare(root, dst, pixels, skip=True)
    made = load(dst)
    assert made.train.labels.tolist() == [0] * 4 + [1] * 6 + [2] * 4
    assert made.val.labels.tolist() == [0, 0, 1, 1, 1, 2]
    assert [made.train.name(k) for k in (0, 1, 4)] == ["Ant/0.png", "Ant/2.png", "bee/1.png"]
    assert len((dst / "unreadable.csv").read_text().splitlines()) == 4
    for name in ("train/Ant/1.png", "train/bee/0.png", "val/cat/1.png"):
        (root / name).unlink()
    prepare(root, tmp_path / "without", pixels)
    without = load(tmp_path / "without")
    assert np.array_equal(pixels_of(made.train), pixels_of(without.train))
    assert np.array_equal(pixels_of(made.val), pixels_of(without.val))


def test_a_class_that_would_be_empty_is_an_error(tmp_path: Path):
    root = tree(tmp_path / "images")
    for number in range(2):
        (root / f"val/Ant/{number}.png").write_bytes(b"")
    with pytest.raises(RunFailed, match="val has no readable image of Ant: repair the files"):
        prepare(root, tmp_path / "made", skip=True)
    assert not (tmp_path / "made").exists()


# --- room ----------------------------------------------------------------------------------------


def test_a_disk_that_is_too_small_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    root, dst = tree(tmp_path / "images"), tmp_path / "made"
    usage = space.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(space.shutil, "disk_usage", lambda _: usage._replace(free=1_500_000))
    message = refused(root, dst, Pixels(256, "warp", "raw", None))
    assert message == (
        f"{tmp_path} is on a disk with 1.5 MB free and the images need 6.5 MB: make room, choose "
        "another folder with --out DIR, or use --codec jpeg or a smaller --size"
    )
    assert list((tmp_path / ".made.partial/train").iterdir()) in (
        [],
        [tmp_path / ".made.partial/train/images.u8"],
    )
    assert space.used(tmp_path / ".made.partial/train") == 0
    monkeypatch.undo()
    assert prepare(root, dst, JPEG).made == 23  # other settings: nothing was done under those


def test_the_need_of_jpegs_is_estimated_from_a_sample(tmp_path: Path):
    root, dst = tree(tmp_path / "images"), tmp_path / "made"
    index = folder.scan(str(root), "val", None)
    with Workers(1, chunks.make, advice="") as workers:
        need = space.needed(index, Pixels(64, "warp", "jpeg", 95), workers)
        none = space.needed(index, Pixels(64, "warp", "jpeg", 1), workers)
    record = prepare(root, dst, Pixels(64, "warp", "jpeg", 95)).record
    images = sum(stored.size_bytes for stored in record.subsets.values())
    assert images < need - 2_000_000 < 1.2 * images + 2000
    assert none < need


def test_progress_is_logged_with_the_images_that_were_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    root, dst = tree(tmp_path / "images"), tmp_path / "made"
    left(dst, root, 3)  # 12 of 23 images
    monkeypatch.setattr(progress, "LOG_S", 0)
    caplog.set_level(logging.INFO, "transferlab")
    prepare(root, dst)

    counts = [re.match(r"preparing: (\d+) of 23 images", line) for line in caplog.messages]
    assert [int(count[1]) for count in counts if count] == [4, 8, 12, 16, 20, 23]


def test_the_journal_lists_the_finished_chunks(tmp_path: Path):
    root, dst = tree(tmp_path / "images"), tmp_path / "made"
    partial = left(dst, root, 3)
    lines = [json.loads(line) for line in (partial / "journal.jsonl").read_text().splitlines()]
    assert [(line["subset"], line["first"]) for line in lines] == [
        ("train", 0), ("train", 4), ("train", 8),
    ]  # fmt: skip
    assert all(len(line["sha256"]) == len(line["sources"]) == 64 for line in lines)


def photographs(root: Path) -> Path:
    """Two classes of two JPEGs of noise, 40 pixels a side."""
    noise = np.random.default_rng(0)
    for subset in ("train", "val"):
        for name in ("a", "b"):
            (root / subset / name).mkdir(parents=True)
            for number in range(2):
                pixels = noise.integers(0, 256, (40, 40, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / subset / name / f"{number}.jpg")
    return root


def test_scaled_images_are_those_of_the_folder_and_have_a_digest_of_their_own(tmp_path: Path):
    root, dst = photographs(tmp_path / "images"), tmp_path / "scaled"
    scaled = replace(RAW, decode="scaled")
    record = prepare(root, dst, scaled).record
    assert record.pixels.decode == "scaled"
    assert json.loads((dst / RECORD).read_text())["pixels"]["decode"] == "scaled"
    images = Prepared(str(dst), None, None)
    made = images.load(size=8, resize="warp", decode="scaled", cache=Path("unused"))
    assert images.stored() == StoredPixels(8, "warp", "scaled")
    own = load_folder(root, size=8, decode="scaled")
    assert np.array_equal(pixels_of(made.train), pixels_of(own.train))
    exact = prepare(root, tmp_path / "exact").record
    assert not np.array_equal(pixels_of(made.train), pixels_of(load(tmp_path / "exact").train))
    assert len({record.digest, exact.digest}) == 2
    assert refused(root, dst) == (
        f"{dst} was made with --decode scaled (now exact): use the same settings, choose another "
        f"--out, or delete {dst} to start over"
    )


def test_the_digest_of_images_in_full_is_that_from_before_there_was_a_choice():
    numbers = np.zeros(1, np.int64), np.zeros(1, np.int64), np.zeros((1, 32), np.uint8)
    content = chunks.Content(*numbers)
    assert chunks.digest_of_all(RAW, ("a", "b"), [content]) == (
        "c9a797332a99285f8c22633d48d0f6f74785fa6054eee5ac66ccbac1e1353da4"
    )
    changed = replace(RAW, decode="scaled")
    assert chunks.digest_of_all(changed, ("a", "b"), [content]) == (
        "11d3210458e0ee98952f9a24dfaf3eb694cb0115e449f8704c58ea41e9eb857d"
    )


def test_what_an_earlier_version_made_or_began_is_in_full(tmp_path: Path):
    root, dst = tree(tmp_path / "images"), tmp_path / "made"
    partial = left(dst, root, 2)
    raw = json.loads((partial / "settings.json").read_text())
    assert raw.pop("decode") == "exact"
    (partial / "settings.json").write_text(json.dumps(raw))
    assert "--decode exact (now scaled)" in refused(root, dst, replace(RAW, decode="scaled"))
    prepare(root, dst)
    raw = json.loads((dst / RECORD).read_text())
    assert raw["pixels"].pop("decode") == "exact"
    (dst / RECORD).write_text(json.dumps(raw))
    assert Prepared(str(dst), None, None).stored() == StoredPixels(8, "warp", "exact")
    assert prepare(root, dst).made == 0
