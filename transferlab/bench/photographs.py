"""JPEGs to measure loaders with: of a folder, or cut from scikit-learn's two photographs.

What is measured is a folder of links, `train/CLASS/*`, `val/CLASS/*`, so that a part of ImageNet
can be prepared in seconds, and few files can stand for more than a cache holds.
"""

from pathlib import Path

from PIL import Image

from transferlab.errors import UserError

WIDTH, HEIGHT = 500, 375  # of most photographs in ImageNet
COLUMNS, ROWS = 8, 4  # cuts of each photograph
QUALITY = 95
ENDS = (".jpg", ".jpeg")


def link(source: Path, folder: Path, count: int) -> Path:
    """Fill the folder with `count` training images and one for validation of each class.

    They are spread evenly over the JPEGs of `source` (CLASS/* or train/CLASS/*), which are
    repeated where there are fewer.

    Raises: UserError if there are no JPEGs.
    """
    inside = source / "train" if (source / "train").is_dir() else source
    files = sorted(path for path in inside.glob("*/*") if path.suffix.lower() in ENDS)
    if not files:
        raise UserError(f"--root {source} has no JPEGs: need CLASS/*.jpg or train/CLASS/*.jpg")
    for number in range(count):
        file = files[number * len(files) // count if len(files) > count else number % len(files)]
        train, val = (folder / subset / file.parent.name for subset in ("train", "val"))
        for classes in (train, val):
            classes.mkdir(parents=True, exist_ok=True)
        (train / f"{number}.jpg").symlink_to(file)
        if not any(val.iterdir()):
            (val / f"{number}.jpg").symlink_to(file)
    return folder


def cut(folder: Path) -> Path:
    """Fill the folder with 64 different JPEGs of 500 x 375 pixels, in two classes."""
    from sklearn.datasets import load_sample_images

    for name, pixels in zip(("china", "flower"), load_sample_images().images, strict=True):
        (folder / name).mkdir(parents=True)
        height, width = pixels.shape[:2]
        for number in range(ROWS * COLUMNS):
            row, column = divmod(number, COLUMNS)
            top, left = (
                row * (height - HEIGHT) // (ROWS - 1),
                column * (width - WIDTH) // (COLUMNS - 1),
            )
            part = Image.fromarray(pixels[top : top + HEIGHT, left : left + WIDTH])
            part.save(folder / name / f"{row}{column}.jpg", quality=QUALITY)
    return folder
