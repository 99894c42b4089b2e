"""The inputs of a run: its target's data set, its half of the classes, and whose mean image."""

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from transferlab import data
from transferlab.data import mean
from transferlab.data.datasets.images import ImageSet
from transferlab.data.half import Half, cut
from transferlab.data.mean import Mean
from transferlab.experiment import views
from transferlab.experiment.config import DataConfig, RunConfig, cache_folder
from transferlab.experiment.reuse import changed
from transferlab.experiment.run import Run
from transferlab.runtime.progress import Bar, Display, Rate
from transferlab.training import seeds

log = logging.getLogger(__name__)
NO_MEAN, COLOUR = "none", "colour"  # in place of the letter of a half


def load_images(config: RunConfig) -> ImageSet:
    """The data set of the run's target, all classes, as the run sees it."""
    return load_seen(views.inputs(config), cache_folder(config))


def load_seen(settings: DataConfig, cache: Path) -> ImageSet:
    """The data set of a config, all classes, as that config sees it."""
    return data.load(
        settings.name,
        root=settings.root,
        val=settings.val,
        holdout=settings.holdout,
        size=settings.size,
        resize=settings.resize,
        cache=cache,
    )


def half(run: Run, images: ImageSet, letter: str) -> Half:
    """Half A or B of the data set of the run's target, or all of it if that is the letter's."""
    return cut_seen(views.inputs(run.config), images, run.half(letter))


def cut_seen(config: DataConfig, images: ImageSet, classes: Sequence[str]) -> Half:
    """The images of these classes, `classes[k]` as label k, as the config leaves images out."""
    return cut(
        images,
        classes,
        per_class=config.per_class,
        skip_unreadable=config.unreadable == "skip",
    )


def split_digest(run: Run) -> str:
    """What the halves are called in the seeds of a run."""
    digest = run.config.split.digest
    assert digest is not None, f"{run.label} {run.id} has not been resolved"
    return digest


def image_seed(run: Run) -> int:
    """The seed of the order of the target's images, their crops and mirroring."""
    return seeds.image_seed(run.config.seed, split_digest(run), run.config.variant.target)


def mean_letter(config: RunConfig) -> str:
    """Whose mean image the run subtracts: by default the base half's, as the authors did.

    `NO_MEAN` for none, and `COLOUR` for a colour of the config.
    """
    seen = views.inputs(config).mean
    if seen == "none":
        return NO_MEAN
    return COLOUR if isinstance(seen, tuple) else views.letter(config)


def mean_image(run: Run, images: ImageSet, letter: str, *, workers: int) -> Mean:
    """The mean over the training images of a half of `images`, cached; that of the config for
    `COLOUR`."""
    config, settings = run.config, views.inputs(run.config)
    if letter == NO_MEAN:
        return Mean(None, {})
    if letter == COLOUR:
        return Mean(np.array(settings.mean, dtype=np.float32), {})
    source = half(run, images, letter)
    key = mean.key(
        images.digest,
        source.classes,
        size=settings.size,
        resize=settings.resize,
        per_class=settings.per_class,
    )
    name, total, rate = f"mean image of half {letter}", len(source.train), Rate()
    with Display(log) as display:

        def show(done: int) -> None:
            rate.update(done)
            bar = Bar(name, done, total, "images", left_s=rate.left_s(total - done))
            display.show(lambda: [bar])

        return mean.mean_image(
            source.train,
            cache=cache_folder(config),
            name=key,
            workers=workers,
            changed=partial(changed, settings),
            on_progress=show,
        )
