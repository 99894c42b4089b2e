"""A run's config written out, and configs and runs made from it with some keys changed. For tests
of what takes a config or a run and reads no data: digests and classes are those of the digits.
"""

import copy
from typing import Any

from transferlab.experiment.build import build_config
from transferlab.experiment.config import RunConfig
from transferlab.experiment.run import Run, make_run
from transferlab.experiment.splits.random import random_halves
from transferlab.experiment.splits.whole import whole

# Of the digits with holdout 0.2, and of their random halves with seed 0: see test_resolve
DATA_DIGEST = "2356fb3fe5cfab035a566ce5184cd027bb66ebbdb2d49fb283da50ec73922ec5"
SPLIT_DIGEST = "79105d58172a3b4f2848f41a0b82be7785f29e2c580545687afd22b9592ac36a"
HALVES = random_halves(tuple("0123456789"), seed=0)
WHOLE = whole(tuple("0123456789"))
# A3B on digits as version 0.1.0 made and stored it, and the revision, which it lacked. Written out,
# so that a default that changes in conf/ changes no test here.
RECORD: dict[str, Any] = {
    "revision": 2,
    "seed": 0,
    "split": {"name": "random", "seed": 0, "groups": None, "digest": SPLIT_DIGEST},
    "data": {
        "name": "digits",
        "root": None,
        "val": None,
        "holdout": 0.2,
        "per_class": None,
        "size": 32,
        "resize": "warp",
        "crop": 32,
        "mean": "base",
        "scale": 0.015625,
        "unreadable": "error",
        "digest": DATA_DIGEST,
    },
    "model": {"name": "alexnet_small", "num_outputs": None},
    "transfer": {"variant": "AnB", "n": 3, "target": "B", "keep": 0},
    "train": {
        "batch_size": 32,
        "total_steps": None,
        "epochs": 15.0,
        "lr": 0.02,
        "schedule": "cosine",
        "warmup": 0.1,
        "lr_step": None,
        "lr_factor": None,
        "momentum": 0.9,
        "nesterov": True,
        "rate_in_velocity": False,
        "weight_decay": 0.0005,
        "bias_lr_factor": 2.0,
        "bias_decay_factor": 0.0,
        "reshuffle": True,
        "mirror": False,
        "precision": "float32",
        "channels_last": False,
        "val_every": None,
        "val_batch_size": 256,
    },
    "runtime": {
        "store": "runs",
        "cache": "cache",
        "accelerator": "auto",
        "devices": 1,
        "workers": None,
        "threads": None,
        "logger": "csv",
        "wandb_project": "transferlab",
        "checkpoint_every_s": 300.0,
        "checkpoint_least_s": 10.0,
    },
}
YOSINSKI = {
    "train.batch_size": 256,
    "train.total_steps": 450000,
    "train.epochs": None,
    "train.lr": 0.01,
    "train.schedule": "step",
    "train.warmup": 0.0,
    "train.lr_step": 100000,
    "train.lr_factor": 0.1,
    "train.nesterov": False,
    "train.rate_in_velocity": True,
    "train.reshuffle": False,
    "train.mirror": True,
    "train.val_every": 1000,
    "train.val_batch_size": 50,
}
BASE_B = {"transfer.variant": "base", "transfer.n": 0, "transfer.target": "B"}

# Every field that enters the id -> another value, with the fields that must change with it
SCIENCE: dict[str, dict[str, Any]] = {
    "revision": {"revision": 1},
    "seed": {"seed": 1},
    "split.name": {"split.name": "manmade_natural"},
    "split.seed": {"split.seed": 1},
    "split.digest": {"split.digest": "6" * 64},
    "data.name": {"data.name": "cifar10"},
    "data.holdout": {"data.holdout": 0.25},
    "data.per_class": {"data.per_class": 50},
    "data.size": {"data.size": 36},
    "data.resize": {"data.resize": "crop"},
    "data.decode": {"data.decode": "scaled"},
    "data.crop": {"data.crop": 28},
    "data.scales": {"data.scales": [32, 40]},
    "data.pad": {"data.pad": 4},
    "data.pca": {"data.pca": 0.1},
    "data.grey": {"data.grey": True},
    "data.mean": {"data.mean": "target"},
    "data.scale": {"data.scale": 1.0},
    "data.digest": {"data.digest": "e" * 64},
    "model.name": {"model.name": "alexnet"},
    "model.num_outputs": {"model.num_outputs": 1000},
    "model.cuts": {"model.cuts": "fine"},
    "model.reduction": {"model.reduction": "strided"},
    "transfer.variant": {"transfer.variant": "BnB"},
    "transfer.n": {"transfer.n": 4},
    "transfer.target": {"transfer.variant": "BnA", "transfer.target": "A"},
    "transfer.keep": {"transfer.keep": 1},
    "train.batch_size": {"train.batch_size": 64},
    "train.total_steps": {"train.total_steps": 500, "train.epochs": None},
    "train.epochs": {"train.epochs": 16},
    "train.lr": {"train.lr": 0.03},
    "train.schedule": {
        "train.schedule": "step",
        "train.lr_step": 100,
        "train.lr_factor": 0.1,
    },
    "train.warmup": {"train.warmup": 0.0},
    "train.lr_step": {"train.schedule": "step", "train.lr_step": 200, "train.lr_factor": 0.1},
    "train.lr_steps": {
        "train.schedule": "steps",
        "train.lr_steps": [100, 300],
        "train.lr_factor": 0.1,
    },
    "train.lr_factor": {"train.schedule": "step", "train.lr_step": 100, "train.lr_factor": 0.5},
    "train.momentum": {"train.momentum": 0.8},
    "train.nesterov": {"train.nesterov": False},
    "train.rate_in_velocity": {"train.rate_in_velocity": True},
    "train.weight_decay": {"train.weight_decay": 0.0},
    "train.bias_lr_factor": {"train.bias_lr_factor": 1.0},
    "train.bias_decay_factor": {"train.bias_decay_factor": 1.0},
    "train.norm_lr_factor": {"train.norm_lr_factor": 0.5},
    "train.norm_decay_factor": {"train.norm_decay_factor": 0.0},
    "train.reshuffle": {"train.reshuffle": False},
    "train.mirror": {"train.mirror": True},
    "train.loss": {"train.loss": "hinge"},
    "train.precision": {"train.precision": "bfloat16"},
    "train.channels_last": {"train.channels_last": True},
    "train.val_every": {"train.val_every": 100},
    "train.val_batch_size": {"train.val_batch_size": 50},
}
# Every other field -> another value
ELSEWHERE: dict[str, Any] = {
    "split.groups": "groups.csv",
    "data.root": "/somewhere",
    "data.val": "test",
    "data.unreadable": "skip",
    "runtime.store": "/elsewhere",
    "runtime.cache": "/elsewhere",
    "runtime.accelerator": "cpu",
    "runtime.devices": 2,
    "runtime.workers": 3,
    "runtime.threads": 1,
    "runtime.compile": True,
    "runtime.memory_gb": 4.5,
    "runtime.features_gb": 0.5,
    "runtime.logger": "wandb",
    "runtime.wandb_project": "mine",
    "runtime.checkpoint_every_s": 1.0,
    "runtime.checkpoint_least_s": 0.0,
}

# The fields of A where it is no half, which a config of halves has not
SECOND = ("split.weights",) + tuple(
    f"split.a.{key.removeprefix('data.')}" for key in (*SCIENCE, *ELSEWHERE) if "data." in key
)


def leaves(record: dict[str, Any]) -> dict[str, Any]:
    """The values of RECORD under their full names."""
    groups = {key: value for key, value in record.items() if isinstance(value, dict)}
    inside = {f"{group}.{key}": v for group, values in groups.items() for key, v in values.items()}
    return {key: value for key, value in record.items() if key not in groups} | inside


def changed(changes: dict[str, Any]) -> dict[str, Any]:
    """RECORD with the given leaves changed."""
    record = copy.deepcopy(RECORD)
    for key, value in changes.items():
        group, _, leaf = key.rpartition(".")
        (record[group] if group else record)[leaf] = value
    return record


def made(changes: dict[str, Any] | None = None, **transfer: Any) -> RunConfig:
    """The config of RECORD with leaves changed, and of `transfer.` those given by keyword."""
    return build_config(
        changed({**(changes or {}), **{f"transfer.{key}": v for key, v in transfer.items()}})
    )


def made_run(changes: dict[str, Any] | None = None, **transfer: Any) -> Run:
    """The run of such a config, resolved."""
    config = made(changes, **transfer)
    return make_run(config, WHOLE if config.split.name == "whole" else HALVES)


def written(variant: str, n: int | None = None, target: str | None = None) -> RunConfig:
    return made(variant=variant, n=n, target=target)
