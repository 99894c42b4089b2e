"""The protocol `posteriors`: averages over crops, test scales and runs, and every run's own error.

Softmax posteriors are averaged, those of all crops of an image first (Krizhevsky et al. 2012, Sec.
4.1; Simonyan, Zisserman 2014, arXiv:1409.1556, Sec. 3.2), then those of the runs with equal weights
(Sec. 4.5). With one run and its centre crop this is the run's own validation, by other code.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace

import torch

from transferlab.data.half import View
from transferlab.errors import UserError
from transferlab.evaluation import reading
from transferlab.evaluation.protocols import Answer, Evaluation
from transferlab.evaluation.reading import Seen, Sight
from transferlab.evaluation.runs import FinishedFolder
from transferlab.evaluation.scorer import Scorer
from transferlab.evaluation.tally import Tally
from transferlab.experiment import views
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
    _check_classes(runs, classifiers)
    seen, scorers = _prepared(evaluation, classifiers, device)
    batches = reading.batches(
        seen,
        sorted({look for scorer in scorers for look in scorer.looks}, key=str),
        batch_size=machine.batch_size or runs[0].config.train.val_batch_size,
        workers=machine.workers,
    )
    together, members, skipped = _counted(scorers, batches, total=len(seen[0]))
    return Answer(
        metrics=together.metrics(),
        members=[member.metrics() for member in members],
        images=together.images,
        skipped=skipped,
        device=devices.name(device),
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


def _check_classes(runs: Sequence[FinishedFolder], classifiers: Sequence[Classifier]) -> None:
    """Raises: UserError unless all networks have the classes and outputs of the first."""
    first = classifiers[0]
    for run, other in zip(runs, classifiers, strict=True):
        if other.classes != first.classes or other.num_outputs != first.num_outputs:
            odd = [name for name in other.classes if name not in first.classes] or other.classes
            raise UserError(
                f"{run.label} {run.id} has {len(other.classes)} classes and {other.num_outputs} "
                f"outputs, {runs[0].label} {runs[0].id} {len(first.classes)} and "
                f"{first.num_outputs}: posteriors are averaged of the same classes, and it has "
                f"{', '.join(odd[:SHOWN])}"
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
        stored = _stored(run, evaluation.data)
        if stored not in numbers:
            numbers[stored] = len(seen)
            seen.append(_view(run, stored, classifier.classes, settings["subset"]))
        scales = settings["scales"] or ([stored.size] if settings["dense"] else [None])
        looks = [Sight(numbers[stored], scale) for scale in scales]
        scorers.append(Scorer(classifier, looks, settings, device))
    return seen, scorers


def _stored(run: FinishedFolder, source: DataConfig) -> DataConfig:
    """The images of `source` as the run stores them: equal for runs that do it alike."""
    read = {key: getattr(source, key) for key in views.SOURCE}
    seen = run.images
    return replace(seen, **read, crop=seen.size, mean="none", scale=1.0)


def _view(run: FinishedFolder, stored: DataConfig, classes: Sequence[str], subset: str) -> View:
    """The training or validation images of these classes, in the labels of the network."""
    images = inputs.load_seen(stored, cache_folder(run.config))
    missing = [name for name in classes if name not in images.classes]
    if missing:
        raise UserError(
            f"{stored.name} lacks {len(missing)} of the {len(classes)} classes of {run.label} "
            f"{run.id}, {', '.join(missing[:SHOWN])} among them: name a data set that has them"
        )
    half = inputs.cut_seen(stored, images, classes)
    return half.train if subset == "train" else half.val


def _counted(
    scorers: Sequence[Scorer], batches: Iterable[Seen], *, total: int
) -> tuple[Tally, list[Tally], dict[str, str]]:
    """Of all images: what the average finds, what each network finds, and the unreadable files."""
    together, members, skipped = Tally(), [Tally() for _ in scorers], dict[str, str]()
    done, rate = 0, Rate()
    with Display(log) as display:
        for batch in batches:
            skipped |= batch.skipped
            if len(batch.labels):
                scores = [scorer(batch.images) for scorer in scorers]
                for member, values in zip(members, scores, strict=True):
                    member.add(values, batch.labels)
                together.add(torch.stack(scores).mean(dim=0), batch.labels)
            done += len(batch.labels) + len(batch.skipped)
            rate.update(done)
            bar = Bar("evaluation", done, total, "images", left_s=rate.left_s(total - done))
            display.show(lambda bar=bar: [bar])  # type: ignore[misc]
    if not together.images:
        raise UserError(f"none of the {total} images can be read: is data.root the right one?")
    return together, members, skipped
