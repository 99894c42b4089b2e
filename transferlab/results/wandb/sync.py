"""Weights & Biases rebuilt from the store: a run of W&B for each entry that it has not told of yet.

The store is the only source: nothing is read back from W&B. A run is told of as a whole and takes
the place of any of its id. The folder that W&B makes of it gets a note of what was told, last, so
that the same is not told twice, and a run that was stopped half way is told anew.
"""

import io
import logging
import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from transferlab.errors import RunFailed, UserError
from transferlab.experiment.config import FORMAT
from transferlab.results.wandb.entries import Entry, Medium
from transferlab.runtime import files, locks, logs
from transferlab.store import mirrors
from transferlab.store.mirrors import Row

log = logging.getLogger(__name__)
NOTE = "transferlab.json"  # in the folder of a W&B run that was written here
FOLDER = re.compile(r"(offline-)?run-\d{8}_\d{6}-(.+)")
There = Mapping[str, Sequence[Path]]
MIRROR = files.Advice(
    full="make room, then run the command again", refused="choose another with --out DIR"
)
EVERY_S = 10.0  # between two lines of progress where there is no terminal


@dataclass(frozen=True)
class Target:
    """Where to: `folder` is called `wandb` or `.wandb`; `online`: and from there to the server."""

    folder: Path
    online: bool
    cache: str

    @property
    def mode(self) -> str:
        return "online" if self.online else "offline"


@dataclass(frozen=True)
class Told:
    """How many entries were told, how many had been before; `left_out`: which were not, and why."""

    new: int
    same: int
    left_out: tuple[str, ...]


def require_login() -> None:
    """Raises: UserError if nothing could be sent."""
    if not mirrors.logged_in():
        raise UserError(
            "nobody is logged in to Weights & Biases: give wandb login, or set WANDB_API_KEY; or "
            "leave --online out, and send the folder later"
        )


def tell(entries: Sequence[Entry], target: Target) -> Told:
    """Tell W&B of the entries that it does not have as they are.

    Raises: UserError if the folder cannot be written, RunFailed if W&B fails.
    """
    with _alone(target.folder):
        there = _there(target)
        new = [entry for entry in entries if not _told(entry, there)]
        left_out = _tell(new, there, target) if new else ()
    return Told(len(new) - len(left_out), len(entries) - len(new), left_out)


def _tell(new: Sequence[Entry], there: There, target: Target) -> tuple[str, ...]:
    """What was left out, and why."""
    mirrors.prepare(target.cache, mode=target.mode, rebuilt=True)
    import wandb

    left_out = []
    name = ""
    try:
        with _service():
            for entry in _shown(new):
                name = entry.page.name
                try:
                    rows = entry.rows()
                except UserError as error:
                    left_out.append(str(error))
                    continue
                for folder in there.get(entry.page.id, ()):
                    shutil.rmtree(folder)
                _write(entry, rows, target)
    except (wandb.Error, OSError) as error:
        raise RunFailed(f"Weights & Biases: {name}: {' '.join(str(error).split())}") from error
    return tuple(left_out)


@contextmanager
def _service() -> Iterator[None]:
    """W&B starts a process of its own with the first run; here it ends."""
    import wandb

    try:
        yield
    finally:
        wandb.teardown()


# --- one entry ----------------------------------------------------------------------------------


def _write(entry: Entry, rows: Sequence[Row], target: Target) -> None:
    opened = mirrors.WandB(
        entry.page,
        folder=target.folder,
        project=entry.project,
        cache=target.cache,
        mode=target.mode,
        rebuilt=True,
    )
    folder = Path(opened.run.settings.sync_dir)
    _note(folder, None)
    with _staging(folder):
        for row in rows:
            opened.log(row)
        if media := entry.media():
            opened.log({"step": 0} | {name: _shown_by_wandb(m) for name, m in media.items()})
        opened.run.summary.update(entry.summary)
        opened.close(0)
    _note(folder, entry.digest)


def _shown_by_wandb(medium: Medium) -> Any:
    import wandb
    from PIL import Image

    if isinstance(medium, list):
        return [
            wandb.Image(Image.open(io.BytesIO(picture.png)), caption=picture.experiment)
            for picture in medium
        ]
    plain = medium.astype(object).where(medium.notna(), None)
    lines: list[Any] = plain.to_numpy().tolist()
    return wandb.Table(columns=list(plain.columns), data=lines)


@contextmanager
def _staging(folder: Path) -> Iterator[None]:
    """What W&B has to keep of tables until they are sent lies beside the run, not in a cache."""
    before = os.environ["WANDB_DATA_DIR"]
    os.environ["WANDB_DATA_DIR"] = str(folder / "data")
    try:
        yield
    finally:
        os.environ["WANDB_DATA_DIR"] = before


# --- what was told already ----------------------------------------------------------------------


def _there(target: Target) -> There:
    """Id -> the folders of that run that were written here; what others wrote is left alone."""
    found: dict[str, list[Path]] = {}
    for path in target.folder.iterdir():
        match = FOLDER.fullmatch(path.name)
        if match and bool(match[1]) != target.online and (path / NOTE).exists():
            found.setdefault(match[2], []).append(path)
    return found


def _told(entry: Entry, there: There) -> bool:
    folders = there.get(entry.page.id, ())
    return len(folders) == 1 and files.peek(folders[0] / NOTE).get("digest") == entry.digest


def _note(folder: Path, digest: str | None) -> None:
    files.write_json(folder / NOTE, {"format": FORMAT, "digest": digest})


def _alone(folder: Path) -> AbstractContextManager[IO[bytes]]:
    """Make the folder, and keep every other sync out of it. Raises: UserError."""

    def refuse() -> None:
        raise UserError(f"another sync writes {folder}: wait until it is done")

    return locks.held(folder / "lock", refuse, advice=MIRROR)


# --- progress -----------------------------------------------------------------------------------


def _shown(entries: Sequence[Entry]) -> Iterator[Entry]:
    """The entries, with a bar on a terminal, elsewhere a line now and then."""
    if logs.on_terminal():
        yield from _with_bar(entries)
        return
    said = time.monotonic()
    for number, entry in enumerate(entries):
        if time.monotonic() - said > EVERY_S:
            said = time.monotonic()
            log.info("%d of %d written", number, len(entries))
        yield entry


def _with_bar(entries: Iterable[Entry]) -> Iterator[Entry]:
    from rich.console import Console
    from rich.progress import track

    yield from track(list(entries), "writing", console=Console(stderr=True), transient=True)
