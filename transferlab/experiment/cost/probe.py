"""Examines networks and times training steps, for a process that imports no torch itself.

Run as `python -m transferlab.experiment.cost.probe`: one JSON object on stdin, one on stdout.
`{"networks": [{"model": "alexnet", "num_outputs": 500, "image_size": 227, "cuts": "stage",
"reduction": null}], "threads": 1, "time": true, "accelerator": "auto"}` is answered by
`{"networks": [...]}`, for each network either `{"error": MESSAGE}` or `{"stages": [{"name": ...,
"parameters": ..., "macs": ..., "float32": {"kept": ..., "output": ..., "widest": ...}, "bfloat16":
{...}, "entry": ..., "auxiliary": ...}, ...], "device_bytes": ..., "s_per_mac": ..., "device":
...}`. Reads no images and no config; `networks` calls it and caches the answer.
"""

import json
import os
import statistics
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import torch
import torch.nn.functional as F

from transferlab import models
from transferlab.errors import UserError
from transferlab.models import shapes
from transferlab.models.facts import NetworkFacts
from transferlab.models.shapes import StageShape
from transferlab.models.stages import StagedNetwork
from transferlab.runtime import plugins
from transferlab.runtime.devices import best, gpu_memory_bytes, name_with_threads

BATCH = 16
MOST_STEPS = 20
TIME_S = 1.5  # for the steps of one network, after the first


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """The answer on stdout to a request on stdin."""
    if request["threads"] is not None:
        torch.set_num_threads(request["threads"])
    device = best(request["accelerator"])
    timed = request["time"]
    return {"networks": [_examine(network, device, timed=timed) for network in request["networks"]]}


def _examine(request: dict[str, Any], device: torch.device, *, timed: bool) -> dict[str, Any]:
    """One network's stages and, if it is to be timed, its time on the device."""
    try:
        with torch.device("meta"):
            network = _build(request)
        with plugins.guarded("model.name", request["model"], known=models.NETWORKS):
            stages = shapes.stages(network, request["image_size"])
    except UserError as error:
        return {"error": str(error)}
    return {
        "stages": [asdict(stage.facts) for stage in stages],
        "device_bytes": gpu_memory_bytes(device),
        "s_per_mac": _s_per_mac(request, stages, device) if timed else None,
        "device": name_with_threads(device) if timed else None,
    }


def _build(request: dict[str, Any]) -> StagedNetwork:
    return models.build(
        request["model"],
        num_outputs=request["num_outputs"],
        image_size=request["image_size"],
        cuts=request["cuts"],
        reduction=request["reduction"],
    )


def _s_per_mac(
    request: dict[str, Any], stages: Sequence[StageShape], device: torch.device
) -> float:
    """Seconds per multiply-accumulate of a training step, of which all stages learn."""
    network = _build(request)
    network.initialise(lambda name: 0)
    network.to(device)
    facts = NetworkFacts(tuple(stage.facts for stage in stages), None, None, None)
    macs = BATCH * facts.training_macs(0)
    seconds = _step_s(network, request["num_outputs"], request["image_size"], device)
    return seconds / max(macs, 1)


def _step_s(network: StagedNetwork, outputs: int, size: int, device: torch.device) -> float:
    """The median time in s of some training steps, forward, backward and update; in place."""
    x = torch.randn(BATCH, 3, size, size, device=device)
    y = torch.arange(BATCH, device=device) % outputs
    optimizer = torch.optim.SGD(network.parameters(), lr=0.0, momentum=0.9)  # stays finite
    took: list[float] = []
    while len(took) < 2 or (len(took) <= MOST_STEPS and sum(took[1:]) < TIME_S):
        start = time.perf_counter()
        optimizer.zero_grad()
        F.cross_entropy(network(x), y).backward()
        optimizer.step()
        if device.type != "cpu":
            torch.accelerator.synchronize()
        took.append(time.perf_counter() - start)
    return statistics.median(took[1:])  # the first is slower: memory, choice of kernels


def main() -> None:
    """Answer the request on stdin. Output of a custom module goes to stderr."""
    warnings.simplefilter("ignore")
    with os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8") as stdout:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        json.dump(answer(json.load(sys.stdin)), stdout)


if __name__ == "__main__":
    main()
