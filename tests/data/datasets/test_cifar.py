"""CIFAR from archives laid out as the published ones, read without executing their pickles."""

import hashlib
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
from torchvision import datasets

from transferlab import data
from transferlab.data.datasets import cifar
from transferlab.errors import UserError

KINDS = {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}
DOWNLOAD = "torchvision.datasets.utils.download_and_extract_archive"


def python2_pickle(value: object) -> bytes:
    """The pickle that Python 2 and numpy 1 wrote, as in the published archives."""
    return b"\x80\x02" + _opcodes(value) + b"."


def _opcodes(value: object) -> bytes:
    if isinstance(value, dict):
        return b"}(" + b"".join(_opcodes(k) + _opcodes(v) for k, v in value.items()) + b"u"
    if isinstance(value, list):
        return b"](" + b"".join(_opcodes(v) for v in value) + b"e"
    if isinstance(value, str | bytes):
        content = value if isinstance(value, bytes) else value.encode()
        return b"T" + struct.pack("<i", len(content)) + content
    if isinstance(value, int):
        return b"J" + struct.pack("<i", value)
    assert isinstance(value, np.ndarray) and value.dtype == np.uint8
    empty = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR"
    kind = (
        b"cnumpy\ndtype\n(U\x02u1K\x00K\x01tR(K\x03U\x01|NNN"
        + 2 * b"J\xff\xff\xff\xff"
        + b"K\x00tb"
    )
    shape = b"(" + b"".join(_opcodes(side) for side in value.shape) + b"t"
    return empty + b"(K\x01" + shape + kind + b"\x89" + _opcodes(value.tobytes()) + b"tb"


def pixels(count: int, start: int) -> np.ndarray:
    """Images as CIFAR stores them, (count, 3072): all red, then all green, then all blue."""
    images = np.zeros((count, 3, 32, 32), dtype=np.uint8)
    for index in range(count):
        images[index, 0], images[index, 1], images[index, 2] = start + index, 100, 200
        images[index, :, 0, 31] = 255  # the corner above right
    return images.reshape(count, 3072)


def write(root: Path, name: str) -> Path:
    """A small archive as it is unpacked into `root`."""
    kind = KINDS[name]
    folder = root / kind.base_folder
    folder.mkdir(parents=True, exist_ok=True)
    classes = list(cifar.CLASSES[name])
    start = 0
    for file, _ in kind.train_list + kind.test_list:
        content: dict[str, object] = {"data": pixels(2, start), "batch_label": "a part"}
        labels = [start % len(classes), (start + 1) % len(classes)]
        if name == "cifar10":
            content["labels"] = labels
        else:
            content |= {"fine_labels": labels, "coarse_labels": [0, 0]}
        (folder / file).write_bytes(python2_pickle(content))
        start += 2
    (folder / kind.meta["filename"]).write_bytes(python2_pickle({kind.meta["key"]: classes}))
    return folder


def publish(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let torchvision take the files of `folder` for the published ones, by their md5 sums."""
    kind = KINDS[name]

    def md5(file: str) -> str:
        return hashlib.md5((folder / file).read_bytes()).hexdigest()

    for part in ("train_list", "test_list"):
        monkeypatch.setattr(kind, part, [[file, md5(file)] for file, _ in getattr(kind, part)])
    monkeypatch.setattr(kind, "meta", kind.meta | {"md5": md5(kind.meta["filename"])})


def published(root: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = write(root, name)
    publish(folder, name, monkeypatch)
    return folder


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, str, str]]:
    """Downloads write the small archive; the list says with which url, root, file name and md5."""
    asked = []

    def download(url: str, root: str, *, filename: str, md5: str) -> None:
        asked.append((url, root, filename, md5))
        name = next(name for name, kind in KINDS.items() if kind.url == url)
        write(Path(root), name)

    monkeypatch.setattr(DOWNLOAD, download)
    return asked


@pytest.fixture(autouse=True)
def no_network_and_no_ordinary_unpickling(monkeypatch: pytest.MonkeyPatch):
    def refuse(*args, **kwargs):
        raise OSError("Network is unreachable")

    def fail(*args, **kwargs):
        raise AssertionError("an ordinary unpickler was called")

    monkeypatch.setattr(DOWNLOAD, refuse)
    monkeypatch.setattr("pickle.load", fail)  # which torchvision's classes call


def test_cifar10_is_read_from_its_six_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    published(tmp_path, "cifar10", monkeypatch)
    images = cifar.load("cifar10", root=tmp_path, size=32)
    assert images.classes[:3] == ("airplane", "automobile", "bird") and len(images.classes) == 10
    assert images.train.labels.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert images.val.labels.tolist() == [0, 1]
    assert images.train.pixels.shape == (10, 32, 32, 3) and images.train.pixels.dtype == np.uint8
    assert images.train.pixels[7, 16, 16].tolist() == [7, 100, 200]
    assert images.val.pixels[1, 16, 16].tolist() == [11, 100, 200]


def test_cifar100_has_the_fine_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    published(tmp_path, "cifar100", monkeypatch)
    images = cifar.load("cifar100", root=tmp_path, size=32)
    assert len(images.classes) == 100
    assert images.classes[:2] + images.classes[-1:] == ("apple", "aquarium_fish", "worm")
    assert images.train.labels.tolist() == [0, 1]
    assert images.val.labels.tolist() == [2, 3]
    assert images.val.pixels[0, 5, 5].tolist() == [2, 100, 200]


def test_rows_and_columns_are_not_exchanged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    published(tmp_path, "cifar10", monkeypatch)
    image = cifar.load("cifar10", root=tmp_path, size=32).train.pixels[0]
    assert image[0, 31].tolist() == [255, 255, 255]
    assert image[31, 0].tolist() == [0, 100, 200]


def test_images_are_resized_to_the_requested_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    published(tmp_path, "cifar10", monkeypatch)
    images = cifar.load("cifar10", root=tmp_path, size=16)
    assert images.train.pixels.shape == (10, 16, 16, 3)
    assert images.train.pixels[3, 8, 8].tolist() == [3, 100, 200]


def test_the_data_set_is_found_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    published(tmp_path / "given", "cifar10", monkeypatch)
    published(tmp_path / "cache/cifar100", "cifar100", monkeypatch)
    common = dict(
        val=None, holdout=None, size=32, resize="warp", decode="exact", cache=tmp_path / "cache"
    )
    given = data.load("cifar10", root=str(tmp_path / "given"), **common)
    cached = data.load("cifar100", root=None, **common)
    for name, images in (("cifar10", given), ("cifar100", cached)):
        described = data.describe(name, root=None, val=None, holdout=None)
        assert described == data.Description(images.classes, images.digest)


def test_the_digests_are_the_md5_sums_that_torchvision_checks():
    assert cifar.DIGESTS == {
        "cifar10": "c58f30108f718f92721af3b95e74349a",
        "cifar100": "eb9058c3a382ffc7106e4002c42a8d85",
    }
    assert {name: kind.tgz_md5 for name, kind in KINDS.items()} == cifar.DIGESTS


def test_class_names_are_sorted_and_distinct():
    for names, count in ((cifar.CIFAR10, 10), (cifar.CIFAR100, 100)):
        assert list(names) == sorted(set(names))
        assert len(names) == count


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_missing_data_without_a_network_are_an_error_with_advice(name: str, tmp_path: Path):
    with pytest.raises(UserError) as error:
        cifar.load(name, root=tmp_path, size=32)
    message = str(error.value)
    assert message.startswith(
        f"data={name} cannot be downloaded: Network is unreachable; download https:"
    )
    assert f"unpack it into {tmp_path}" in message
    assert message.endswith(
        f"or name the folder that holds {KINDS[name].base_folder} with data.root=DIR"
    )


def test_a_broken_download_is_an_error_with_advice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def corrupted(*args, **kwargs):
        raise RuntimeError("File not found or corrupted.")  # torchvision's for a wrong md5 sum

    monkeypatch.setattr(DOWNLOAD, corrupted)
    with pytest.raises(UserError, match="^data=cifar10 cannot be downloaded: File not found"):
        cifar.load("cifar10", root=tmp_path, size=32)


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_missing_data_are_downloaded_once(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, downloads: list
):
    publish(write(tmp_path / "published", name), name, monkeypatch)
    root = tmp_path / "cache" / name
    first, second = (cifar.load(name, root=root, size=32) for _ in range(2))
    kind = KINDS[name]
    ((url, scratch, file, md5),) = downloads
    assert (url, file, md5) == (kind.url, kind.filename, cifar.DIGESTS[name])
    assert Path(scratch).parent == root  # a folder whose name nobody knew
    assert [path.name for path in root.iterdir()] == [kind.base_folder]
    assert np.array_equal(first.val.pixels, second.val.pixels)
    assert first.val.pixels[1, 16, 16].tolist() == [{"cifar10": 11, "cifar100": 3}[name], 100, 200]


def test_a_whole_archive_is_not_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, downloads: list
):
    published(tmp_path, "cifar10", monkeypatch)
    cifar.load("cifar10", root=tmp_path, size=32)
    assert downloads == []


@pytest.mark.parametrize("file", ["data_batch_1", "data_batch_5", "test_batch", "batches.meta"])
@pytest.mark.parametrize("damage", ["missing", "cut off", "a byte changed"])
def test_an_incomplete_archive_is_downloaded_again(
    damage: str, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, downloads: list
):
    path = published(tmp_path, "cifar10", monkeypatch) / file
    content = path.read_bytes()
    path.unlink()
    if damage != "missing":
        last = b"" if damage == "cut off" else bytes([content[-1] ^ 1])
        path.write_bytes(content[:-1] + last)
    images = cifar.load("cifar10", root=tmp_path, size=32)
    assert len(downloads) == 1
    assert path.read_bytes() == content
    assert images.train.labels.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_a_download_of_other_files_is_refused(name: str, tmp_path: Path, downloads: list):
    with pytest.raises(UserError) as error:  # the real md5 sums, which the small files do not have
        cifar.load(name, root=tmp_path, size=32)
    kind = KINDS[name]
    assert str(error.value) == f"{kind.url} has changed: its files have other digests"
    assert len(downloads) == 1
    assert list(tmp_path.iterdir()) == []


def test_links_in_a_shared_cache_are_not_written_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, downloads: list
):
    publish(write(tmp_path / "published", "cifar10"), "cifar10", monkeypatch)
    kind = KINDS["cifar10"]
    folder = tmp_path / "cache" / kind.base_folder
    folder.mkdir(parents=True)
    (tmp_path / "victim").write_bytes(b"mine")
    for name in (f"../{kind.filename}", "data_batch_1", "batches.meta"):
        (folder / name).symlink_to(tmp_path / "victim")

    cifar.load("cifar10", root=tmp_path / "cache", size=32)

    assert (tmp_path / "victim").read_bytes() == b"mine"
    assert not (folder / "data_batch_1").is_symlink()


def test_other_class_names_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = published(tmp_path, "cifar10", monkeypatch)
    names = [*cifar.CIFAR10[:-1], "lorry"]
    (folder / "batches.meta").write_bytes(python2_pickle({"label_names": names}))
    publish(folder, "cifar10", monkeypatch)
    with pytest.raises(UserError, match=r"cifar-10-batches-py has other classes than cifar10$"):
        cifar.load("cifar10", root=tmp_path, size=32)


def test_the_restricted_unpickler_agrees_with_the_ordinary_one(tmp_path: Path):
    content = {"data": pixels(3, 5), "labels": [1, 2, 3], "batch_label": "a part"}
    (tmp_path / "file").write_bytes(python2_pickle(content))
    read = cifar.read_arrays(tmp_path / "file")
    assert read.keys() == content.keys()
    assert np.array_equal(read["data"], content["data"]) and read["data"].dtype == np.uint8
    assert (read["labels"], read["batch_label"]) == ([1, 2, 3], "a part")


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "system"),
        ("posix", "system"),
        ("builtins", "eval"),
        ("__builtin__", "eval"),
        ("subprocess", "Popen"),
        ("numpy", "load"),
        ("numpy", "ndarray.tofile"),
        ("collections", "OrderedDict"),
    ],
)
def test_a_pickle_that_names_anything_but_arrays_is_refused(module: str, name: str, tmp_path: Path):
    (tmp_path / "file").write_bytes(f"c{module}\n{name}\n.".encode())
    with pytest.raises(pickle.UnpicklingError, match=f"^{module}.{name} is not an array$"):
        cifar.read_arrays(tmp_path / "file")


def test_a_pickle_that_would_run_a_command_does_not(tmp_path: Path):
    witness = tmp_path / "witness"
    content = f"cos\nsystem\n(Vtouch {witness}\ntR.".encode()
    (tmp_path / "file").write_bytes(content)
    pickle.loads(content)
    assert witness.exists()  # so it would have
    witness.unlink()
    with pytest.raises(pickle.UnpicklingError, match=r"^os\.system is not an array$"):
        cifar.read_arrays(tmp_path / "file")
    assert not witness.exists()


def test_a_validation_file_that_would_run_a_command_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = published(tmp_path, "cifar10", monkeypatch)
    witness = tmp_path / "witness"
    (folder / "test_batch").write_bytes(f"cos\nsystem\n(Vtouch {witness}\ntR.".encode())
    publish(folder, "cifar10", monkeypatch)
    with pytest.raises(pickle.UnpicklingError, match=r"^os\.system is not an array$"):
        cifar.load("cifar10", root=tmp_path, size=32)
    assert not witness.exists()
