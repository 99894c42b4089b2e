"""The folders that loaders are measured on."""

from pathlib import Path

import pytest
from PIL import Image

from transferlab.bench import photographs
from transferlab.errors import UserError


def jpegs(folder: Path, classes: dict[str, int]) -> Path:
    for name, count in classes.items():
        (folder / name).mkdir(parents=True)
        for number in range(count):
            Image.new("RGB", (8, 8)).save(folder / name / f"{number}.JPEG", "JPEG")
    return folder


def linked(folder: Path, subset: str) -> list[str]:
    """CLASS/NAME of what the links lead to, in the order of their numbers."""
    links = sorted((folder / subset).glob("*/*"), key=lambda path: int(path.stem))
    return ["/".join(path.resolve().parts[-2:]) for path in links]


def test_a_part_of_many_is_spread_over_all_classes(tmp_path: Path):
    root = jpegs(tmp_path / "root/train", {"a": 4, "b": 4}).parent

    folder = photographs.link(root, tmp_path / "here", 4)

    assert linked(folder, "train") == ["a/0.JPEG", "a/2.JPEG", "b/0.JPEG", "b/2.JPEG"]
    assert linked(folder, "val") == ["a/0.JPEG", "b/0.JPEG"]


def test_few_are_repeated_until_there_are_enough(tmp_path: Path):
    root = jpegs(tmp_path / "root", {"a": 2, "b": 1})

    folder = photographs.link(root, tmp_path / "here", 5)

    assert linked(folder, "train") == ["a/0.JPEG", "a/1.JPEG", "b/0.JPEG", "a/0.JPEG", "a/1.JPEG"]


def test_a_folder_without_jpegs_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match=r"^--root .* has no JPEGs: need CLASS/\*\.jpg or train/"):
        photographs.link(tmp_path, tmp_path / "here", 5)


def test_the_photographs_that_are_cut_are_all_different(tmp_path: Path):
    files = sorted(photographs.cut(tmp_path).glob("*/*.jpg"))

    assert len(files) == 64 and len({file.read_bytes() for file in files}) == 64
    with Image.open(files[0]) as image:
        assert image.size == (500, 375)
