"""The protocol of Chatfield et al. 2014: linear SVMs on the features of a finished run.

The network does not learn. Its features of the training images train the SVMs, those of the
validation images (VOC's test set) are asked. C is chosen on the part of the training images that
the data set's authors set apart for it, VOC's val, else on a fixed part; the SVMs then learn all.
Source: Chatfield et al. 2014 (arXiv:1405.3531), Sec. 3.
"""

import logging
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from transferlab.data.datasets.images import ImageSet, hold_out
from transferlab.data.half import Half, View
from transferlab.evaluation import features, posteriors, reading, svm
from transferlab.evaluation.features import Samples
from transferlab.evaluation.pooling import CENTRE
from transferlab.evaluation.protocols import Answer, Evaluation
from transferlab.evaluation.reading import Sight
from transferlab.evaluation.scorer import Scorer
from transferlab.experiment import average_precision
from transferlab.experiment.config import cache_folder
from transferlab.runtime import devices
from transferlab.runtime.progress import Bar, Display, Rate
from transferlab.training import inputs
from transferlab.training.classifier import Classifier, load_run

log = logging.getLogger(__name__)
APART = 0.3  # of the training images of each class, on which C is chosen where no list says which


def answer(evaluation: Evaluation) -> Answer:
    """Both mean average precisions for several labels an image, top-1 for one.

    Raises: UserError for a stage that the network does not have, or an unreadable image.
    """
    run = evaluation.runs[0]
    classifier = load_run(run.path)
    device = posteriors.device_of(evaluation.machine.accelerator)
    half, apart = _images(evaluation, classifier)
    extract = _Extractor(evaluation, classifier, device)
    code = evaluation.settings["pooling"] or CENTRE * 2
    fit = extract.samples(_part(half.train, ~apart), code[0], "training images")
    choice = extract.samples(_part(half.train, apart), code[0], "images to choose C on")
    ask = choice
    if code[0] != code[1]:
        ask = extract.samples(_part(half.train, apart), code[1], "images to choose C on, pooled")
    test = extract.samples(half.val, code[1], "validation images")
    count = len(half.classes)
    constant, results = svm.chosen(fit, ask, count)
    classifiers = svm.trained(Samples.together([fit, choice]), count, constant)
    scores = classifiers.scores(test.features)
    metrics = svm.metrics(scores, test.labels)
    details = {
        "stage": extract.stage,
        "features": int(test.features.shape[1]),
        "train_images": fit.images + choice.images,
        "choice_images": choice.images,
        "C": constant,
        "choice": results,
        "converged": classifiers.converged,
        "untrained_classes": [half.classes[k] for k in classifiers.untrained],
    }
    if test.labels.ndim == 2:
        details["undefined_classes"] = list(average_precision.undefined(test.labels, half.classes))
        details["average_precision"] = svm.precisions(scores, test.labels, half.classes)
    return Answer(
        metrics=dict(metrics),
        members=[dict(metrics)],
        images=test.images,
        skipped=Samples.together([fit, choice]).skipped | test.skipped,
        device=devices.name(device),
        details=details,
    )


def _images(evaluation: Evaluation, classifier: Classifier) -> tuple[Half, np.ndarray]:
    """The images, and which of those for training C is chosen on, (N,) bool.

    Of the run's own data set its classes, of another one all.
    """
    run = evaluation.runs[0]
    stored = posteriors.as_stored(run, evaluation.data)
    stored = replace(stored, grey=stored.grey or evaluation.settings["grey"])
    images = inputs.load_seen(stored, cache_folder(run.config))
    own = evaluation.data.digest == run.images.digest
    half = posteriors.cut_stored(stored, images, classifier.classes if own else images.classes)
    return half, _apart(images, half.train)


def _apart(images: ImageSet, train: View) -> np.ndarray:
    if images.development is not None:
        return np.asarray(images.development[train.positions])
    strata = train.labels if train.labels.ndim == 1 else np.zeros(len(train), np.int64)
    return hold_out(strata, APART, train.positions)


def _part(view: View, mask: np.ndarray) -> View:
    return replace(view, positions=view.positions[mask], labels=view.labels[mask])


class _Extractor:
    """Features of one stage, of any images."""

    def __init__(
        self, evaluation: Evaluation, classifier: Classifier, device: torch.device
    ) -> None:
        run, settings = evaluation.runs[0], evaluation.settings
        self.settings, self.machine = settings, evaluation.machine
        self.batch_size = self.machine.batch_size or run.config.train.val_batch_size
        network = classifier.network
        depth = features.depth_of(network, settings["stage"], run=f"{run.label} {run.id}")
        self.stage = network.stage_names[depth - 1]
        self.sight = Sight(0, (settings["scales"] or [posteriors.own_scale(run.images)])[0])
        self.scorer = Scorer(
            classifier,
            [self.sight],
            {**settings, "dense": False},
            device,
        )
        self.prefix = network.prefix(depth)

    def samples(self, view: View, code: str, name: str) -> Samples:
        """The samples of the images of a view, whose views are pooled by a letter."""
        batches = reading.batches(
            [view], [self.sight], batch_size=self.batch_size, workers=self.machine.workers
        )
        with Display(log) as display:
            return features.samples(
                batches,
                self.sight,
                self.scorer,
                self.prefix,
                pooling=code,
                l2=self.settings["l2"],
                update=_progress(display, name, len(view)),
            )


def _progress(display: Display, name: str, total: int) -> Callable[[int], None]:
    rate = Rate()

    def show(done: int) -> None:
        rate.update(done)
        bar = Bar(f"features of {name}", done, total, "images", left_s=rate.left_s(total - done))
        display.show(lambda: [bar])

    return show
