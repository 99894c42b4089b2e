"""Mirrors of a run's curve in TensorBoard or Weights & Biases. Nothing is ever read back from them.

The curve itself is the store's `metrics.csv`, which is always written: `logger=csv` is no mirror.
"""

import netrc
import os
from pathlib import Path
from typing import Any, Protocol

from transferlab.config import RunConfig, flat, run_id

Row = dict[str, Any]


class Mirror(Protocol):
    def log(self, row: Row) -> None:
        """Add one row of the curve; `step` says where."""
        ...

    def close(self, exit_code: int) -> None:
        """Finish, well (0) or not."""
        ...


def mirror(config: RunConfig, folder: Path) -> Mirror | None:
    """The mirror that `logger=` asks for, below the run's folder."""
    if config.runtime.logger == "tensorboard":
        return _TensorBoard(folder)
    if config.runtime.logger == "wandb":
        return _WandB(config, folder)
    return None


class _TensorBoard:
    def __init__(self, folder: Path) -> None:
        from tensorboardX import SummaryWriter

        self.writer = SummaryWriter(logdir=str(folder / "tensorboard"))

    def log(self, row: Row) -> None:
        for name, value in row.items():
            if name != "step":
                self.writer.add_scalar(name, value, row["step"])

    def close(self, exit_code: int) -> None:
        self.writer.close()


class _WandB:
    def __init__(self, config: RunConfig, folder: Path) -> None:
        # Its caches go beside ours: no folder appears where the user stands
        for name in ("CACHE", "CONFIG", "DATA", "ARTIFACT"):
            place = Path(config.runtime.cache).expanduser() / "wandb" / name.lower()
            os.environ.setdefault(f"WANDB_{name}_DIR", str(place))
        import wandb

        identity = run_id(config)
        self.run = wandb.init(
            dir=str(folder),
            project=config.runtime.wandb_project,
            id=identity,
            name=config.label,
            group=config.split_label,
            job_type=config.transfer.variant,
            config=flat(config),
            mode=None if os.environ.get("WANDB_MODE") or _logged_in() else "offline",
            resume="allow",
            settings=wandb.Settings(console="off", silent=True),
        )

    def log(self, row: Row) -> None:
        self.run.log({k: v for k, v in row.items() if k != "step"}, step=row["step"])

    def close(self, exit_code: int) -> None:
        self.run.finish(exit_code=exit_code)


def _logged_in() -> bool:
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        hosts = netrc.netrc(os.environ.get("NETRC")).hosts
    except (OSError, netrc.NetrcParseError):
        return False
    return "api.wandb.ai" in hosts
