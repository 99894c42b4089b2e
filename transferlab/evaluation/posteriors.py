"""The protocol `posteriors`: averages over crops, test scales and runs, and every run's own error.

Posteriors are averaged, those of all crops of an image first (Krizhevsky et al. 2012, Sec. 4.1;
Simonyan, Zisserman 2014, arXiv:1409.1556, Sec. 3.2), then those of the runs with equal weights
(Sec. 4.4). With one run and its centre crop this is the run's own validation, by other code.
"""

import logging
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

import numpy as np
import torch

from transferlab.data.datasets.images import ImageSet
from transferlab.data.half import Half, View
from transferlab.errors import UserError
from transferlab.evaluation import reading
from transferlab.evaluation.protocols import Answer, Evaluation
from transferlab.evaluation.reading import Seen, Sight
from transferlab.evaluation.runs import FinishedFolder
from transferlab.evaluation.scorer import Scorer
from transferlab.evaluation.tally import MeanPrecisions, Tally, TopAccuracies
from transferlab.experiment import average_precision, views
from transferlab.experiment.config import DataConfig, cache_folder
from transferlab.runtime import devices
from transferlab.runtime.progress import Bar, Display, Rate
from transferlab.training import inputs
from transferlab.training.callbacks.arithmetic import Arithmetic
from transferlab.training.classifier import Classifier, load_run

log = logging.getLogger(__name__)
SHOWN = 3  # classes in a message


def answer(evaluation: Evaluation) -> Answer:
    """The metrics of the averaged posteriors, and those of each run: see `Tally`.

    Raises: UserError if runs have other classes than the first, the data set lacks one of these,
        an image cannot be read, or a network has no dense form.
    """
    machine, runs = evaluation.machine, evaluation.runs
    device = device_of(machine.accelerator)
    classifiers = [load_run(run.path) for run in runs]
    _check_alike(runs, classifiers)
    seen, scorers = _prepared(evaluation, classifiers, device)
    batches = reading.batches(
        seen,
        sorted({look for scorer in scorers for look in scorer.looks}, key=str),
        batch_size=machine.batch_size or runs[0].config.train.val_batch_size,
        workers=machine.workers,
    )
    losses, labels = {run.config.train.loss for run in runs}, seen[0].labels
    tallies = [_tally(labels, losses) for _ in range(1 + len(runs))]
    skipped = _count(tallies, scorers, batches, total=len(seen[0]))
    together, *members = tallies
    return Answer(
        metrics=together.metrics(),
        members=[member.metrics() for member in members],
        images=together.images,
        skipped=skipped,
        device=devices.name(device),
        details=_details(labels, classifiers[0].classes),
    )


def device_of(accelerator: str) -> torch.device:
    """The device that computes, and its arithmetic as in a training; float32 is float32.

    Raises: UserError if this machine does not have it.
    """
    device = devices.best(accelerator)
    kinds = {"auto": device.type, "gpu": device.type.replace("cpu", "no gpu")}
    if device.type != kinds.get(accelerator, accelerator):
        raise UserError(
            f"--device {accelerator} is not available on this machine, which has "
            f"{devices.present()}"
        )
    if device.type == "cuda":
        Arithmetic(compile=False).apply()
    return device


def _check_alike(runs: Sequence[FinishedFolder], classifiers: Sequence[Classifier]) -> None:
    """Raises: UserError unless all networks have the classes, outputs and loss of the first."""
    first, loss = classifiers[0], runs[0].config.train.loss
    for run, other in zip(runs, classifiers, strict=True):
        if other.classes != first.classes or other.num_outputs != first.num_outputs:
            odd = [name for name in other.classes if name not in first.classes] or other.classes
            raise UserError(
                f"{run.label} {run.id} has {len(other.classes)} classes and {other.num_outputs} "
                f"outputs, {runs[0].label} {runs[0].id} {len(first.classes)} and "
                f"{first.num_outputs}: posteriors are averaged of the same classes, and it has "
                f"{', '.join(odd[:SHOWN])}"
            )
        if run.config.train.loss != loss:
            raise UserError(
                f"{run.label} {run.id} was trained with train.loss={run.config.train.loss}, "
                f"{runs[0].label} {runs[0].id} with {loss}: their scores are of different kinds, "
                "and no average of them is"
            )


def _prepared(
    evaluation: Evaluation, classifiers: Sequence[Classifier], device: torch.device
) -> tuple[list[View], list[Scorer]]:
    """The images, once for all runs that store them alike, and the networks on the device."""
    settings = evaluation.settings
    numbers: dict[DataConfig, int] = {}
    seen: list[View] = []
    scorers = []
    for run, classifier in zip(evaluation.runs, classifiers, strict=True):
        stored = as_stored(run, evaluation.data)
        if stored not in numbers:
            numbers[stored] = len(seen)
            seen.append(_view(run, stored, classifier.classes, settings["subset"]))
        own = stored.size if settings["dense"] else own_scale(stored)
        scales = settings["scales"] or [own]
        looks = [Sight(numbers[stored], scale) for scale in scales]
        scorers.append(Scorer(classifier, looks, settings, device))
    return seen, scorers


def as_stored(run: FinishedFolder, source: DataConfig) -> DataConfig:
    """The images of `source` as the run stores them: equal for runs that do it alike."""
    read = {key: getattr(source, key) for key in views.SOURCE}
    seen = replace(run.images, **read)
    return replace(seen, crop=seen.size, scales=None, pad=0, pca=0.0, mean="none", scale=1.0)


def own_scale(stored: DataConfig) -> int | None:
    """The test scale of images as a run sees them, if these are rectangles; None for squares."""
    return stored.size if stored.resize == "side" else None


def _view(run: FinishedFolder, stored: DataConfig, classes: Sequence[str], subset: str) -> View:
    """The training or validation images of these classes, in the labels of the network."""
    images = inputs.load_seen(stored, cache_folder(run.config))
    missing = [name for name in classes if name not in images.classes]
    if missing:
        raise UserError(
            f"{stored.name} lacks {len(missing)} of the {len(classes)} classes of {run.label} "
            f"{run.id}, {', '.join(missing[:SHOWN])} among them: name a data set that has them"
        )
    half = cut_stored(stored, images, classes)
    return half.train if subset == "train" else half.val


def cut_stored(stored: DataConfig, images: ImageSet, classes: Sequence[str]) -> Half:
    """The images of these classes. Raises: UserError for `data.per_class` of several labels."""
    half = inputs.cut_seen(stored, images, classes)
    if stored.per_class is not None and half.train.labels.ndim == 2:
        raise UserError(
            f"data.per_class={stored.per_class} counts images of one class, and those of "
            f"{stored.name} show several: omit it"
        )
    return half


def _tally(labels: np.ndarray, losses: Collection[str]) -> Tally:
    """What counts the scores of networks that were trained by these losses."""
    if labels.ndim == 2:
        return MeanPrecisions()
    return TopAccuracies(probabilities={*losses} == {"cross_entropy"})


def _details(labels: np.ndarray, classes: Sequence[str]) -> dict[str, object]:
    """Of several labels an image, the classes that have no average precision."""
    return {"undefined": average_precision.undefined(labels, classes)} if labels.ndim == 2 else {}


def _count(
    tallies: Sequence[Tally], scorers: Sequence[Scorer], batches: Iterable[Seen], *, total: int
) -> dict[str, str]:
    """Count all images, in place: the first tally is of the average, the others of each network.

    Returns the files that could not be read.
    """
    skipped: dict[str, str] = {}
    done, rate = 0, Rate()
    with Display(log) as display:
        for batch in batches:
            skipped |= batch.skipped
            if len(batch.labels):
                scores = [scorer(batch.images) for scorer in scorers]
                scores = [torch.stack(scores).mean(dim=0), *scores]
                for tally, values in zip(tallies, scores, strict=True):
                    tally.add(values, batch.labels)
            done += len(batch.labels) + len(batch.skipped)
            rate.update(done)
            bar = Bar("evaluation", done, total, "images", left_s=rate.left_s(total - done))
            display.show(lambda bar=bar: [bar])  # type: ignore[misc]
    if not tallies[0].images:
        raise UserError(f"none of the {total} images can be read: is data.root the right one?")
    return skipped
