"""Trees of image files: the index, what identifies it, and all errors."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.trees import load_folder
from torchvision.transforms import functional

from transferlab import data
from transferlab.data.crops import Crops
from transferlab.data.datasets import decode, folder
from transferlab.data.datasets.images import UnreadableImage
from transferlab.data.datasets.listing import Files
from transferlab.errors import UserError


@pytest.fixture(autouse=True)
def nothing_listed_before():
    folder.scan.cache_clear()


def picture(path: Path, level: int = 100) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 6), (level, 0, 255 - level)).save(path)


def read(
    subset: folder.FileSubset, *positions: int
) -> tuple[np.ndarray, dict[int, UnreadableImage]]:
    """The whole images at these positions, and which cannot be read."""
    out = np.zeros((len(positions), subset.size, subset.size, 3), dtype=np.uint8)
    return out, subset.read(np.array(positions), out, None)


def tree(root: Path, val: str = "val") -> Path:
    """Three classes with 3, 2, 4 images for training and one each for validation."""
    for label, (name, count) in enumerate((("zebra", 3), ("Ant", 2), ("bee", 4))):
        for index in range(count):
            picture(root / "train" / name / f"{index}.png", 10 * label + index)
        picture(root / val / name / "held.jpg", 200 + label)
    return root


def one_tree(root: Path, count: int = 10) -> Path:
    """Two classes with `count` images each, for both subsets."""
    for name in ("cat", "dog"):
        for index in range(count):
            picture(root / name / f"{index:02d}.png", index)
    return root


def names(files: Files) -> list[str]:
    return [path.decode() for path in files.paths.tolist()]


def test_classes_are_the_folders_in_ascii_order(tmp_path: Path):
    for name in ("bee", "Zebra", "ant", "n9", "n10"):
        for subset in ("train", "val"):
            picture(tmp_path / subset / name / "0.png")
    index = folder.scan(str(tmp_path), "val", None)
    assert index.classes == ("Zebra", "ant", "bee", "n10", "n9")


def test_every_image_has_the_label_of_its_folder(tmp_path: Path):
    index = folder.scan(str(tree(tmp_path)), "val", None)
    assert index.train.labels.tolist() == [0, 0, 1, 1, 1, 1, 2, 2, 2]
    assert names(index.train) == [
        *("Ant/0.png", "Ant/1.png"),
        *("bee/0.png", "bee/1.png", "bee/2.png", "bee/3.png"),
        *("zebra/0.png", "zebra/1.png", "zebra/2.png"),
    ]
    assert index.val.labels.tolist() == [0, 1, 2]
    assert names(index.val) == ["Ant/held.jpg", "bee/held.jpg", "zebra/held.jpg"]
    assert index.val.folder == tmp_path / "val"


def test_a_class_whose_name_is_not_utf_8_is_refused(tmp_path: Path):
    """Latin-1, as in archives from Windows: a record, which is JSON, cannot hold it."""
    root = tree(tmp_path / "my images")
    for subset in ("train", "val"):
        os.rename(root / subset / "bee", os.fsencode(root / subset) + b"/caf\xe9")
    train = f"{root}/train"
    message = (
        f"{train}/caf\udce9 is a class whose name is not UTF-8: rename it, "
        f"mv $'{train}/caf\\xe9' '{train}/NAME'"
    )
    assert refused(root) == message
    with pytest.raises(UserError, match=r"caf\\xe9' "):
        folder.scan(train, None, 0.5)


def test_files_and_other_folders_may_have_any_name(tmp_path: Path):
    root = tree(tmp_path)
    os.rename(root / "train/bee/0.png", os.fsencode(root / "train/bee") + b"/caf\xe9.png")
    (root / "train/Ant/0.png").rename(root / "train/Ant/日本\n.png")
    os.mkdir(os.fsencode(root) + b"/\xff")
    os.mkdir(os.fsencode(root / "train/zebra") + b"/\xe9")
    picture(root / "train/zebra/\udce9/0.png")
    images = load_folder(root, val="val", holdout=None, size=8)
    _, unreadable = read(images.train, *range(10))  # type: ignore[arg-type]
    assert unreadable == {}
    assert images.train.name(5) == f"{root}/train/bee/caf\udce9.png"


def test_the_order_of_classes_and_files_is_that_of_their_bytes(tmp_path: Path):
    for name in ("\U0001f600", "\uff21", "é", "z", "Z"):
        picture(tmp_path / name / "0.png")
        picture(tmp_path / name / "\uff21.png")
        picture(tmp_path / name / "\U0001f600.png")
    index = folder.scan(str(tmp_path), None, 0.4)
    assert index.classes == ("Z", "z", "é", "\uff21", "\U0001f600")
    listed = folder.scan(str(tmp_path), None, 0.1).train
    assert names(listed)[-2:] == ["\U0001f600/\uff21.png", "\U0001f600/\U0001f600.png"]


def test_classes_are_the_same_in_a_locale_of_another_encoding(tmp_path: Path):
    for name in ("日本", "café"):
        for number in range(2):
            picture(tmp_path / name / f"日{number}.png")
    here = folder.scan(str(tmp_path), None, 0.5)
    assert here.classes == ("café", "日本")
    code = (
        "import os, sys; from transferlab.data.datasets import folder; "
        "index = folder.scan(os.environ['ROOT'], None, 0.5); "
        "images = folder.ImageFolder(os.environ['ROOT'], None, 0.5); "
        "print(sys.getfilesystemencoding(), ascii(index.classes), index.digest)"
    )
    ascii_only = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    shown = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **ascii_only, "ROOT": str(tmp_path)},
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert shown == f"ascii ('caf\\xe9', '\\u65e5\\u672c') {here.digest}\n"


def test_the_validation_folder_may_have_another_name(tmp_path: Path):
    index = folder.scan(str(tree(tmp_path, val="test")), "test", None)
    assert index.val.folder == tmp_path / "test"
    assert len(index.val.labels) == 3


def test_only_images_count_whatever_the_case_of_their_ending(tmp_path: Path):
    tree(tmp_path)
    picture(tmp_path / "train/Ant/loud.png")
    (tmp_path / "train/Ant/loud.png").rename(tmp_path / "train/Ant/LOUD.PNG")
    (tmp_path / "train/Ant/notes.txt").write_text("not an image")
    (tmp_path / "train/.cache").mkdir()
    (tmp_path / "train/readme.md").write_text("not a class")
    index = folder.scan(str(tmp_path), "val", None)
    assert names(index.train)[:3] == ["Ant/0.png", "Ant/1.png", "Ant/LOUD.PNG"]
    assert index.classes == ("Ant", "bee", "zebra")


def test_files_whose_name_begins_with_a_dot_do_not_count(tmp_path: Path):
    before = digest(tree(tmp_path))
    picture(tmp_path / "train/Ant/.0.png")
    (tmp_path / "train/bee/._0.png").write_bytes(b"what macOS leaves on other file systems")
    picture(tmp_path / "val/zebra/.held.jpg")
    assert digest(tmp_path) == before
    index = folder.scan(str(tmp_path), "val", None)
    assert len(index.train.labels) == 9 and len(index.val.labels) == 3
    picture(tmp_path / "train/wolf/.0.png")
    picture(tmp_path / "val/wolf/0.png")
    folder.scan.cache_clear()
    assert refused(tmp_path).startswith(f"{tmp_path}/train/wolf has no images (")


def test_the_index_is_arrays_and_no_python_objects(tmp_path: Path):
    index = folder.scan(str(tree(tmp_path)), "val", None)
    for files in (index.train, index.val):
        assert files.paths.dtype.kind == "S"
        assert files.labels.dtype == np.int64
        assert files.paths.shape == files.labels.shape


def test_file_names_of_different_lengths_are_kept_whole(tmp_path: Path):
    picture(tmp_path / "train/a/x.png")
    picture(tmp_path / "train/a/a_much_longer_name_than_the_other.png")
    picture(tmp_path / "train/longer/müll.png")
    for name in ("a", "longer"):
        picture(tmp_path / "val" / name / "v.png")
    images = load_folder(tmp_path, size=4)
    assert images.train.name(0).endswith("a/a_much_longer_name_than_the_other.png")
    assert images.train.name(2) == str(tmp_path / "train/longer/müll.png")
    assert read(images.train, 0, 1, 2)[1] == {}


def test_a_folder_is_listed_once(tmp_path: Path):
    root = str(tree(tmp_path))
    assert folder.scan(root, "val", None) is folder.scan(root, "val", None)


def test_images_are_read_at_the_requested_size(tmp_path: Path):
    images = load_folder(tree(tmp_path), size=5)
    assert images.train.in_memory is False
    pixels, unreadable = read(images.train, 8, 0)
    assert unreadable == {}
    assert pixels.shape == (2, 5, 5, 3) and pixels.dtype == np.uint8
    assert pixels[0, 2, 2].tolist() == [2, 0, 253]  # zebra/2.png
    assert pixels[1, 2, 2].tolist() == [10, 0, 245]  # Ant/0.png


def test_the_way_of_resizing_is_passed_on(tmp_path: Path):
    for subset in ("train", "val"):
        wide = np.zeros((4, 12, 3), dtype=np.uint8)
        wide[:, 4:8] = 240
        (tmp_path / subset / "a").mkdir(parents=True)
        Image.fromarray(wide).save(tmp_path / subset / "a/0.png")
    levels = {
        resize: read(load_folder(tmp_path, size=4, resize=resize).train, 0)[0].mean()
        for resize in ("warp", "crop")
    }
    assert levels["crop"] == 240
    assert 60 < levels["warp"] < 100


def test_a_picture_has_the_size_of_its_file(tmp_path: Path):
    tree(tmp_path)
    wide = np.random.default_rng(0).integers(0, 256, (4, 12, 3), dtype=np.uint8)
    Image.fromarray(wide).save(tmp_path / "train/Ant/0.png")
    (tmp_path / "train/Ant/1.png").write_bytes(b"")
    subset = load_folder(tmp_path, size=5).train
    assert np.array_equal(subset.picture(0, 4), wide)
    assert subset.picture(1, 4) == UnreadableImage(
        "the file is empty", "train/Ant/1.png", hashlib.sha256(b"").hexdigest()
    )


def test_crops_of_whole_pictures_of_drawn_sides_are_slices_of_torchvisions(tmp_path: Path):
    """Shorter side to S, then P pixels from any of the (H - P + 1) (W - P + 1) places."""
    tree(tmp_path)
    shapes = [(20, 31), (33, 18), (25, 25), (16, 16)]
    noise = np.random.default_rng(0)
    for number, shape in enumerate(shapes):
        pixels = noise.integers(0, 256, (*shape, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"train/zebra/{number}.png")
    subset = load_folder(tmp_path, size=16, resize="side").train
    places = np.flatnonzero(subset.labels == 2)[:4]
    bits = noise.integers(0, 2**32, (4, 2), dtype=np.uint64)
    for sides in (None, np.array([16, 20, 14, 30])):
        out = np.zeros((4, 12, 12, 3), np.uint8)
        subset.read(places, out, Crops(bits, sides, pad=0, one_size=False))
        for slot, place in enumerate(places):
            picture = torch.from_numpy(subset.picture(place, 16)).permute(2, 0, 1)
            side = 16 if sides is None else int(sides[slot])
            resized = functional.resize(picture, [side], antialias=True)
            room = np.array(resized.shape[1:]) - 12 + 1
            row, column = (bits[slot].astype(float) / 2**32 * room).astype(int)
            expected = resized[:, row : row + 12, column : column + 12]
            error = out[slot].astype(int) - expected.permute(1, 2, 0).numpy()
            assert abs(error).max() <= 1, (slot, sides)  # torchvision resizes in another layout
    held = np.zeros((4, 12, 12, 3), np.uint8)
    subset.read(places, held, None)
    for slot, place in enumerate(places):
        picture = torch.from_numpy(subset.picture(place, 16)).permute(2, 0, 1)
        resized = functional.resize(picture, [16], antialias=True)
        row, column = (size // 2 - 6 for size in resized.shape[1:])
        expected = resized[:, row : row + 12, column : column + 12].permute(1, 2, 0)
        assert abs(held[slot].astype(int) - expected.numpy()).max() <= 1, slot


def test_unreadable_files_are_reported_by_place_with_the_reason(tmp_path: Path):
    tree(tmp_path)
    (tmp_path / "train/Ant/1.png").write_bytes(b"")
    (tmp_path / "train/bee/0.png").write_text("no image")
    (tmp_path / "train/zebra/0.png").unlink()
    files = np.array([b"bee/0.png", b"Ant/0.png", b"Ant/1.png", b"zebra/0.png"])
    subset = folder.FileSubset(
        "train",
        Files(tmp_path / "train", files, np.zeros(4, np.int64), np.zeros(4, np.int64)),
        4,
        "warp",
        "exact",
    )
    pixels, unreadable = read(subset, 3, 2, 1, 0)
    assert sorted(unreadable) == [0, 1, 3]
    assert "No such file" in unreadable[0].reason
    assert unreadable[1] == UnreadableImage(
        "the file is empty", "train/Ant/1.png", hashlib.sha256(b"").hexdigest()
    )
    assert unreadable[3] == UnreadableImage(
        "cannot identify image file", "train/bee/0.png", hashlib.sha256(b"no image").hexdigest()
    )
    assert pixels[2, 0, 0].tolist() == [10, 0, 245]


def test_a_link_that_leads_nowhere_is_listed_and_unreadable(tmp_path: Path):
    tree(tmp_path)
    (tmp_path / "train/Ant/0.png").unlink()
    (tmp_path / "train/Ant/0.png").symlink_to(tmp_path / "nowhere.png")
    images = load_folder(tmp_path, size=4)
    assert images.train.name(0) == f"{tmp_path}/train/Ant/0.png"
    assert list(read(images.train, 0, 1)[1]) == [0]


def test_a_picture_of_too_many_pixels_is_unreadable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    images = load_folder(tree(tmp_path), size=4)
    monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", 23)  # these have 48
    _, unreadable = read(images.train, 0, 5)
    assert sorted(unreadable) == [0, 1]
    assert unreadable[0].reason.startswith("Image size (48 pixels) exceeds limit of 46 pixels")


# --- a part held out -------------------------------------------------------------------------


def test_holdout_takes_its_part_of_every_class(tmp_path: Path):
    index = folder.scan(str(one_tree(tmp_path)), None, 0.2)
    assert index.classes == ("cat", "dog")
    assert np.bincount(index.val.labels).tolist() == [2, 2]
    assert np.bincount(index.train.labels).tolist() == [8, 8]
    assert sorted(names(index.train) + names(index.val)) == sorted(
        f"{name}/{index:02d}.png" for name in ("cat", "dog") for index in range(10)
    )


def test_holdout_is_the_golden_choice_wherever_the_folder_lies(tmp_path: Path):
    expected = ["cat/01.png", "cat/05.png", "dog/02.png", "dog/03.png"]
    for name in ("first", "second"):
        index = folder.scan(str(one_tree(tmp_path / name)), None, 0.2)
        assert names(index.val) == expected


@pytest.mark.parametrize("part", [0.1, 0.25, 0.5, 0.9])
def test_a_file_more_moves_at_most_one_other_image_of_its_class(part: float, tmp_path: Path):
    def held() -> set[str]:
        folder.scan.cache_clear()
        return set(names(folder.scan(str(tmp_path), None, part).val))

    one_tree(tmp_path, count=30)
    before = held()
    for number in range(20):
        added = f"cat/a{number}.png"  # before all others
        picture(tmp_path / added)
        after = held()
        assert len((after ^ before) - {added}) <= 1
        assert {name for name in after ^ before if name.startswith("dog")} == set()
        assert abs(len([name for name in after if name.startswith("cat")])
                   - part * (31 + number)) <= 0.5  # fmt: skip
        before = after


def test_holdout_divides_the_train_folder_where_there_is_one(tmp_path: Path):
    one_tree(tmp_path / "train")
    picture(tmp_path / "val/cat/unused.png")
    index = folder.scan(str(tmp_path), "val", 0.2)
    assert index.val.folder == index.train.folder == tmp_path / "train"
    assert len(index.train.labels) == 16 and len(index.val.labels) == 4


@pytest.mark.parametrize("part", [0.01, 0.99])
def test_holdout_leaves_an_image_on_either_side(part: float, tmp_path: Path):
    index = folder.scan(str(one_tree(tmp_path, count=2)), None, part)
    assert np.bincount(index.train.labels).tolist() == [1, 1]
    assert np.bincount(index.val.labels).tolist() == [1, 1]


def test_folders_that_begin_with_a_dot_are_no_classes_and_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    root = tree(tmp_path)
    for number in range(7):
        picture(root / "train" / f".{number}" / "0.png")

    classes = folder.scan(str(root), "val", None).classes
    assert not any(name.startswith(".") for name in classes)
    assert caplog.messages == [
        f"{root}/train: folders that begin with a dot are no classes, rename them if they are: "
        ".0, .1, .2, .3, .4 and 2 more"
    ]


# --- deeper folders, and files that are not read ---------------------------------------------


def test_deeper_folders_belong_to_the_class_in_torchvisions_order(tmp_path: Path):
    for name in ("b.png", "a/z.png", "a/b/x.png", "a-c/y.png", "Z.png", "c/d/e/w.png"):
        picture(tmp_path / "train/cat" / name)
        picture(tmp_path / "val/cat" / name)
    index = folder.scan(str(tmp_path), "val", None)
    assert names(index.train) == names(index.val)
    # torchvision.datasets.ImageFolder(...).samples of the same files
    assert names(index.train) == [
        *("cat/Z.png", "cat/b.png", "cat/a/z.png", "cat/a-c/y.png"),
        *("cat/a/b/x.png", "cat/c/d/e/w.png"),
    ]
    assert read(load_folder(tmp_path, size=4).train, *range(6))[1] == {}


def test_files_that_are_not_read_are_counted_by_kind_in_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    tree(tmp_path)
    for name in ("train/Ant/a.avif", "train/Ant/deep/b.AVIF", "val/bee/c.avif", "val/bee/README",
                 "train/bee/.d.png", "train/bee/.git/e.png", "train/zebra/f.txt"):  # fmt: skip
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    folder.scan(str(tmp_path), "val", None)
    folder.scan(str(tmp_path), "val", None)
    assert caplog.messages == [
        f"{tmp_path}: files in class folders that are not read: "
        "3 .avif, 1 .txt, 2 hidden, 1 without an ending"
    ]


def test_a_folder_of_images_alone_is_listed_without_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    folder.scan(str(tree(tmp_path)), "val", None)
    assert caplog.messages == []


def test_a_link_that_leads_in_a_circle_is_refused(tmp_path: Path):
    tree(tmp_path)
    (tmp_path / "train/bee/deep").mkdir()
    (tmp_path / "train/bee/deep/again").symlink_to(tmp_path / "train/bee")
    assert refused(tmp_path) == (
        f"{tmp_path}/train/bee/deep/again is a link to a folder that contains it: delete it"
    )


def test_a_link_to_images_elsewhere_is_followed(tmp_path: Path):
    tree(tmp_path / "data")
    picture(tmp_path / "elsewhere/9.png")
    (tmp_path / "data/train/Ant/more").symlink_to(tmp_path / "elsewhere")
    index = folder.scan(str(tmp_path / "data"), "val", None)
    assert names(index.train)[:3] == ["Ant/0.png", "Ant/1.png", "Ant/more/9.png"]


# --- the digest ------------------------------------------------------------------------------


def digest(root: Path, val: str | None = "val", holdout: float | None = None) -> str:
    folder.scan.cache_clear()
    return folder.scan(str(root), val, holdout).digest


def test_the_digest_does_not_depend_on_the_place(tmp_path: Path):
    first, second = digest(tree(tmp_path / "a")), digest(tree(tmp_path / "b/c"))
    assert first == second
    assert len(first) == 64


def test_the_digest_does_not_depend_on_the_name_of_the_validation_folder(tmp_path: Path):
    assert digest(tree(tmp_path / "a")) == digest(tree(tmp_path / "b", val="test"), "test")


def test_the_digest_changes_with_a_file_name(tmp_path: Path):
    before = digest(tree(tmp_path))
    for changed in ("train/bee/3.png", "val/zebra/held.jpg"):
        path = tmp_path / changed
        path.rename(path.with_name("renamed.png"))
        after = digest(tmp_path)
        assert after != before
        before = after


def test_the_digest_changes_with_a_class_name(tmp_path: Path):
    before = digest(tree(tmp_path))
    for subset in ("train", "val"):
        (tmp_path / subset / "bee").rename(tmp_path / subset / "bees")
    assert digest(tmp_path) != before


def test_the_digest_changes_with_a_file_more(tmp_path: Path):
    before = digest(tree(tmp_path))
    picture(tmp_path / "train/bee/4.png")
    assert digest(tmp_path) != before


def test_the_digest_changes_with_the_size_of_any_file(tmp_path: Path):
    before = digest(one_tree(tmp_path, count=20), None, 0.2)
    for path in sorted(tmp_path.glob("*/*.png")):
        path.write_bytes(path.read_bytes() + b"\0")
        after = digest(tmp_path, None, 0.2)
        assert after != before
        before = after


def test_the_digest_covers_the_content_of_five_files_of_every_class(tmp_path: Path):
    """Of files that keep name and size: of all others a change goes unnoticed."""
    before = digest(one_tree(tmp_path, count=20), None, 0.2)
    noticed = []
    for path in sorted(tmp_path.glob("*/*.png")):
        content = path.read_bytes()
        path.write_bytes(bytes(len(content)))
        if digest(tmp_path, None, 0.2) != before:
            noticed.append(f"{path.parent.name}/{path.stem}")
        path.write_bytes(content)
    assert noticed == [
        *("cat/05", "cat/07", "cat/10", "cat/13", "cat/16"),
        *("dog/00", "dog/05", "dog/09", "dog/10", "dog/14"),
    ]
    assert digest(tmp_path, None, 0.2) == before


def test_the_digest_covers_every_file_of_a_small_class(tmp_path: Path):
    before = digest(tree(tmp_path))
    for path in sorted(tmp_path.glob("*/*/*")):
        path.write_bytes(bytes(path.stat().st_size))
        after = digest(tmp_path)
        assert after != before
        before = after


def test_times_do_not_change_the_digest(tmp_path: Path):
    before = digest(tree(tmp_path))
    for path in tmp_path.glob("*/*/*"):
        os.utime(path, (1, 1))
    assert digest(tmp_path) == before


def test_the_digest_changes_with_the_holdout(tmp_path: Path):
    one_tree(tmp_path)
    digests = [digest(tmp_path, None, part) for part in (0.2, 0.3, 0.2)]
    assert digests[0] == digests[2] != digests[1]


def test_describe_and_load_agree_on_classes_and_digest(tmp_path: Path):
    root = str(tree(tmp_path))
    described = data.describe("image_folder", root=root, val="val", holdout=None)
    images = data.load(
        "imagenet",
        root=root,
        val="val",
        holdout=None,
        size=4,
        resize="warp",
        decode="exact",
        cache=tmp_path,
    )
    assert described.classes == images.classes == ("Ant", "bee", "zebra")
    assert described.digest == images.digest


# --- errors ----------------------------------------------------------------------------------


def refused(root: Path | str | None, val: str | None = "val", holdout: float | None = None) -> str:
    with pytest.raises(UserError) as error:
        folder.scan(None if root is None else str(root), val, holdout)
    return str(error.value)


def test_no_root_is_refused():
    assert refused(None) == (
        "data.root is missing: name the folder that holds train/CLASS/* and val/* with "
        "data.root=DIR"
    )


def test_a_missing_root_is_refused(tmp_path: Path):
    assert refused(tmp_path / "no") == f"data.root={tmp_path}/no is not a folder"


def test_a_root_that_is_a_file_is_refused(tmp_path: Path):
    (tmp_path / "file").write_text("")
    assert refused(tmp_path / "file") == f"data.root={tmp_path}/file is not a folder"


def test_an_empty_root_is_refused(tmp_path: Path):
    assert refused(tmp_path) == (
        f"data.root={tmp_path} contains no folders: need train/CLASS/* and val/*"
    )


def test_a_root_without_train_is_refused_with_its_folders(tmp_path: Path):
    picture(tmp_path / "training/cat/0.png")
    picture(tmp_path / "val/cat/0.png")
    assert refused(tmp_path) == (
        f"data.root={tmp_path} has no folder 'train' (it has training, val): need train/CLASS/*"
    )


def test_a_root_without_val_is_refused_with_its_folders(tmp_path: Path):
    tree(tmp_path, val="validation")
    assert refused(tmp_path) == (
        f"data.root={tmp_path} has no folder 'val' (it has train, validation): "
        "name the validation folder with data.val=NAME, or hold out a part with data.holdout=0.2"
    )


def test_a_long_list_of_folders_is_cut(tmp_path: Path):
    for letter in "abcdefgh":
        (tmp_path / letter).mkdir()
    assert "(it has a, b, c, d, e and 3 more)" in refused(tmp_path)


def test_neither_val_nor_holdout_is_refused(tmp_path: Path):
    assert refused(tree(tmp_path), None) == (
        "data.val is missing: name the validation folder with data.val=NAME, or hold out a part "
        "with data.holdout=0.2"
    )


def test_classes_in_one_subset_only_are_refused_all_at_once(tmp_path: Path):
    tree(tmp_path)
    picture(tmp_path / "train/wolf/0.png")
    picture(tmp_path / "train/yak/0.png")
    picture(tmp_path / "val/fox/0.png")
    assert refused(tmp_path) == (
        f"data.root={tmp_path} has other classes in train than in val: "
        "only in train: wolf, yak; only in val: fox"
    )


def test_a_class_in_train_only_is_refused(tmp_path: Path):
    tree(tmp_path)
    picture(tmp_path / "train/wolf/0.png")
    assert refused(tmp_path).endswith("than in val: only in train: wolf")


@pytest.mark.parametrize("subset", ["train", "val"])
def test_a_class_without_images_is_refused(subset: str, tmp_path: Path):
    tree(tmp_path)
    for path in (tmp_path / subset / "bee").iterdir():
        path.unlink()
    (tmp_path / subset / "bee/notes.txt").write_text("")
    assert refused(tmp_path) == (
        f"{tmp_path}/{subset}/bee has no images "
        "(.jpg .jpeg .jpe .jfif .png .ppm .pgm .pbm .pnm .bmp .tif .tiff .webp .gif)"
    )


def test_subsets_without_classes_are_refused(tmp_path: Path):
    (tmp_path / "train").mkdir()
    (tmp_path / "val").mkdir()
    assert refused(tmp_path) == f"{tmp_path}/train contains no class folders"
    assert refused(tmp_path, None, 0.2) == f"{tmp_path}/train contains no class folders"


def test_holdout_of_a_class_with_one_image_is_refused(tmp_path: Path):
    one_tree(tmp_path)
    picture(tmp_path / "eel/0.png")
    assert refused(tmp_path, None, 0.2) == (
        f"data.holdout=0.2 needs 2 images of a class or more: {tmp_path}/eel has 1"
    )


@pytest.mark.parametrize("name", ["train/Ant/../../../outside", "elsewhere/Ant/0.png"])
def test_a_name_of_a_record_that_leads_out_of_the_folder_is_not_read(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    root = tree(tmp_path / "data")
    read: list[str] = []
    monkeypatch.setattr(folder, "content_digest", lambda path: read.append(path) or "")
    images = {"root": str(root), "val": "val", "holdout": None}

    assert data.changed("image_folder", **images, skipped={name: "0" * 64}) == (name,)
    assert read == []


def test_scaled_images_have_the_detail_of_the_side_that_is_drawn(tmp_path: Path):
    tree(tmp_path)
    noise = np.random.default_rng(0).integers(0, 256, (96, 64, 3), dtype=np.uint8)
    path = tmp_path / "train/Ant/0.png"  # a JPEG, whatever its name
    Image.fromarray(noise).save(path, "JPEG")
    exact, scaled = (
        load_folder(tmp_path, size=16, decode=how).train for how in ("exact", "scaled")
    )
    assert (exact.scaled, scaled.scaled) == (False, True)
    assert exact.picture(0, 16).shape == (96, 64, 3)
    assert [scaled.picture(0, side).shape for side in (8, 16, 33)] == [
        (12, 8, 3), (24, 16, 3), (96, 64, 3),
    ]  # fmt: skip
    content = path.read_bytes()
    bits = np.zeros((1, 2), np.uint64)
    for side, sides in ((16, None), (30, np.array([30]))):
        crops = Crops(bits, sides, pad=0, one_size=False)
        out = np.zeros((1, 8, 8, 3), np.uint8)
        scaled.read(np.array([0]), out, crops)
        picture = decode.decode(content, least=side)
        assert picture.shape[0] == {16: 24, 30: 48}[side]
        expected = decode.fit(picture, size=side, resize="warp")
        assert np.array_equal(out[0], expected[:8, :8])
    out = np.zeros((1, 16, 16, 3), np.uint8)
    scaled.read(np.array([0]), out, None)
    assert np.array_equal(out[0], decode.fit(scaled.picture(0, 16), size=16, resize="warp"))
