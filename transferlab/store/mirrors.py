"""Mirrors of a run in TensorBoard or Weights & Biases. Nothing is ever read back from them.

The curve itself is the store's `metrics.csv`, which is always written: `logger=csv` is no mirror.
Weights & Biases receives the same data of a run during training and from `sync` afterwards: one id,
one name, the same keys.
"""

import contextlib
import netrc
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from transferlab.experiment.config import cache_folder
from transferlab.experiment.keys import PATHS, recorded
from transferlab.experiment.run import Run
from transferlab.runtime import environment, files, folders

Row = dict[str, Any]


class Mirror(Protocol):
    def log(self, row: Row) -> None:
        """Add one row of the curve at its `step`."""
        ...

    def close(self, exit_code: int) -> None:
        """Finish; exit code 0 means success."""
        ...


def mirror(run: Run) -> Mirror | None:
    """The mirror that `runtime.logger` asks for, below the run's folder."""
    runtime = run.config.runtime
    if runtime.logger == "tensorboard":
        return _TensorBoard(run.folder)
    if runtime.logger == "wandb":
        return WandB(
            page(run),
            folder=run.folder / "wandb",
            project=runtime.wandb_project,
            cache=cache_folder(run.config),
            mode=None if environment.value("WANDB_MODE") or logged_in() else "offline",
        )
    return None


class _TensorBoard:
    def __init__(self, folder: Path) -> None:
        from tensorboardX import SummaryWriter

        folder, token = folder / "tensorboard", secrets.token_hex(8)
        files.make_folder(folder)
        with files.explained(folder):  # a name of only time and host could be planted as a link
            self.writer = SummaryWriter(logdir=str(folder), filename_suffix=f".{token}")
            folders.share_tree(folder)

    def log(self, row: Row) -> None:
        for name, value in row.items():
            if name != "step":
                self.writer.add_scalar(name, value, row["step"])

    def close(self, exit_code: int) -> None:
        self.writer.close()


@dataclass(frozen=True)
class Page:
    """A run of Weights & Biases at its start. `tags` of 1 to 64 letters each."""

    id: str
    name: str
    group: str
    job_type: str
    tags: tuple[str, ...]
    config: dict[str, Any]


def page(run: Run, *, study: str | None = None, tags: tuple[str, ...] = ()) -> Page:
    """The page of a run; its studies are unknown while it is trained. It names no folder of the
    machine: of paths the last part is left."""
    config = run.config
    return Page(
        id=run.id,
        name=run.label,
        group=config.split_label if study is None else f"{study}/{config.split_label}",
        job_type=config.transfer.variant,
        tags=tags,
        config=_shared(recorded(config)),
    )


def _shared(flat: dict[str, Any]) -> dict[str, Any]:
    """The values of a config without the folders above those that they name."""
    paths = {key: Path(flat[key]).name for key in PATHS if flat[key] is not None}
    local = ("runtime.store", "runtime.cache")
    return {key: paths.get(key, value) for key, value in flat.items() if key not in local}


class WandB:
    """An open run of Weights & Biases, with its own folder in `folder` and its caches in `cache`.

    `folder` is called `wandb` or `.wandb`. With `mode` None W&B decides itself. Host, user, command
    line and commit are not sent. `rebuilt`: the finished run is written as a whole: it replaces any
    with its id, and contains no load of this machine either.
    """

    def __init__(
        self,
        page: Page,
        *,
        folder: Path,
        project: str,
        cache: Path,
        mode: str | None,
        rebuilt: bool = False,
    ) -> None:
        prepare(cache, mode=mode, rebuilt=rebuilt)
        files.make_folder(folder)  # W&B itself would follow a link; in it, it takes no name twice
        import wandb

        quiet = wandb.Settings(
            console="off", silent=True, use_dot_wandb=folder.name.startswith("."),
            symlink=not rebuilt, x_save_requirements=not rebuilt, x_disable_stats=rebuilt,
            x_disable_meta=True, x_disable_machine_info=True, disable_git=True, host="",
        )  # fmt: skip
        self.run = wandb.init(
            dir=str(folder.parent),
            project=project,
            id=page.id,
            name=page.name,
            group=page.group,
            job_type=page.job_type,
            tags=page.tags or None,
            config=page.config,
            mode=mode,  # type: ignore[arg-type]
            resume=None if rebuilt else "allow",
            settings=quiet,
        )

    def log(self, row: Row) -> None:
        self.run.log({k: v for k, v in row.items() if k != "step"}, step=row["step"])

    def close(self, exit_code: int) -> None:
        self.run.finish(exit_code=exit_code)
        with contextlib.suppress(OSError):
            folders.share_tree(Path(self.run.settings.sync_dir))


def logged_in() -> bool:
    """Whether W&B has a key for its server, in the environment or in `~/.netrc`."""
    if environment.value("WANDB_API_KEY"):
        return True
    try:
        hosts = netrc.netrc(environment.value("NETRC")).hosts
    except (OSError, netrc.NetrcParseError):
        return False
    server = environment.value("WANDB_BASE_URL") or "https://api.wandb.ai"
    return urlsplit(server).hostname in hosts


def prepare(cache: Path, *, mode: str | None, rebuilt: bool) -> None:
    """Set W&B's variables in the environment, in place, before it is imported.

    Its caches go beside ours, so that it makes no folder in the working directory. It prints
    nothing and, offline, sends nothing.
    """
    os.environ.setdefault("WANDB_SILENT", "true")
    if mode == "offline":
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    if rebuilt:
        os.environ.pop("WANDB_RESUME", None)  # rows up to the last step of a mirror would be lost
    for name in ("CACHE", "CONFIG", "DATA", "ARTIFACT"):
        os.environ.setdefault(f"WANDB_{name}_DIR", str(cache / "wandb" / name.lower()))
