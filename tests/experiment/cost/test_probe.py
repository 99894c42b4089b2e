"""The probe: its answers, its timing, and the output of custom modules."""

import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from transferlab.experiment.cost import probe

SMALL = {"model": "alexnet_small", "num_outputs": 5, "image_size": 16}
SMALL_MACS = 5_286_400  # 614,400 + 1,179,648 + 884,736 + 1,327,104 + 884,736 + 131,072 + 264,704
OWN = """
import warnings
from transferlab.models.zoo import alexnet_small

print("imported")

def noisy(*, num_outputs, image_size):
    print("built")
    warnings.warn("take care")
    return alexnet_small.build(num_outputs=num_outputs, image_size=image_size)

def broken(*, num_outputs, image_size):
    raise RuntimeError("no such layer")
"""


WHOLE = {"cuts": "stage", "reduction": None}


def ask(
    *networks: dict[str, Any], time: bool = False, accelerator: str = "cpu"
) -> list[dict[str, Any]]:
    asked = [WHOLE | network for network in networks]
    request = {"networks": asked, "threads": 1, "time": time, "accelerator": accelerator}
    return probe.answer(request)["networks"]


@pytest.fixture(autouse=True)
def forked(forked_trainings: None) -> None:
    """The probe is a process of its own, and forked."""


def run(request: dict[str, Any], place: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "transferlab.experiment.cost.probe"],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=False,
        cwd=place,
    )


def test_it_tells_the_stages_and_without_being_asked_no_time():
    (found,) = ask(SMALL)

    assert found["s_per_mac"] is None and found["device"] is None
    assert found["device_bytes"] is None  # the processor
    assert found["stages"][0] == {
        "name": "conv1",
        "parameters": 2_432,
        "macs": 614_400,
        "float32": {"kept": 57_344, "output": 8_192, "widest": 65_536},
        "bfloat16": {"kept": 38_400, "output": 4_096, "widest": 32_768},
        "entry": 614_400,
        "auxiliary": 0,
    }
    assert [stage["name"] for stage in found["stages"][5:]] == ["fc6", "fc7", "fc8"]
    assert sum(stage["macs"] for stage in found["stages"]) == SMALL_MACS


def test_a_network_that_cannot_be_built_is_an_error_of_its_own():
    unknown, sound, small = ask(
        SMALL | {"model": "alexnot"}, SMALL, {**SMALL, "model": "alexnet", "image_size": 32}
    )

    assert unknown["error"].startswith("model.name=alexnot is unknown: choose one of alexnet ")
    assert "stages" in sound
    assert small["error"].startswith("data.crop=32 does not fit model=alexnet, which takes 227")


def test_a_step_counts_forward_once_and_both_gradients_but_that_of_the_images_for_16(
    monkeypatch: pytest.MonkeyPatch,
):
    # Start and end of each step, in s: a slow first one, which is left out, then three of 0.5 s
    clock = itertools.chain([0, 9], *([9 + i, 9.5 + i] for i in range(3)))
    monkeypatch.setattr(probe.time, "perf_counter", lambda: next(clock))

    (found,) = ask(SMALL, time=True)

    assert found["s_per_mac"] == pytest.approx(0.5 / (16 * (3 * SMALL_MACS - 614_400)), rel=1e-12)
    assert found["device"].startswith("cpu: ") and found["device"].endswith(", 1 thread")
    assert next(clock, None) is None  # 1.5 s are enough


def test_the_best_device_there_is_is_looked_for_unless_it_is_the_processor(
    monkeypatch: pytest.MonkeyPatch,
):
    looked: list[bool] = []
    monkeypatch.setattr(torch.accelerator, "current_accelerator", looked.append)
    clock = itertools.count()
    monkeypatch.setattr(probe.time, "perf_counter", lambda: next(clock))

    ask(SMALL, time=True)
    assert looked == []
    (found,) = ask(SMALL, time=True, accelerator="auto")
    assert looked == [True]  # is it there at all?
    assert found["device"].startswith("cpu: ")  # there is none


def test_quick_steps_are_twenty(monkeypatch: pytest.MonkeyPatch):
    clock = itertools.count()
    monkeypatch.setattr(probe.time, "perf_counter", lambda: next(clock) * 1e-3)

    ask(SMALL, time=True)

    assert next(clock) == 2 * 21  # and the first, which is left out


def test_stdout_has_the_answer_alone_whatever_a_users_module_prints(tmp_path: Path):
    (tmp_path / "own_net.py").write_text(OWN)
    own = SMALL | WHOLE | {"model": "own_net:noisy"}
    request = {"networks": [own], "threads": 1, "time": False, "accelerator": "auto"}

    done = run(request, tmp_path)

    assert done.returncode == 0
    (found,) = json.loads(done.stdout)["networks"]
    assert sum(stage["macs"] for stage in found["stages"]) == SMALL_MACS
    assert done.stderr.splitlines() == ["imported", "built"]


def test_a_users_network_that_breaks_is_answered_with_its_reason(tmp_path: Path):
    (tmp_path / "own_net.py").write_text(OWN)
    own = SMALL | WHOLE | {"model": "own_net:broken"}
    request = {"networks": [own], "threads": 1, "time": False, "accelerator": "auto"}

    done = run(request, tmp_path)

    assert done.returncode == 0
    assert json.loads(done.stdout)["networks"] == [
        {"error": "model.name=own_net:broken raised RuntimeError: no such layer"}
    ]
