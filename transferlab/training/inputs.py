"""The inputs of a run: the data set, its half of the classes, and whose mean image."""

import logging
from functools import partial

import numpy as np

from transferlab import data
from transferlab.data import mean
from transferlab.data.datasets.images import ImageSet
from transferlab.data.half import Half, cut
from transferlab.data.mean import Mean
from transferlab.experiment import variants
from transferlab.experiment.config import RunConfig, cache_folder
from transferlab.experiment.reuse import changed
from transferlab.experiment.run import Run
from transferlab.runtime.progress import Bar, Display, Rate
from transferlab.training import seeds

log = logging.getLogger(__name__)
NO_MEAN, COLOUR = "none", "colour"  # in place of the letter of a half


def load_images(config: RunConfig) -> ImageSet:
    """The data set, all classes."""
    settings = config.data
    return data.load(
        settings.name,
        root=settings.root,
        val=settings.val,
        holdout=settings.holdout,
        size=settings.size,
        resize=settings.resize,
        cache=cache_folder(config),
    )


def half(run: Run, images: ImageSet, letter: str) -> Half:
    """Half A or B of the data set."""
    config = run.config.data
    return cut(
        images,
        run.half(letter),
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

    `NO_MEAN` for none, and `COLOUR` for the colour `data.mean`.
    """
    if config.data.mean == "none":
        return NO_MEAN
    if isinstance(config.data.mean, tuple):
        return COLOUR
    base, target = config.variant.base, config.variant.target
    return base if config.data.mean == "base" and base in variants.HALVES else target  # type: ignore[return-value]


def mean_image(run: Run, images: ImageSet, letter: str, *, workers: int) -> Mean:
    """The mean over a half's training images, cached; that of the config for `COLOUR`."""
    if letter == NO_MEAN:
        return Mean(None, {})
    if letter == COLOUR:
        return Mean(np.array(run.config.data.mean, dtype=np.float32), {})
    config, source = run.config, half(run, images, letter)
    key = mean.key(
        images.digest,
        source.classes,
        size=config.data.size,
        resize=config.data.resize,
        per_class=config.data.per_class,
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
            changed=partial(changed, config.data),
            on_progress=show,
        )
