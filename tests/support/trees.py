"""Small folders of images, and the preparing of one. For the tests of this folder and of data."""

from pathlib import Path

import numpy as np
from PIL import Image

from transferlab.data.datasets import folder
from transferlab.data.datasets.folder import ImageFolder
from transferlab.data.datasets.images import ImageSet
from transferlab.data.datasets.prepared_record import Pixels
from transferlab.data.prepare import pipeline
from transferlab.data.prepare.pipeline import Preparation

RAW = Pixels(size=8, resize="warp", codec="raw", quality=None)
JPEG = Pixels(size=8, resize="warp", codec="jpeg", quality=95)
COUNTS = {"train": {"Ant": 5, "bee": 7, "cat": 4}, "val": {"Ant": 2, "bee": 3, "cat": 2}}


def picture(path: Path, seed: int, side: int = 8) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)


def tree(root: Path) -> Path:
    """16 training and 7 validation images of three classes, each of its own noise."""
    seed = 0
    for subset, classes in COUNTS.items():
        for name, count in classes.items():
            for number in range(count):
                picture(root / subset / name / f"{number}.png", seed := seed + 1)
    return root


def spoil(root: Path) -> None:
    (root / "train/Ant/1.png").write_bytes(b"")
    (root / "train/bee/0.png").write_text("no image")
    (root / "val/cat/1.png").unlink()
    (root / "val/cat/1.png").symlink_to("nowhere.png")


def load_folder(
    root: Path,
    *,
    size: int,
    resize: str = "warp",
    decode: str = "exact",
    val: str | None = "val",
    holdout: float | None = None,
) -> ImageSet:
    folder = ImageFolder(str(root), val, holdout)
    return folder.load(size=size, resize=resize, decode=decode, cache=Path("unused"))


def prepare(
    root: Path,
    dst: Path,
    pixels: Pixels = RAW,
    *,
    val: str | None = "val",
    holdout: float | None = None,
    jobs: int = 1,
    skip: bool = False,
) -> Preparation:
    folder.scan.cache_clear()
    return pipeline.prepare(
        root, dst, pixels, val=val, holdout=holdout, jobs=jobs, skip_unreadable=skip
    )
