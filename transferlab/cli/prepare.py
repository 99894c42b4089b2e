"""The command `prepare`: a folder of images decoded and resized once, for all runs to come."""

import argparse
import logging
import re
import shlex
import time
from collections.abc import Sequence
from pathlib import Path

from transferlab.cli.flags import Flags
from transferlab.data.datasets.prepared import IMAGES, Pixels, Record
from transferlab.data.prepare import space, verify, whole
from transferlab.data.prepare.whole import Outcome
from transferlab.errors import RunFailed, UserError
from transferlab.runtime import logs, machine

log = logging.getLogger(__name__)
NAMED = 20  # damaged parts that are named, before they are only counted
QUALITY = 95  # of JPEGs: 39 dB, see preparing/chunks.py


def run(arguments: Sequence[str]) -> int:
    """Decode and resize every image of a folder once, so that runs read them with data=prepared:
    of 256 pixels, raw 60 times as fast, as JPEGs 7 times and with a sixth of the disk. Given
    again after an interruption it goes on; the folder --out is there when all is done, and not
    before. --verify reads such a folder and says whether every byte is still what it was."""
    flags = _flags()
    chosen = flags.parse_args(arguments)
    logs.to_stderr()
    if chosen.verify is not None:
        if vars(chosen) != vars(flags.parse_args([])) | {"verify": chosen.verify}:
            flags.error("--verify takes no other flags")
        return _verify(chosen.verify)
    if missing := [f"--{name}" for name in ("root", "out") if getattr(chosen, name) is None]:
        flags.error(f"the following arguments are required: {', '.join(missing)}")
    pixels = _pixels(chosen)
    if chosen.holdout is not None and chosen.val is not None:
        raise UserError("--val and --holdout exclude one another: give one of them")
    if chosen.holdout is not None and not 0 < chosen.holdout < 1:
        raise UserError(f"--holdout {chosen.holdout} is not a part of a class: between 0 and 1")
    if chosen.jobs < 1:
        raise UserError(f"--jobs {chosen.jobs} is too small: 1 or more")
    val = None if chosen.holdout is not None else chosen.val or "val"
    try:
        outcome = whole.prepare(
            chosen.root,
            chosen.out,
            pixels,
            val=val,
            holdout=chosen.holdout,
            jobs=chosen.jobs,
            skip_unreadable=chosen.skip_unreadable,
        )
    except UserError as error:  # what lists the folder speaks of a run's keys
        raise UserError(re.sub(r"\bdata\.(root|val|holdout)=", r"--\1 ", str(error))) from error
    _show(outcome, chosen.out)
    return 0


def _flags() -> argparse.ArgumentParser:
    flags = Flags("prepare", run.__doc__ or "", store=False)
    flags.add_argument("--root", type=_place, metavar="DIR",
                       help="the folder that holds train/CLASS/* and val/CLASS/*")  # fmt: skip
    flags.add_argument("--out", type=_place, metavar="DIR",
                       help="the folder that is made; not there yet")  # fmt: skip
    flags.add_argument("--size", type=int, default=256, metavar="PIXELS",
                       help="pixels a side of every image (default: 256)")  # fmt: skip
    flags.add_argument("--resize", choices=("warp", "crop"), default="warp",
                       help="to a square, aspect ratio not kept (the default), or the shorter "
                       "side, then the centre")  # fmt: skip
    flags.add_argument("--codec", choices=tuple(IMAGES), default="raw",
                       help="raw (the default) is 3 bytes a pixel, jpeg a sixth")  # fmt: skip
    flags.add_argument("--quality", type=int, metavar="Q",
                       help=f"of --codec jpeg, 1..100 (default: {QUALITY})")  # fmt: skip
    flags.add_argument("--val", metavar="NAME", help="the validation folder (default: val)")
    flags.add_argument("--holdout", type=float, metavar="PART",
                       help="hold out this part of every class, as data.holdout")  # fmt: skip
    flags.add_argument("--jobs", type=int, default=machine.cores(), metavar="N",
                       help="worker processes (default: one for each core)")  # fmt: skip
    flags.add_argument("--skip-unreadable", action="store_true",
                       help="leave out files that cannot be read, else a failure")  # fmt: skip
    flags.add_argument("--verify", type=_place, metavar="DIR",
                       help="alone: is what was prepared there still the same?")  # fmt: skip
    return flags


def _place(text: str) -> Path:
    return Path(text).expanduser().absolute()


def _pixels(chosen: argparse.Namespace) -> Pixels:
    quality = chosen.quality
    if chosen.codec != "jpeg" and quality is not None:
        raise UserError(f"--quality {quality} is for --codec jpeg: raw images lose nothing")
    if chosen.codec == "jpeg":
        quality = QUALITY if quality is None else quality
        if not 1 <= quality <= 100:
            raise UserError(f"--quality {quality} is not one of a JPEG: 1..100")
    if chosen.size < 1:
        raise UserError(f"--size {chosen.size} is too small: 1 or more")
    return Pixels(chosen.size, chosen.resize, chosen.codec, quality)


def _verify(place: Path) -> int:
    start = time.monotonic()
    try:
        checked = verify.verify(place)
    except UserError as error:
        raise UserError(str(error).replace("data.root=", "--verify ")) from error
    for words in checked.damage[:NAMED]:
        log.warning("damaged: %s", words)
    if checked.damage:
        more = len(checked.damage) - NAMED
        raise RunFailed(
            f"{place} is not what it was{f' ({more} more)' if more > 0 else ''}: copy it again, or "
            "prepare the images again"
        )
    print(_contents(checked.record))
    print(f"all as it was made: every byte read in {logs.duration(time.monotonic() - start)}")
    return 0


def _contents(record: Record) -> str:
    """What there is, in a line."""
    subsets = record.subsets
    counts = ", ".join(f"{subsets[name].images} {name}" for name in subsets)
    total = space.size(sum(stored.size_bytes for stored in subsets.values()))
    return f"{counts} images of {len(record.classes)} classes, {total}, digest {record.digest[:12]}"


def _show(outcome: Outcome, out: Path) -> None:
    record, subsets = outcome.record, outcome.record.subsets
    print(_contents(record))
    left_out = sum(stored.slots - stored.images for stored in subsets.values())
    if left_out:
        print(f"{left_out} unreadable files are left out: {out / 'unreadable.csv'}")
    if outcome.made:
        rate = outcome.made / outcome.time_s
        print(f"{outcome.made} made in {logs.duration(outcome.time_s)}, {rate:.0f} images/s")
    else:
        print("all was there already: nothing was done")
    size = record.pixels.size
    words = [] if size == 256 else [f"data.size={size}", f"data.crop={size}", "data.scale=0.015625"]
    words += [] if record.pixels.resize == "warp" else [f"data.resize={record.pixels.resize}"]
    use = ["+split=random", "data=prepared", f"data.root={out}", *words, "transfer.n=3"]
    print("next: python -m transferlab", shlex.join(use))
