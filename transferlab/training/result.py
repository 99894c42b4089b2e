"""The record of a finished run: its metrics, its digests, and its provenance.

Accuracies are fractions, and so are mean average precisions, which a run with several labels an
image has instead: see `experiment.metrics`. `top1_best10`, the mean of the ten best validations, is
what the authors plot, and null for a curve too short for it; `top1_final` is not selected on the
validation set.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from transferlab.experiment import average_precision, chance, metrics, validations
from transferlab.experiment.build import config_dict
from transferlab.experiment.run import Run
from transferlab.runtime.provenance import provenance
from transferlab.training.checkpoints import TrainingState


def make_record(
    run: Run,
    state: TrainingState,
    *,
    prefix_unchanged: bool | None,
    weights_sha256: str,
    inference_sha256: str,
    train_images: int,
    val_labels: np.ndarray,
    data_classes: int,
    data_images: int,
    pack_size: int,
    device: str,
    cost: Mapping[str, Any],
) -> dict[str, Any]:
    """Everything `result.json` holds besides id and label.

    `val_labels` are those of the validation images, (N,) or (N, K). Of the latter
    `undefined_classes` are those without a positive image, which enter no mean.
    `data_classes` and `data_images` are those of the data set, not of the half: all classes and all
    training images. `pack_size` is the number of runs that were trained together when this one
    ended, and the time is that of all of them. A record without it belongs to a run that was
    trained alone. `cost` is that of the run by itself: see `training.cost`.
    """
    images = state.step * run.config.train.batch_size
    guess, val_images = chance.of_labels(val_labels), len(val_labels)
    reached = metrics_of(state.curve) | guess
    leading = metrics.in_curve(state.curve[-1])[0].final
    undefined = average_precision.undefined(val_labels, run.classes) if val_labels.ndim == 2 else ()
    return {
        "config": config_dict(run.config),
        "metrics": reached,
        "learned": chance.above(reached[leading], leading, guess, images=val_images),
        "prefix_unchanged": prefix_unchanged,
        "base_id": run.base_id,
        "weights_sha256": weights_sha256,
        "inference_sha256": inference_sha256,
        "num_classes": len(run.classes),
        **({"undefined_classes": list(undefined)} if undefined else {}),
        "train_images": train_images,
        "val_images": val_images,
        "data_classes": data_classes,
        "data_images": data_images,
        "skipped": state.skipped,
        "steps": state.step,
        "images": images,
        "time_s": round(state.time_s, 3),
        "pack_size": pack_size,
        "images_per_s": round(images / max(state.time_s, 1e-9), 1),
        "cost": dict(cost),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        **provenance(),
        "threads": torch.get_num_threads(),
        "device": device,
    }


def metrics_of(curve: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The numbers that a table shows, from the rows of all validations."""
    found: dict[str, float | None] = {}
    for measure in metrics.in_curve(curve[-1]):
        values = [row[measure.column] for row in curve]
        found |= {
            f"{measure.name}_final": values[-1],
            f"{measure.name}_best10": validations.mean_of_best(values),
            f"{measure.name}_peak": max(values),
        }
    found |= {"val_loss_final": curve[-1]["val/loss"], "train_loss_final": curve[-1]["train/loss"]}
    if "train/accuracy" in curve[-1]:
        found["train_accuracy_final"] = curve[-1]["train/accuracy"]
    return found
