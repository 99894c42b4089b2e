"""Reading prepared data: the images, settings that do not fit, and damage."""

import json
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.crops import at
from support.trees import JPEG, RAW, load_folder, prepare, tree

from transferlab import data
from transferlab.data.crops import Crops
from transferlab.data.datasets import decode
from transferlab.data.datasets.images import Announced, ArraySubset, Subset
from transferlab.data.datasets.mapped import Mapped
from transferlab.data.datasets.prepared import JpegSubset, Prepared, RawSubset
from transferlab.data.datasets.prepared_record import read_record
from transferlab.errors import UserError

# The worker processes resize with torch
pytestmark = pytest.mark.usefixtures("needs_torch")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tree(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def made(images: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Codec -> the folder of images prepared so. Not to be changed."""
    parent = tmp_path_factory.mktemp("made")
    for name, pixels in (("raw", RAW), ("jpeg", JPEG)):
        prepare(images, parent / name, pixels)
    return {"raw": parent / "raw", "jpeg": parent / "jpeg"}


@pytest.fixture(params=["raw", "jpeg"])
def mine(request: pytest.FixtureRequest, images: Path, tmp_path: Path) -> Path:
    """Prepared data that a test may damage."""
    dst = tmp_path / request.param
    prepare(images, dst, {"raw": RAW, "jpeg": JPEG}[request.param])
    return dst


def load(dst: Path, **changed: object):
    asked = {"root": str(dst), "val": None, "holdout": None, "size": 8, "resize": "warp"}
    asked |= {"decode": "exact"} | changed
    return data.load("prepared", cache=dst, **asked)  # type: ignore[arg-type]


def refused(dst: Path, **changed: object) -> str:
    with pytest.raises(UserError) as caught:
        load(dst, **changed)
    return str(caught.value)


def read(subset: Subset, positions: list[int], crop: int, crops: Crops | None = None) -> np.ndarray:
    out = np.zeros((len(positions), crop, crop, 3), np.uint8)
    assert subset.read(np.array(positions), out, crops) == {}
    return out


def test_crops_are_those_of_the_folder_in_the_requested_order(images: Path, made: dict[str, Path]):
    theirs = load_folder(images, size=8).train
    ours = load(made["raw"]).train
    assert isinstance(ours, RawSubset) and ours.in_memory and ours.size == 8
    positions, crops = [15, 2, 2, 9], at([[0, 3], [2, 1], [0, 0], [1, 1]], room=4)
    assert np.array_equal(read(ours, positions, 5, crops), read(theirs, positions, 5, crops))
    assert np.array_equal(read(ours, positions, 4), read(theirs, positions, 4))  # the centres


def test_a_picture_is_the_image_as_it_was_stored(made: dict[str, Path]):
    for codec, path in made.items():
        subset = load(path).train
        assert np.array_equal(subset.picture(9, 8), read(subset, [9], 8)[0]), codec


def test_stored_images_are_resized_to_smaller_sides(made: dict[str, Path]):
    """As an image in memory is, whose pictures are those of the files."""
    sides = Crops(np.full((2, 2), 2**31, np.uint64), np.array([5, 7]), pad=0, one_size=False)
    for codec, path in made.items():
        for size in (8, 6):
            ours, stored = load(path, size=size).train, load(path).train
            pictures = np.stack([stored.picture(position, 5) for position in (15, 2)])
            resized = decode.resize_all(pictures, size=size)
            assert np.array_equal(read(ours, [15, 2], size), resized), codec
            memory = ArraySubset(resized, np.zeros(2, np.int64), "memory", pictures=pictures)
            expected = read(memory, [0, 1], 4, sides)
            assert np.array_equal(read(ours, [15, 2], 4, sides), expected), codec
            assert not ours.in_memory or size == 8
        one = decode.fit(pictures[0], size=5, resize="warp")
        assert np.array_equal(expected[0], one[1:5, 1:5])  # the second of two offsets


def test_jpegs_are_cropped_likewise_and_take_worker_processes(made: dict[str, Path]):
    ours = load(made["jpeg"]).train
    assert isinstance(ours, JpegSubset) and not ours.in_memory
    whole = read(ours, [15, 2, 9], 8)
    crops = read(ours, [15, 2, 9], 5, at([[0, 3], [2, 1], [1, 1]], room=4))
    assert np.array_equal(crops[0], whole[0, :5, 3:])
    assert np.array_equal(crops[1], whole[1, 2:7, 1:6])
    assert np.array_equal(read(ours, [9], 4)[0], whole[2, 2:6, 2:6])


def test_a_plan_reads_few_files_and_takes_no_torch(images: Path, made: dict[str, Path]):
    code = """
import sys
from pathlib import Path
from transferlab import data
opened = []
sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" else None)
described = data.describe("prepared", root=sys.argv[1], val=None, holdout=None)
assert data.stored("prepared", root=sys.argv[1]) == data.StoredPixels(8, "warp", "exact")
print(described.classes, {Path(name).name for name in opened if name.startswith(sys.argv[1])})
print(data.train_counts("prepared", root=sys.argv[1], val=None, holdout=None))
print({"torch", "torchvision"} & set(sys.modules))
"""
    command = [sys.executable, "-c", code, str(made["raw"])]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "('Ant', 'bee', 'cat') {'prepared.json'}", "(5, 7, 4)", "set()",
    ]  # fmt: skip


def test_the_digest_is_the_records(made: dict[str, Path]):
    said = json.loads((made["jpeg"] / "prepared.json").read_text())["digest"]
    described = data.describe("prepared", root=str(made["jpeg"]), val=None, holdout=None)
    assert described.digest == said == load(made["jpeg"]).digest


def test_other_settings_than_those_it_was_made_with_are_refused(made: dict[str, Path]):
    dst = made["raw"]
    assert refused(dst, size=16) == (
        f"data.size=16 is above the 8 pixels of {dst}: set data.size=8, or prepare the images again"
    )
    assert refused(dst, resize="crop") == (
        f"data.resize=crop differs from the warp of {dst}: set data.resize=warp, or prepare the "
        "images again"
    )
    assert refused(dst, decode="scaled") == (
        f"data.decode=scaled differs from the exact of {dst}: set data.decode=exact, or prepare "
        "the images again"
    )
    for key, value in (("val", "test"), ("holdout", 0.2)):
        assert refused(dst, **{key: value}) == (
            f"data.{key}={value} does not apply to data=prepared: {dst} has its subsets already; "
            f"set data.{key}=null"
        )


def test_a_place_without_prepared_data_is_refused(images: Path, tmp_path: Path):
    assert refused(images) == (
        f"data.root={images} is not prepared data (it has no prepared.json): read it with "
        "data=image_folder, or prepare it with python -m transferlab prepare "
        f"--root {images} --out DIR"
    )
    assert refused(tmp_path / "none").endswith(
        f"make it with python -m transferlab prepare --root DIR --out {tmp_path}/none"
    )
    with pytest.raises(UserError, match=r"data\.root is missing: name the folder"):
        data.describe("prepared", root=None, val=None, holdout=None)


def test_another_version_is_refused(mine: Path):
    path = mine / "prepared.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 3}))
    assert refused(mine) == (
        f"{path} was written by an incompatible version (format 3, this one reads 2): use that "
        "version, or prepare the images again"
    )


def cut(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size * 9 // 10)


def test_damage_is_found_when_it_is_opened(mine: Path):
    unread = {"raw": {"digests.npy"}, "jpeg": {"digests.npy", "slots.npy"}}[mine.name]
    files = [path for path in sorted(mine.rglob("*")) if path.is_file() and path.name not in unread]
    assert len(files) == 9
    for path in files:
        content = path.read_bytes()
        for damage in (cut, Path.unlink, lambda path: path.write_bytes(b"")):
            damage(path)
            said = refused(mine)
            if path.name != "prepared.json" or path.exists():
                assert said.startswith(f"{path} is damaged (") and said.endswith(
                    "): prepare the images again"
                )
            path.write_bytes(content)
    assert load(mine).classes == ("Ant", "bee", "cat")


def test_numbers_that_lead_elsewhere_are_damage(mine: Path):
    array = mine / "train" / ("slots.npy" if mine.name == "raw" else "spans.npy")
    for path, wrong in ((array, 1_000_000), (array, -1), (mine / "val/labels.npy", 3)):
        content, numbers = path.read_bytes(), np.load(path)
        numbers.flat[2] = wrong
        np.save(path, numbers)
        assert refused(mine).startswith(f"{path} is damaged (")
        path.write_bytes(content)


def test_nothing_is_unpickled(mine: Path):
    np.save(mine / "train/labels.npy", np.array([print] * 16, dtype=object), allow_pickle=True)
    assert "allow_pickle=False" in refused(mine)


def test_a_damaged_jpeg_is_reported_by_its_place(images: Path, tmp_path: Path):
    dst = tmp_path / "made"
    prepare(images, dst, JPEG)
    (start, size), (other, _) = np.load(dst / "train/spans.npy")[[4, 6]].tolist()
    with (dst / "train/images.jpegs").open("r+b") as file:
        file.seek(start)
        file.write(b"\0" * size)
        file.seek(other)
        file.write(decode_as_jpeg(4))  # sound, but of another size
    subset, out = load(dst).train, np.zeros((3, 8, 8, 3), np.uint8)
    unreadable = subset.read(np.array([6, 1, 4]), out, None)
    assert {slot: image.reason for slot, image in unreadable.items()} == {
        0: "its JPEG in the prepared data is damaged: it has 4 x 4 pixels",
        2: "its JPEG in the prepared data is damaged: tjDecompressHeader3(): Could not determine "
        "subsampling level of JPEG image",
    }
    assert out[1].any()
    assert subset.name(4) == "Ant/4.png"
    skipped = {image.name: image.sha256 for image in unreadable.values()}
    assert list(skipped) == ["train/bee/1.png", "train/Ant/4.png"]
    assert Prepared(str(dst), None, None).changed(skipped) == ()
    with (dst / "train/images.jpegs").open("r+b") as file:
        file.seek(other)
        file.write(b"mended")
    assert Prepared(str(dst), None, None).changed(skipped) == ("train/bee/1.png",)


def decode_as_jpeg(side: int) -> bytes:
    from transferlab.data.prepare import chunks

    return chunks.encode(np.zeros((side, side, 3), np.uint8), 10)


def test_another_process_opens_the_file_and_is_not_sent_it(made: dict[str, Path]):
    for dst in made.values():
        subset = load(dst).train
        sent = pickle.dumps(subset)
        assert len(sent) < 3000
        assert np.array_equal(read(pickle.loads(sent), [3, 11], 8), read(subset, [3, 11], 8))


def test_both_codecs_announce_where_their_images_lie(
    made: dict[str, Path], monkeypatch: pytest.MonkeyPatch
):
    fetched: list[list[list[int]]] = []
    monkeypatch.setattr(
        Mapped, "fetch", lambda self, *parts: fetched.append([part.tolist() for part in parts])
    )
    raw, jpeg = load(made["raw"]).train, load(made["jpeg"]).train
    raw = replace(raw, slots=np.array([9, 8, 7, 5]))  # as if others had been left out
    for subset in (raw, jpeg):
        assert isinstance(subset, Announced)
        subset.announce(np.array([3, 0]))
        read(subset, [3, 0], 8)  # announces nothing more
    spans = np.load(made["jpeg"] / "train/spans.npy")[[3, 0]]
    assert fetched == [
        [[5 * 192, 9 * 192], [192, 192]],
        [spans[:, 0].tolist(), spans[:, 1].tolist()],
    ]


def test_decode_takes_the_jpegs_as_they_are_stored(made: dict[str, Path]):
    start, size = np.load(made["jpeg"] / "train/spans.npy")[0].tolist()
    content = (made["jpeg"] / "train/images.jpegs").read_bytes()[start : start + size]
    assert content[:2] == b"\xff\xd8" and content[-2:] == b"\xff\xd9"
    assert decode.decode(content).shape == (8, 8, 3)
    assert read_record(made["jpeg"]).subsets["train"].images == 16
