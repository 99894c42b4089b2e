"""JPEGs to measure loaders with: of a folder, or cut from scikit-learn's two photographs.

What is measured is a folder of links, `train/CLASS/*`, `val/CLASS/*`, so that a part of ImageNet
can be prepared in seconds, and few files can stand for more than a cache holds.
"""

from pathlib import Path

from PIL import Image

from transferlab.errors import UserError

WIDTH, HEIGHT = 500, 375  # of most photographs in ImageNet
COLUMNS, ROWS = 8, 4  # so many cuts of either photograph
QUALITY = 95
ENDS = (".jpg", ".jpeg")


def folder(root: Path | None, place: Path, count: int) -> Path:
    """A folder in `place` with `count` training images and one for validation of each class.

    They are spread evenly over the JPEGs of `root` (CLASS/* or train/CLASS/*), and come again
    where it has fewer. None: photographs that are cut here.

    Raises: UserError if there are no JPEGs.
    """
    source = cut(place / "photographs") if root is None else root
    inside = source / "train" if (source / "train").is_dir() else source
    files = sorted(path for path in inside.glob("*/*") if path.suffix.lower() in ENDS)
    if not files:
        raise UserError(f"--root {source} has no JPEGs: need CLASS/*.jpg or train/CLASS/*.jpg")
    linked = place / "linked"
    for number in range(count):
        file = files[number * len(files) // count if len(files) > count else number % len(files)]
        train, val = (linked / subset / file.parent.name for subset in ("train", "val"))
        for classes in (train, val):
            classes.mkdir(parents=True, exist_ok=True)
        (train / f"{number}.jpg").symlink_to(file)
        if not any(val.iterdir()):
            (val / f"{number}.jpg").symlink_to(file)
    return linked


def cut(place: Path) -> Path:
    """64 different JPEGs of 500 x 375 pixels below `place`, in two classes."""
    from sklearn.datasets import load_sample_images

    for name, pixels in zip(("china", "flower"), load_sample_images().images, strict=True):
        (place / name).mkdir(parents=True)
        height, width = pixels.shape[:2]
        for row in range(ROWS):
            for column in range(COLUMNS):
                top = row * (height - HEIGHT) // (ROWS - 1)
                left = column * (width - WIDTH) // (COLUMNS - 1)
                part = pixels[top : top + HEIGHT, left : left + WIDTH]
                Image.fromarray(part).save(place / name / f"{row}{column}.jpg", quality=QUALITY)
    return place
