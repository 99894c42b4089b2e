"""Whether a finished or begun run was trained on the images that there are now.

Its id covers the data set, but which files could not be read is known only once they were read: a
run records them by name and digest. If one was repaired since, other images would be read now.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from transferlab import data
from transferlab.errors import UserError
from transferlab.experiment import views
from transferlab.experiment.config import DataConfig
from transferlab.experiment.run import Run
from transferlab.runtime import commands


def changed(config: DataConfig, skipped: Mapping[str, str]) -> tuple[str, ...]:
    """Of files that could not be read, name -> sha256, those that have changed since."""
    return data.changed(
        config.name, root=config.root, val=config.val, holdout=config.holdout, skipped=skipped
    )


def require_same_images(run: Run, skipped: Mapping[str, str], file: Path) -> None:
    """Raises: UserError unless the config allows to leave these files out and none has changed.

    `file` is what is to be deleted to train the run again.
    """
    if not skipped:
        return
    remedy = f"delete {file} to train it again"
    images = views.data_of(run.config, run.config.variant.target)
    repaired = changed(images, skipped)
    if repaired:
        raise UserError(
            f"{_listed(repaired)} could not be read when {run.label} was trained, and changed "
            f"since: {remedy}"
        )
    if images.unreadable != "skip":
        group = views.section(run.config, run.config.variant.target)
        raise UserError(
            f"{group}.unreadable={images.unreadable}, but {run.label} was trained without "
            f"{_listed(tuple(skipped))}, which could not be read: use it with "
            f"{commands.setting(f'{group}.unreadable', 'skip')}, or repair the files and {remedy}"
        )


def _listed(names: Sequence[str]) -> str:
    return names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")
