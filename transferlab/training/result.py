"""The record of a finished run: its metrics, its digests, and its provenance.

Accuracies are fractions. `top1_best10`, the mean of the ten best validations, is what the authors
plot, and null for a curve too short for it; `top1_final` is not selected on the validation set.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from transferlab.experiment import validations
from transferlab.experiment.build import config_dict
from transferlab.experiment.chance import learned
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
    val_images: int,
    chance: float,
    data_classes: int,
    data_images: int,
    pack_size: int,
    device: str,
) -> dict[str, Any]:
    """Everything `result.json` holds besides id and label.

    `chance` is the share of the largest class in the validation images.
    `data_classes` and `data_images` are those of the data set, not of the half: all classes and all
    training images. `pack_size` is the number of runs that were trained together when this one
    ended, and the time is that of all of them. A record without it belongs to a run that was
    trained alone.
    """
    images = state.step * run.config.train.batch_size
    return {
        "config": config_dict(run.config),
        "metrics": metrics(state.curve, chance=chance),
        "learned": learned(state.curve[-1]["val/accuracy"], chance=chance, images=val_images),
        "prefix_unchanged": prefix_unchanged,
        "base_id": run.base_id,
        "weights_sha256": weights_sha256,
        "inference_sha256": inference_sha256,
        "num_classes": len(run.classes),
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
        "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        **provenance(),
        "threads": torch.get_num_threads(),
        "device": device,
    }


def metrics(curve: Sequence[Mapping[str, Any]], *, chance: float) -> dict[str, float | None]:
    """The numbers that a table shows, from the rows of all validations."""
    accuracies = [row["val/accuracy"] for row in curve]
    return {
        "top1_final": accuracies[-1],
        "top1_best10": validations.mean_of_best(accuracies),
        "top1_peak": max(accuracies),
        "val_loss_final": curve[-1]["val/loss"],
        "train_loss_final": curve[-1]["train/loss"],
        "train_accuracy_final": curve[-1]["train/accuracy"],
        "chance": chance,
    }
