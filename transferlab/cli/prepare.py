"""The command `prepare`: a folder of images decoded and resized once, for all later runs."""

import argparse
import logging
import re
import time
from collections.abc import Sequence
from pathlib import Path

from transferlab.cli.flags import Flags, path_of
from transferlab.data import StoredPixels
from transferlab.data.datasets.prepared_record import IMAGES, Pixels, PreparedRecord
from transferlab.data.prepare import pipeline, space, verify
from transferlab.data.prepare.pipeline import Preparation
from transferlab.errors import RunFailed, UserError
from transferlab.experiment import fit
from transferlab.runtime import logs, machine, output

log = logging.getLogger(__name__)
NAMED = 20  # damaged parts that are named; further ones are counted
QUALITY = 95  # of JPEGs: 39 dB, see prepare/chunks.py


def run(arguments: Sequence[str]) -> int:
    """Decode and resize every image of a folder once, so that runs read them with data=prepared:
    at 256 pixels 60 times as fast (raw), or 7 times as fast from a sixth of the disk space (JPEG).
    After an interruption the same command resumes; the folder --out appears when all is done.
    --verify reads such a folder and reports damage."""
    flags = _flags()
    options = flags.parse_args(arguments)
    logs.to_stderr()
    if options.verify is not None:
        if vars(options) != vars(flags.parse_args([])) | {"verify": options.verify}:
            flags.error("--verify takes no other flags")
        return _verify(options.verify)
    missing = [f"--{name}" for name in ("root", "out") if getattr(options, name) is None]
    if missing:
        flags.error(f"the following arguments are required: {', '.join(missing)}")
    _show(_prepare(options), options.out)
    return 0


def _flags() -> argparse.ArgumentParser:
    flags = Flags("prepare", run.__doc__ or "", store=False)
    flags.add_argument("--root", type=_folder, metavar="DIR",
                       help="the folder that holds train/CLASS/* and val/CLASS/*")  # fmt: skip
    flags.add_argument("--out", type=_folder, metavar="DIR",
                       help="the folder to make; must not exist yet")  # fmt: skip
    flags.add_argument("--size", type=int, default=256, metavar="PIXELS",
                       help="pixels a side of every image (default: 256)")  # fmt: skip
    flags.add_argument("--resize", choices=("warp", "crop"), default="warp",
                       help="to a square, aspect ratio not kept (the default), or the shorter "
                       "side, then the centre")  # fmt: skip
    flags.add_argument("--decode", choices=("exact", "scaled"), default="exact",
                       help="JPEGs in full (the default), or at the smallest of their own scales "
                       "that has --size pixels")  # fmt: skip
    flags.add_argument("--codec", choices=tuple(IMAGES), default="raw",
                       help="raw (the default) is 3 bytes a pixel, jpeg a sixth")  # fmt: skip
    flags.add_argument("--quality", type=int, metavar="Q",
                       help=f"JPEG quality, 1..100 (default: {QUALITY})")  # fmt: skip
    flags.add_argument("--val", metavar="NAME", help="the validation folder (default: val)")
    flags.add_argument("--holdout", type=float, metavar="PART",
                       help="hold out this part of every class, as data.holdout")  # fmt: skip
    flags.add_argument("--jobs", type=int, default=machine.cores(), metavar="N",
                       help="worker processes (default: one for each core)")  # fmt: skip
    flags.add_argument("--skip-unreadable", action="store_true",
                       help="leave out files that cannot be read, instead of failing")  # fmt: skip
    flags.add_argument("--verify", type=_folder, metavar="DIR",
                       help="alone: check that prepared data are undamaged")  # fmt: skip
    return flags


def _folder(text: str) -> Path:
    return path_of(text).absolute()


def _prepare(options: argparse.Namespace) -> Preparation:
    pixels = _pixels(options)
    if options.holdout is not None and options.val is not None:
        raise UserError("--val and --holdout exclude each other: use one of them")
    if options.holdout is not None and not 0 < options.holdout < 1:
        raise UserError(f"--holdout {options.holdout} must be between 0 and 1")
    if options.jobs < 1:
        raise UserError(f"--jobs {options.jobs} must be at least 1")
    val = None if options.holdout is not None else options.val or "val"
    try:
        return pipeline.prepare(
            options.root,
            options.out,
            pixels,
            val=val,
            holdout=options.holdout,
            jobs=options.jobs,
            skip_unreadable=options.skip_unreadable,
        )
    except UserError as error:  # errors in listing the folder name the keys of a run
        raise UserError(re.sub(r"\bdata\.(root|val|holdout)=", r"--\1 ", str(error))) from error


def _pixels(options: argparse.Namespace) -> Pixels:
    quality = options.quality
    if options.codec != "jpeg" and quality is not None:
        raise UserError(f"--quality {quality} applies only to --codec jpeg: omit it, or add that")
    if options.codec == "jpeg":
        quality = QUALITY if quality is None else quality
        if not 1 <= quality <= 100:
            raise UserError(f"--quality {quality} must be between 1 and 100")
    if options.size < 1:
        raise UserError(f"--size {options.size} must be at least 1")
    return Pixels(options.size, options.resize, options.codec, quality, options.decode)


def _verify(root: Path) -> int:
    start = time.monotonic()
    try:
        verification = verify.verify(root)
    except UserError as error:
        raise UserError(str(error).replace("data.root=", "--verify ")) from error
    for message in verification.damage[:NAMED]:
        log.warning("damaged: %s", message)
    if verification.damage:
        more = len(verification.damage) - NAMED
        raise RunFailed(
            f"{root} is damaged{f' ({more} more parts)' if more > 0 else ''}: copy it again, or "
            "prepare the images again"
        )
    output.show(_contents(verification.record))
    output.show(f"undamaged: all bytes read in {logs.duration(time.monotonic() - start)}")
    return 0


def _contents(record: PreparedRecord) -> str:
    counts = ", ".join(f"{stored.images} {name}" for name, stored in record.subsets.items())
    total = space.text(sum(stored.size_bytes for stored in record.subsets.values()))
    return f"{counts} images of {len(record.classes)} classes, {total}, digest {record.digest[:12]}"


def _show(preparation: Preparation, out: Path) -> None:
    record, made, time_s = preparation.record, preparation.made, preparation.time_s
    output.report(_contents(record))
    left_out = sum(stored.slots - stored.images for stored in record.subsets.values())
    if left_out:
        output.report(f"{left_out} unreadable files are left out: {out / 'unreadable.csv'}")
    if made:
        output.report(
            f"{made} images prepared in {logs.duration(time_s)}, {made / time_s:.0f} images/s"
        )
    else:
        output.report("already complete: nothing to do")
    stored = StoredPixels(record.pixels.size, record.pixels.resize, record.pixels.decode)
    output.report(f"next: {fit.first_run(out, stored, len(record.classes))}")
