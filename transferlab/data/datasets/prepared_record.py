"""`prepared.json`: what `prepare` writes and `data=prepared` reads, and the files that go with it.

A folder with that record and, for each subset, the images in one file (`images.u8`, raw RGB, or
`images.jpegs`), `labels.npy`, `names.npy` (the files they were made from), `slots.npy` (the
positions of those among all files, and of raw images in theirs), of JPEGs `spans.npy`, the first
byte and size of each, and `digests.npy`, by which `prepare --verify` notices damage.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, TypedDict

from transferlab.errors import UserError
from transferlab.runtime import commands, reading, typed
from transferlab.runtime.typed import Between

FORMAT = 2  # raised when the same files become other images, too
RECORD = "prepared.json"
IMAGES = {"raw": "images.u8", "jpeg": "images.jpegs"}  # codec -> the file of a subset's images
SUBSETS = ("train", "val")
LARGEST, LIMIT = 2**63 - 1, 64 * reading.MEGABYTE


@dataclass(frozen=True)
class Pixels:
    """The settings that decide the pixels: side, way of resizing, codec.

    `quality` of JPEGs, 1..100; None for raw. `decode` as of `data.decode`.
    """

    size: int
    resize: str
    codec: str
    quality: int | None
    decode: str = "exact"  # earlier versions had no choice


@dataclass(frozen=True)
class StoredSubset:
    """One subset on disk: the numbers of its images and source files, and its size in bytes."""

    images: int
    slots: int
    size_bytes: int


@dataclass(frozen=True)
class PrepareSettings:
    """What the data were made from, and how. `listing` is a digest of the file names."""

    pixels: Pixels
    val: str | None
    holdout: float | None
    listing: str

    def flat(self) -> dict[str, Any]:
        """Every setting by the name of its flag, and `listing`."""
        rest = {"val": self.val, "holdout": self.holdout, "listing": self.listing}
        return {**dataclasses.asdict(self.pixels), **rest}


@dataclass(frozen=True)
class PreparedRecord(PrepareSettings):
    """The content of `prepared.json`. `sources` is the digest of the folder that was prepared."""

    sources: str
    classes: tuple[str, ...]
    digest: str
    subsets: dict[str, StoredSubset]


class _PixelsSchema(TypedDict):
    size: Annotated[int, Between(1, LARGEST)]
    resize: str
    codec: Literal["raw", "jpeg"]
    quality: Annotated[int, Between(1, 100)] | None
    decode: NotRequired[Literal["exact", "scaled"]]


class _SubsetSchema(TypedDict):
    images: Annotated[int, Between(0, LARGEST)]
    slots: Annotated[int, Between(0, LARGEST)]
    size_bytes: Annotated[int, Between(0, LARGEST)]


class _PreparedSchema(TypedDict):
    """The schema of `prepared.json`."""

    pixels: _PixelsSchema
    val: str | None
    holdout: float | None
    listing: str
    sources: str
    classes: list[str]
    digest: str
    subsets: dict[str, _SubsetSchema]


def read_record(root: Path) -> PreparedRecord:
    """The record of the data at `root`.

    Raises: UserError if they are no prepared data, or those of another version.
    """
    path = root / RECORD
    content = reading.read(path, limit=LIMIT, remedy="prepare the images again")
    if content is None:
        raise UserError(
            f"data.root={root} is not prepared data (it has no {RECORD}): {_how_to_make(root)}"
        )
    try:
        raw = reading.json_value(content.data)
    except ValueError as error:
        raise damaged(path, error) from error
    if isinstance(raw, dict) and raw.get("format") != FORMAT:
        raise UserError(
            f"{path} was written by an incompatible version (format {raw.get('format')}, this one "
            f"reads {FORMAT}): use that version, or prepare the images again"
        )
    try:
        raw = typed.check(_PreparedSchema, raw)
        return PreparedRecord(
            pixels=Pixels(**raw["pixels"]),
            val=raw["val"],
            holdout=raw["holdout"],
            listing=raw["listing"],
            sources=raw["sources"],
            classes=tuple(raw["classes"]),
            digest=raw["digest"],
            subsets={name: StoredSubset(**raw["subsets"][name]) for name in SUBSETS},
        )
    except (KeyError, ValueError) as error:
        raise damaged(path, error) from error


def as_json(record: PreparedRecord, made_from: Mapping[str, Any]) -> dict[str, Any]:
    """The content of `prepared.json`; `made_from` is informative; nothing reads it."""
    return {"format": FORMAT, **dataclasses.asdict(record), "made_from": dict(made_from)}


def damaged(path: Path, reason: object) -> UserError:
    """The error for a file of prepared data that cannot be used."""
    if isinstance(reason, OSError) and reason.strerror:
        reason = reason.strerror
    return UserError(f"{path} is damaged ({reason}): prepare the images again")


def _how_to_make(root: Path) -> str:
    """What to do with a folder that is not prepared data, or does not exist."""
    if not root.is_dir():
        return f"make it with {commands.line('prepare', '--root', 'DIR', '--out', str(root))}"
    command = commands.line("prepare", "--root", str(root), "--out", "DIR")
    return f"read it with {commands.setting('data', 'image_folder')}, or prepare it with {command}"
