"""A network that was trained elsewhere becomes a finished run of the store, without a training.

From there on it is the base of its dependents as any other: its weights are under the names of the
network in stages, its folder says what it takes, and its record has the account of every tensor
instead of accuracies.
"""

import logging
import time
from dataclasses import asdict, replace

import numpy as np
import torch

from transferlab import store
from transferlab.experiment import pretrained
from transferlab.experiment.build import config_dict
from transferlab.experiment.run import Run
from transferlab.experiment.splits import Split
from transferlab.runtime import logs
from transferlab.runtime.provenance import provenance
from transferlab.training import checkpoints, inference

log = logging.getLogger(__name__)


def adopt(run: Run) -> None:
    """Write the folder of a base network whose weights are given, unless it is finished.

    Raises: UserError if the weights cannot be had, or are others than when the run was planned.
    """

    def wait(owner: str) -> None:
        log.info("%s  waiting: %s is reading it", run.label, owner)

    with store.owned(run, wait):
        if store.read_result(run) is not None:
            return
        store.create(run)
        store.clean(run)
        with logs.to_file(run.log_file):
            _write(run)


def _write(run: Run) -> None:
    started = time.monotonic()
    loaded = pretrained.load(run.config)
    account, weights = loaded.pretrained.account, run.config.split.weights
    log.info("%s  %s  weights: %s", run.label, run.folder, weights)
    for line in account.lines():
        log.info("%s  %s", run.label, line)
    count = account.outputs or 0
    names = loaded.source.classes
    if len(names) != count:
        names = tuple(f"output {number}" for number in range(count))
    mean = loaded.source.mean
    if mean is None and isinstance(loaded.a.mean, tuple):
        mean = np.array(loaded.a.mean, dtype=np.float32)
    own = replace(run, split=Split(names, ()))
    record = {
        "config": config_dict(run.config),
        "metrics": {"tensors": len(loaded.pretrained.tensors)},
        "learned": True,
        "prefix_unchanged": None,
        "base_id": None,
        "weights_sha256": checkpoints.save_weights(run, loaded.pretrained.tensors),
        "inference_sha256": inference.save(own, names, mean),
        "num_classes": count,
        "train_images": 0,
        "val_images": 0,
        "skipped": {},
        "steps": 0,
        "images": 0,
        "time_s": round(time.monotonic() - started, 3),
        "images_per_s": 0.0,
        "account": {"source": weights, **asdict(account)},
        "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        **provenance(),
        "threads": torch.get_num_threads(),
        "device": "none: trained elsewhere",
    }
    store.finish(run, record)
