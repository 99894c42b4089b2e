"""The inputs of a run: its target's images, its half of the classes, whose mean, what varies."""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from transferlab import data
from transferlab.data import mean
from transferlab.data.datasets.images import ImageSet
from transferlab.data.half import Half, cut
from transferlab.data.mean import Mean
from transferlab.data.sampling import Augmentation
from transferlab.data.transforms import InputTransform
from transferlab.experiment import views
from transferlab.experiment.config import DataConfig, RunConfig, cache_folder
from transferlab.experiment.reuse import changed
from transferlab.experiment.run import Run
from transferlab.runtime.progress import Bar, Display, Rate
from transferlab.training import seeds

log = logging.getLogger(__name__)
T = TypeVar("T")
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
        decode=settings.decode,
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
        grey=config.grey,
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
    if letter == NO_MEAN:
        return Mean(None, {})
    if letter == COLOUR:
        return Mean(np.array(views.inputs(run.config).mean, dtype=np.float32), {})
    source, name = half(run, images, letter), f"mean image of half {letter}"
    found = _computed(mean.mean_image, run, source, images.digest, name, workers=workers)
    return as_seen(found, run.config)


def as_seen(mean: Mean, config: RunConfig) -> Mean:
    """The mean as a run subtracts it: as one colour where its images have different sizes."""
    if mean.image is None or mean.image.ndim == 1 or views.inputs(config).one_size:
        return mean
    colour = mean.image.mean(axis=(0, 1), dtype=np.float64).astype(np.float32)
    return Mean(colour, mean.skipped)


def colour_components(run: Run, target: Half, *, workers: int) -> np.ndarray | None:
    """Those of the target's training images, cached; None where colours do not vary."""
    images = views.inputs(run.config)
    if not images.pca:
        return None
    assert images.digest is not None, f"{run.label} {run.id} has not been resolved"
    name = f"colours of half {run.config.variant.target}"
    return _computed(
        mean.colour_components, run, target, images.digest, name, workers=workers, colours=True
    )


def augmentation(config: RunConfig) -> Augmentation:
    """How the training images of the run vary."""
    seen = views.inputs(config)
    return Augmentation(config.train.mirror, seen.pad, seen.scales, seen.pca, seen.one_size)


def transform(
    config: RunConfig, means: Mapping[str, Mean], components: np.ndarray | None
) -> InputTransform:
    """What makes the inputs of the networks that subtract these means of bytes."""
    seen = views.inputs(config)
    return InputTransform(
        {letter: mean.image for letter, mean in means.items()},
        scale=seen.scale,
        mirror=config.train.mirror,
        channels_last=config.train.channels_last,
        padding=(seen.size, seen.pad) if seen.pad else None,
        components=components,
    )


def _computed(
    compute: Callable[..., T],
    run: Run,
    source: Half,
    digest: str,
    name: str,
    *,
    workers: int,
    **what: object,
) -> T:
    """A statistic of the training images of a half of the data set with this digest, from the
    cache if it has it, with progress."""
    seen = views.inputs(run.config)
    grey: dict[str, object] = {"grey": True} if seen.grey else {}
    scaled = {"decode": seen.decode} if seen.decode != "exact" else {}
    key = mean.key(
        digest,
        source.classes,
        size=seen.size,
        resize=seen.resize,
        per_class=seen.per_class,
        **grey,
        **scaled,
        **what,
    )
    total, rate = len(source.train), Rate()
    with Display(log) as display:

        def show(done: int) -> None:
            rate.update(done)
            bar = Bar(name, done, total, "images", left_s=rate.left_s(total - done))
            display.show(lambda: [bar])

        return compute(
            source.train,
            cache=cache_folder(run.config),
            name=key,
            workers=workers,
            changed=partial(changed, seen),
            on_progress=show,
        )
