"""Records of evaluations made by hand, of runs that were made by hand."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transferlab.experiment.run import Run
from transferlab.store import evaluations

SETTINGS = {"crops": "ten", "scales": None, "dense": False, "subset": "val"}


def record(*runs: tuple[Run, Mapping[str, float | None]], **more: Any) -> dict[str, Any]:
    """An evaluation of runs with these metrics; those of an average are top1 0.9 and loss 0.3."""
    digests = {"weights_sha256": "0" * 64, "inference_sha256": "1" * 64}
    question = {
        "protocol": "posteriors",
        "rules": 1,
        "settings": SETTINGS,
        "data": "2" * 64,
        "per_class": None,
        "networks": [digests for _ in runs],
    }
    average = {"top1": 0.9, "top5": None, "loss": 0.3}
    return {
        "id": evaluations.identity(question),
        "question": question,
        "text": "10 crops",
        "runs": [
            {"id": run.id, "label": run.label, "model": "alexnet_small", "metrics": dict(metrics)}
            for run, metrics in runs
        ],
        "source": {"name": "image_folder", "root": "/photos/birds"},
        "images": 50,
        "metrics": average if len(runs) > 1 else dict(runs[0][1]),
        "details": {},
        "skipped": {"val/a/1.png": "3" * 64},
        "time_s": 1.5,
        "finished": "2026-11-29T02:00:00+0000",
        "versions": {"torch": "2.15.0"},
        "commit": None,
        "dirty": None,
        "code": "4" * 64,
        "host": "here",
        "cpu_count": 2,
        "threads": 1,
        "device": "cpu: x86_64",
    } | more


def keep(*runs: tuple[Run, Mapping[str, float | None]], **more: Any) -> Path:
    """The file of such a record, with the first run."""
    return evaluations.write(runs[0][0].folder, record(*runs, **more))
