"""The facts of a plan's networks: one probe, its cache, and the check of cut points."""

import json
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from support.records import made_run

from transferlab.errors import UserError
from transferlab.experiment.config import RunConfig
from transferlab.experiment.cost import networks
from transferlab.experiment.cost.networks import network_of
from transferlab.experiment.resolve import resolve_all
from transferlab.experiment.run import Run
from transferlab.models.facts import Footprint, NetworkFacts, NetworkShape, StageFacts

SMALL = NetworkShape("alexnet_small", 5, 32)
WHOLE, HALF = Footprint(kept=40, output=8, widest=20), Footprint(kept=20, output=4, widest=10)
STAGES = (
    StageFacts("conv1", 7, 100, WHOLE, HALF),
    StageFacts("conv2", 70, 20, WHOLE, HALF),
    StageFacts("fc3", 700, 3, WHOLE, HALF),
)
WIDE = {"model.num_outputs": 10}
OWN = {"model.name": "mine:net"}
Requests = list[dict[str, Any]]


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> Requests:
    """The requests to a probe that always answers STAGES, and an error for a network `bad`."""
    asked: Requests = []

    def run(command: list[str], *, input: str, **options: Any) -> subprocess.CompletedProcess[str]:
        assert command == [sys.executable, "-m", "transferlab.experiment.cost.probe"]
        request = json.loads(input)
        asked.append(request)
        found = {
            "stages": [asdict(stage) for stage in STAGES],
            "device_bytes": None,
            "s_per_mac": 2e-9 if request["time"] else None,
            "device": "cpu: a fast one, 1 thread" if request["time"] else None,
        }
        answers = [
            {"error": f"{network['model']} is not there"}
            if network["model"].startswith("bad")
            else found
            for network in request["networks"]
        ]
        return subprocess.CompletedProcess(command, 0, json.dumps({"networks": answers}), "")

    monkeypatch.setattr(subprocess, "run", run)
    return asked


def look(
    cache: Path, *runs: Run, timed: bool = False, threads: int | None = 1
) -> dict[NetworkShape, NetworkFacts]:
    return networks.facts(runs or (made_run(),), timed=timed, threads=threads, cache=cache)


def kept(cache: Path, key: str) -> Path:
    """The one file of the cache that has the key."""
    files = (cache / "networks").iterdir()
    (file,) = (path for path in files if key in json.loads(path.read_text()))
    return file


def test_outputs_are_the_targets_classes_by_default():
    whole = {"split.name": "whole", "transfer.target": None}

    assert network_of(made_run()) == SMALL
    assert network_of(made_run(WIDE)) == NetworkShape("alexnet_small", 10, 32)
    assert network_of(made_run(whole, variant="RnB")) == NetworkShape("alexnet_small", 10, 32)
    assert network_of(made_run({"data.crop": 28})) == NetworkShape("alexnet_small", 5, 28)


def test_training_is_forward_through_all_and_twice_that_back_through_what_learns():
    found = NetworkFacts(STAGES, None, None, None)

    assert found.parameters == 777
    assert [found.forward_macs(n) for n in range(4)] == [0, 100, 120, 123]
    assert [found.training_macs(n) for n in range(3)] == [369, 169, 129]


# --- one probe for all, and the cache -----------------------------------------------------------


WHOLE = {"cuts": "stage", "reduction": None}


def test_all_that_is_missing_is_asked_for_at_once_each_network_once(
    tmp_path: Path, requests: Requests
):
    look(tmp_path, made_run(WIDE))

    found = look(tmp_path, made_run(), made_run(n=4), made_run({"data.crop": 28}), made_run(WIDE))

    assert found == dict.fromkeys(
        [SMALL, NetworkShape("alexnet_small", 5, 28), NetworkShape("alexnet_small", 10, 32)],
        NetworkFacts(STAGES, None, None, None),
    )
    assert requests[1:] == [
        {
            "networks": [
                {"model": "alexnet_small", "num_outputs": 5, "image_size": size} | WHOLE
                for size in (32, 28)
            ],
            "threads": 1,
            "time": False,
            "accelerator": "auto",
        }
    ]


def test_without_runs_nothing_is_asked(tmp_path: Path, requests: Requests):
    assert networks.facts((), timed=True, threads=None, cache=tmp_path) == {}
    assert requests == []


def test_an_answer_is_cached(tmp_path: Path, requests: Requests):
    timed = {SMALL: NetworkFacts(STAGES, None, 2e-9, "cpu: a fast one, 1 thread")}
    untimed = {SMALL: NetworkFacts(STAGES, None, None, None)}

    assert look(tmp_path) == look(tmp_path) == untimed
    assert look(tmp_path, timed=True) == look(tmp_path, timed=True) == timed
    assert look(tmp_path) == untimed
    assert [request["time"] for request in requests] == [False, True]


def test_a_time_is_one_of_this_machine_with_so_many_threads_on_such_a_device(
    tmp_path: Path, requests: Requests, monkeypatch: pytest.MonkeyPatch
):
    look(tmp_path, timed=True)
    look(tmp_path, timed=True, threads=None)
    look(tmp_path, made_run({"runtime.accelerator": "cpu"}), timed=True)
    monkeypatch.setattr(socket, "gethostname", lambda: "elsewhere")
    look(tmp_path)
    look(tmp_path, timed=True)

    assert [(r["time"], r["threads"], r["accelerator"]) for r in requests] == [
        (True, 1, "auto"),
        (True, None, "auto"),
        (True, 1, "cpu"),
        (False, 1, "auto"),  # for its device: another machine may have another
        (True, 1, "auto"),
    ]


@pytest.mark.parametrize("package", ["transferlab", "torch"])
def test_another_version_looks_anew(
    tmp_path: Path, requests: Requests, monkeypatch: pytest.MonkeyPatch, package: str
):
    look(tmp_path)
    if package == "torch":
        monkeypatch.setattr(networks.metadata, "version", lambda name: "9.9.9")
    else:
        monkeypatch.setattr(networks, "__version__", "9.9.9")
    look(tmp_path)

    assert len(requests) == 2


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"[1]",
        b'{"stages": [',
        b'{"stages": []}',
        b'{"stages": {}}',
        b'{"stages": [{"name": "conv1", "parameters": 7}]}',
        b'{"stages": [{"name": "conv1", "parameters": 7, "macs": "100"}]}',
        b'{"stages": [{"name": "conv1", "parameters": 7, "macs": -1}]}',
        b'{"stages": [{"name": "conv1", "parameters": 7, "macs": 100.5}]}',
        b'{"stages": [{"name": "conv1", "parameters": 7, "macs": 100}]}',  # of version 0.1.0
    ],
)
def test_damaged_stages_are_looked_at_anew(tmp_path: Path, requests: Requests, content: bytes):
    found = look(tmp_path)
    file = kept(tmp_path, "stages")
    sound = file.read_bytes()
    file.write_bytes(content)

    assert look(tmp_path) == found
    assert len(requests) == 2
    assert file.read_bytes() == sound


@pytest.mark.parametrize("content", [b"{}", b'{"device_bytes": "8"}', b'{"device_bytes": -1}'])
def test_a_damaged_device_is_looked_at_anew(tmp_path: Path, requests: Requests, content: bytes):
    found = look(tmp_path)
    kept(tmp_path, "device_bytes").write_bytes(content)

    assert look(tmp_path) == found
    assert len(requests) == 2


def test_a_device_is_that_of_the_gpus_that_can_be_seen(
    tmp_path: Path, requests: Requests, monkeypatch: pytest.MonkeyPatch
):
    for visible in ("0", "1", "1"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        look(tmp_path)

    assert len(requests) == 2


@pytest.mark.parametrize(
    "content",
    [
        b"{}",
        b'{"s_per_mac": null, "device": "cpu"}',
        b'{"s_per_mac": 0, "device": "cpu"}',
        b'{"s_per_mac": NaN, "device": "cpu"}',
        b'{"s_per_mac": 1e-9}',
    ],
)
def test_a_damaged_time_is_taken_anew(tmp_path: Path, requests: Requests, content: bytes):
    look(tmp_path)
    found = look(tmp_path, timed=True)
    kept(tmp_path, "s_per_mac").write_bytes(content)

    assert look(tmp_path, timed=True) == found
    assert [request["time"] for request in requests] == [False, True, True]


def test_a_users_own_network_is_looked_at_every_time(tmp_path: Path, requests: Requests):
    own = made_run(OWN)

    found = [look(tmp_path, own), look(tmp_path, own)]

    assert found == [{NetworkShape("mine:net", 5, 32): NetworkFacts(STAGES, None, None, None)}] * 2
    assert len(requests) == 2
    assert list(tmp_path.iterdir()) == []


def test_a_cache_that_cannot_be_written_is_reported_and_costs_time_only(
    tmp_path: Path, requests: Requests, caplog: pytest.LogCaptureFixture
):
    file = tmp_path / "file"
    file.touch()

    assert look(file) == {SMALL: NetworkFacts(STAGES, None, None, None)}
    (record,) = caplog.records
    assert record.getMessage().startswith(f"{file}/networks/")
    assert record.getMessage().endswith(
        ".json cannot be written: the network will be examined again next time"
    )


# --- errors -------------------------------------------------------------------------------------


def test_the_first_error_is_reported_and_the_other_networks_are_cached(
    tmp_path: Path, requests: Requests
):
    runs = [made_run(), made_run({"model.name": "bad2"}), made_run({"model.name": "bad1"})]

    with pytest.raises(UserError, match="^bad2 is not there$"):
        look(tmp_path, *runs)
    look(tmp_path)

    assert len(requests) == 1


@pytest.mark.parametrize(
    ("stderr", "reason"),
    [
        (
            "Traceback:\n  ...\nModuleNotFoundError: No module named 'torch'\n",
            "ModuleNotFoundError: No module named 'torch'",
        ),
        ("", "exit status -9"),
    ],
)
def test_a_probe_that_fails_is_an_error_with_its_last_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stderr: str, reason: str
):
    dead = subprocess.CompletedProcess([], -9, "", stderr)
    monkeypatch.setattr(subprocess, "run", lambda *args, **options: dead)

    with pytest.raises(UserError) as error:
        look(tmp_path, made_run(), made_run({"data.crop": 28}), made_run(OWN))

    assert str(error.value) == (
        f"the networks (alexnet_small, mine:net) cannot be examined: {reason}"
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"transfer.n": 3}, "transfer.n=3 is not a cut point of alexnet_small (3 stages): "),
        (
            {"transfer.n": 1, "transfer.keep": 2},
            "transfer.keep=2 with transfer.n=",
        ),
    ],
)
def test_the_first_run_with_an_invalid_cut_is_reported(changes: dict[str, Any], message: str):
    found = {SMALL: NetworkFacts(STAGES, None, None, None)}

    networks.check([made_run(n=2), made_run({"transfer.n": 1, "transfer.keep": 1})], found)
    with pytest.raises(UserError) as error:
        networks.check([made_run(n=2), made_run(changes), made_run(n=9)], found)

    assert str(error.value).startswith(message)


# --- for real -----------------------------------------------------------------------------------


def test_a_real_probe_tells_stages_and_time_and_is_not_started_twice(
    forked_trainings: None,
    tmp_path: Path,
    config: Callable[..., RunConfig],
    monkeypatch: pytest.MonkeyPatch,
):
    here = ("+split=random", "runtime.accelerator=cpu", "data.size=16", "data.crop=16")
    runs = resolve_all(config(*here, f"transfer.variant={v}") for v in ("A2B", "B5B+"))

    first = look(tmp_path, *runs, timed=True)
    monkeypatch.setattr(subprocess, "run", None)

    assert look(tmp_path, *runs, timed=True) == first
    ((network, found),) = first.items()
    assert network == NetworkShape("alexnet_small", 5, 16)
    assert len(found.stages) == 8 and found.stages[0] == StageFacts(
        "conv1",
        2_432,
        614_400,
        Footprint(57_344, 8_192, 65_536),
        Footprint(38_400, 4_096, 32_768),
        entry=614_400,
    )
    assert found.device_bytes is None
    assert found.training_macs(0) == 3 * 5_286_400 - 614_400
    assert found.s_per_mac is not None and 1e-14 < found.s_per_mac < 1e-7
    assert found.device is not None
    assert found.device.startswith("cpu: ") and found.device.endswith(", 1 thread")


def test_a_real_probe_refuses_as_the_run_would(forked_trainings: None, tmp_path: Path):
    with pytest.raises(UserError) as error:
        look(tmp_path, made_run({"model.name": "alexnet"}))

    assert str(error.value).startswith("data.crop=32 does not fit model=alexnet, which takes 227")
