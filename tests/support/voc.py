"""A PASCAL VOC 2007 of a few images in the devkit's own layout, with all 20 classes."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image

from transferlab.data.datasets.voc import CLASSES

Labels = Mapping[str, Mapping[str, int]]  # id -> class -> label, -1 where none is given
TRAIN: Labels = {"000012": {"car": 1}, "000017": {"person": 1, "horse": 1}}
VAL: Labels = {"000005": {"chair": 1, "person": 0}, "000007": {"car": 1}}
TEST: Labels = {"000001": {"dog": 1, "person": 1}, "000002": {"train": 1}, "000003": {"car": 0}}


def devkit(
    root: Path, *, train: Labels = TRAIN, val: Labels = VAL, test: Labels = TEST, side: int = 8
) -> Path:
    """The folder that holds VOC2007/, its images of one colour and `side` pixels."""
    sets = {"train": train, "val": val, "trainval": {**train, **val}, "test": test}
    (root / "VOC2007" / "JPEGImages").mkdir(parents=True)
    for name, labels in sets.items():
        for one in CLASSES:
            write_list(root, f"{one}_{name}", [(i, of.get(one, -1)) for i, of in labels.items()])
    for image in sets["trainval"] | sets["test"]:
        colour = (int(image) * 40 % 256, int(image) * 90 % 256, 128)
        path = root / "VOC2007" / "JPEGImages" / f"{image}.jpg"
        Image.new("RGB", (side + 2, side), colour).save(path)
    return root


def write_list(root: Path, name: str, lines: Sequence[tuple[str, int]]) -> Path:
    """`car_train.txt`, as the devkit spells it: columns, and CR LF at the ends of the lines."""
    path = root / "VOC2007" / "ImageSets" / "Main" / f"{name}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(f"{image} {label:2}\r\n" for image, label in lines).encode())
    return path
