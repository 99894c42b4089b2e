"""The command line as a user runs it: processes, their output and their exit status."""

import contextlib
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file
from support.commandline import SMALL, TINY, call, environment, read_until, start

LONG = [*SMALL, "train.epochs=null", "train.batch_size=8"]


def test_a_run_its_table_and_the_second_call(place: Path):
    code, out, err = call(place, *TINY, "transfer.n=3", new=True)
    assert code == 0, err
    lines = out.splitlines()
    assert re.split(r"  +", lines[0]) == [
        "run", "top-1", "vs chance", "vs base", "steps", "time", "folder",
    ]  # fmt: skip
    assert [line.split()[0] for line in lines[2:]] == ["baseA", "A3B"]
    assert "baseA  to be trained" in err and "A3B  to be trained" in err
    assert re.search(r"A3B  step 20/20  epoch 0\.2  train/loss .* left", err)
    assert "next, the base of the same target" in err
    command = err.strip().splitlines()[-1].split("python -m transferlab ")[1]
    assert command == " ".join([*TINY, "transfer.variant=base", "transfer.target=B"])
    assert list(place.iterdir()) == []  # nothing appears where the user stands
    assert sorted(p.name for p in place.parent.iterdir()) == ["cache", "here", "store"]

    folder = place.parent / "store"
    before = {p: p.stat().st_mtime_ns for p in folder.glob("*/*")}
    code, out, err = call(place, *TINY, "transfer.n=3")
    assert code == 0
    assert "baseA  reused" in err and "A3B  reused" in err and "  step " not in err
    assert out.count("reused") == 2
    assert before == {p: p.stat().st_mtime_ns for p in folder.glob("*/*")}


def test_a_finished_run_is_returned_without_torch(place: Path):
    assert call(place, *TINY, "transfer.variant=baseB")[0] == 0
    program = (
        "import sys; from transferlab.__main__ import main; code = main(sys.argv[1:]); "
        "print({'torch', 'pytorch_lightning'} & set(sys.modules), code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *TINY, "transfer.variant=baseB"],
        env=environment(place),
        cwd=place,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "set() 0"


def test_help_fits_a_screen_and_imports_nothing_that_takes_time(place: Path):
    code, out, imported = call(place, "--help", new=True, PYTHONPROFILEIMPORTTIME="1")
    names = {line.rpartition("|")[2].strip() for line in imported.splitlines()}
    assert "transferlab" in names and not {"torch", "numpy", "hydra", "omegaconf"} & names
    assert code == 0 and len(out.splitlines()) <= 40
    for word in ("run", "+split", "image_folder", "yosinski2014", "transfer.n", "--hydra-help"):
        assert word in out
    assert out.count("  python -m transferlab") == 3
    code, out, _ = call(place, "--hydra-help")
    assert code == 0 and "--multirun" in out
    code, out, _ = call(place, "--cfg", "job", "+split=random")
    assert code == 0 and "lr_factor" in out


def test_the_version_is_that_of_this_package_and_of_those_that_decide_a_result(place: Path):
    code, out, _ = call(place, "--version")

    assert code == 0 and re.match(r"transferlab 0\.1\.0, python 3\.\d+\.\d+, torch 2\.", out)
    assert "hydra-core 1.3" in out and len(out.splitlines()) == 1


def test_multirun_trains_each_and_one_failure_does_not_stop_the_rest(place: Path):
    code, out, err = call(place, "-m", *TINY, "transfer.variant=baseA,A9B,R1A")
    assert code == 2
    assert "transfer.n=9 is not a cut point of alexnet_small (8 stages): choose 0..7" in err
    assert [line.split()[0] for line in out.splitlines() if line[:1] in "bR"] == ["baseA", "R1A"]
    assert list(place.iterdir()) == []


def test_ctrl_c_and_sigterm_save_report_how_to_resume_and_exit_75(place: Path):
    long = [*LONG, "train.total_steps=250", "train.val_every=10"]
    for number in (signal.SIGINT, signal.SIGTERM):
        process = start(place, *long, "transfer.variant=baseA")
        read_until(process, "  step ")
        process.send_signal(number)
        _, err = process.communicate(timeout=300)
        assert process.returncode == 75, err
        assert "run the command again to resume" in err and "Traceback" not in err
        (folder,) = (place.parent / "store").iterdir()
        assert (folder / "last.ckpt").exists() and not (folder / "result.json").exists()
    code, out, err = call(place, *long, "transfer.variant=baseA")
    assert code == 0 and "baseA  resumes from its checkpoint" in err
    resumed = json.loads((folder / "result.json").read_text())
    other = {"TRANSFERLAB_STORE": str(place.parent / "other")}
    assert call(place, *long, "transfer.variant=baseA", **other)[0] == 0
    whole = json.loads((place.parent / "other" / folder.name / "result.json").read_text())
    assert resumed["weights_sha256"] == whole["weights_sha256"]


def test_two_processes_with_the_same_run_train_it_once(place: Path):
    long = [*LONG, "train.total_steps=150", "train.val_every=10"]
    first = start(place, *long, "transfer.variant=baseA")
    read_until(first, "  step ")
    first.send_signal(signal.SIGSTOP)
    second = start(place, *long, "transfer.variant=baseA")
    line = read_until(second, "waiting")
    assert re.fullmatch(rf"baseA  waiting: process {first.pid} on \S+ is training it\n", line)
    first.send_signal(signal.SIGCONT)
    assert "  step " in first.communicate(timeout=300)[1]
    assert "  step " not in second.communicate(timeout=300)[1]  # it trained nothing
    assert (first.returncode, second.returncode) == (0, 0)


def test_a_dead_owner_is_noticed(place: Path):
    long = [*LONG, "train.total_steps=150", "train.val_every=10"]
    first = start(place, *long, "transfer.variant=baseA")
    read_until(first, "  step ")
    first.kill()
    first.communicate(timeout=300)
    code, _, err = call(place, *long, "transfer.variant=baseA")
    assert code == 0 and "resumes from its checkpoint" in err and "waiting" not in err


@pytest.mark.parametrize(
    ("model", "variant", "counts"),
    [
        ("alexnet_small", "A7B", (2, 3)),  # dropout in a frozen stage and in the one that learns
        ("resnet_small", "A4B", (2,)),  # batch norm in all frozen stages
    ],
)
def test_processes_that_share_the_global_batch_train_the_network_of_one(
    place: Path, model: str, variant: str, counts: tuple[int, ...]
):
    recipe = ["train.epochs=2", "train.batch_size=30", f"transfer.variant={variant}"]
    recipe += ["data.holdout=0.25", "train.val_batch_size=112"]  # of two, one has two batches
    recipe += [f"model={model}"]
    alone = place.parent / "store"
    records, weights = {}, {}
    for devices in (1, *counts):
        store = alone if devices == 1 else place.parent / f"store{devices}"
        if devices > 1:
            shutil.copytree(alone, store, ignore=shutil.ignore_patterns(f"{variant}-*"))
        several = [f"runtime.devices={devices}", "runtime.accelerator=cpu"]
        code, _, err = call(place, *SMALL, *recipe, *several, TRANSFERLAB_STORE=str(store))
        assert code == 0, err
        # One line an epoch, not one a process; first the base's, too
        assert err.count("  step ") == (4 if devices == 1 else 2)
        assert "LeafSpec" not in err  # Lightning's warnings, of each process
        (record,) = store.glob(f"{variant}-*/result.json")
        records[devices] = json.loads(record.read_text())
        weights[devices] = load_file(record.with_name("weights.safetensors"))
    for devices in counts:
        for name in ("id", "images", "steps", "val_images"):
            assert records[devices][name] == records[1][name]
        accuracies = [records[number]["metrics"]["top1_final"] for number in (1, devices)]
        assert accuracies[0] == accuracies[1]
        for name, expected in weights[1].items():
            assert (weights[devices][name] - expected).abs().max() < 5e-7, (devices, name)


def test_several_processes_are_interrupted_together_and_one_resumes(place: Path):
    long = [*LONG, "train.total_steps=200", "train.val_every=20"]
    several = ["runtime.devices=2", "runtime.accelerator=cpu"]
    process = start(place, *long, "transfer.variant=baseA", *several)
    read_until(process, "  step ")
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 75, err
    assert "Traceback" not in err and "run the command again to resume" in err
    (folder,) = (place.parent / "store").iterdir()
    assert (folder / "last.ckpt").exists() and not (folder / "owner.json").exists()
    code, _, err = call(place, *long, "transfer.variant=baseA")
    assert code == 0 and "baseA  resumes from its checkpoint" in err and "step 20/" not in err


# --- mirrors ------------------------------------------------------------------------------------


def test_wandb_writes_a_real_offline_run_into_the_runs_folder(place: Path):
    code, _, err = call(place, *TINY, "logger=wandb", "transfer.variant=baseA", HOME=str(place))
    assert code == 0, err
    (folder,) = (place.parent / "store").iterdir()
    identity = json.loads((folder / "result.json").read_text())["id"]
    (file,) = folder.glob(f"wandb/offline-run-*-{identity}/run-{identity}.wandb")
    content = file.read_bytes()
    for word in (identity, "random0", "baseA", "val/accuracy"):
        assert word.encode() in content
    assert [p.name for p in place.iterdir() if not p.name.startswith(".")] == []


def test_tensorboard_writes_an_event_file(place: Path):
    code, _, err = call(place, *TINY, "logger=tensorboard", "transfer.variant=baseA")
    assert code == 0, err
    (file,) = (place.parent / "store").glob("*/tensorboard/events.out.tfevents.*")
    assert b"val/accuracy" in file.read_bytes()


def test_a_terminal_gets_a_bar_per_run_and_no_lines(place: Path):
    leader, follower = pty.openpty()
    terminal = {"TERM": "xterm", "COLUMNS": "120"}
    process = start(place, *TINY, "transfer.variant=baseA", stderr=follower, **terminal)
    os.close(follower)
    shown = b""
    with contextlib.suppress(OSError):  # the end of a pseudo-terminal
        while part := os.read(leader, 65536):
            shown += part
    os.close(leader)
    table, _ = process.communicate(timeout=300)
    assert process.returncode == 0 and "baseA" in table
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    assert re.search(r"baseA .* 20/20 +loss \d\.\d+  val/accuracy 0\.\d{4} +\d+ images/s", text)
    assert "  step 20/20" not in text
    (log,) = (place.parent / "store").glob("*/log.txt")
    assert "step 20/20" in log.read_text()
