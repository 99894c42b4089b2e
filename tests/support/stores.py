"""Stores made by hand: finished runs with the accuracies that a test wants, and nothing trained."""

import json
from pathlib import Path
from typing import Any

from support.records import made

from transferlab.experiment import plan
from transferlab.experiment.build import config_dict
from transferlab.experiment.config import RunConfig
from transferlab.experiment.launcher import build_launcher
from transferlab.experiment.run import Run, make_run
from transferlab.store import FORMAT, sweeps

LOCAL = {
    "name": "local", "jobs": 1, "threads": 1, "gpus": None, "fail_fast": False,
    "changed_code": "warn",
}  # fmt: skip


def config(label: str, changes: dict[str, Any] | None = None, *, split: int = 0) -> RunConfig:
    """The config of `A3B+` or `baseB` on digits, random split `split`, with leaves changed."""
    digest = {"split.seed": split, "split.digest": f"{split}" * 64}
    return made(digest | (changes or {}), variant=label, n=None, target=None)


def record(config: RunConfig, top1: float, /, **more: Any) -> dict[str, Any]:
    """What `result.json` holds of a run with that accuracy; best10 is 0.01 more, peak 0.02."""
    run = make_run(config)
    metrics = {"top1_final": top1, "top1_best10": top1 + 0.01, "top1_peak": top1 + 0.02}
    return {
        "format": FORMAT,
        "id": run.id,
        "label": run.label,
        "config": config_dict(config),
        "metrics": {**metrics, "val_loss_final": 1.5, "train_loss_final": 1, "chance": 0.2},
        "learned": True,
        "prefix_unchanged": True if config.variant.frozen else None,
        "base_id": run.base_id,
        "weights_sha256": "0" * 64,
        "num_classes": 5,
        "train_images": 722,
        "val_images": 179,
        "data_classes": 10,
        "data_images": 1442,
        "skipped": [],
        "steps": 339,
        "images": 10848,
        "time_s": 12.5,
        "pack_size": 1,
        "images_per_s": 867.8,
        "finished": "2026-11-25T09:05:37+0000",
        "versions": {"transferlab": "0.1.0", "torch": "2.15.0"},
        "commit": "f" * 40,
        "dirty": False,
        "host": "here",
        "threads": 1,
        "cpu_count": 2,
        "device": "cpu: x86_64",
    } | more


def located(place: Path, chosen: RunConfig) -> Run:
    """The run of a config, in the store `place`."""
    return make_run(chosen).in_store(place)


def finish(
    place: Path,
    label: str,
    top1: float,
    changes: dict[str, Any] | None = None,
    *,
    split: int = 0,
    **more: Any,
) -> Run:
    """A finished run in the store `place`; `more` goes into its record."""
    chosen = config(label, changes, split=split)
    run = start(place, chosen)
    run.result_file.write_text(json.dumps(record(chosen, top1, **more)))
    return run


def start(place: Path, chosen: RunConfig) -> Run:
    """A run that has its folder and its config, and no record."""
    run = located(place, chosen)
    run.folder.mkdir(parents=True, exist_ok=True)
    head = {"format": FORMAT, "id": run.id, "label": run.label}
    run.config_file.write_text(json.dumps({**head, "config": config_dict(chosen)}))
    return run


def planned(place: Path, study: str, *labels: str) -> Path:
    """A sweep of these runs and the bases they need, recorded in the store; its folder."""
    runs = plan.order(make_run(config(label)) for label in labels)
    return sweeps.start(place, study, runs, build_launcher(LOCAL), 1).folder
