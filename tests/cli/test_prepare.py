"""`prepare` as a user runs it: real processes, signals, and training on its output."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.commandline import SMALL, call, environment, refused, start
from support.trees import picture

# The worker processes resize with torch
pytestmark = pytest.mark.usefixtures("needs_torch")

TRAINING = [*SMALL, "train.epochs=null", "train.total_steps=12", "train.val_every=6",
            "transfer.n=2", "data.scale=0.015625"]  # fmt: skip


def images(root: Path, *, count: int = 8) -> Path:
    """Four classes of noise, 16 pixels a side."""
    for label, name in enumerate(("ant", "bee", "cat", "dog")):
        for number in range(count):
            picture(root / "train" / name / f"{number}.png", 1000 * label + number, 16)
        picture(root / "val" / name / "0.png", 5000 + label, 16)
    return root


def links(root: Path, file: Path, count: int) -> Path:
    """One class, its images being `count` links to a file, which are made quickly."""
    for subset, each in (("train", count), ("val", 4)):
        (root / subset / "a").mkdir(parents=True)
        for number in range(each):
            (root / subset / "a" / f"{number}.png").symlink_to(file)
    return root


def weights(place: Path, *arguments: str) -> dict[str, str]:
    """Label -> digest of the weights that a command trains, each command in its own store."""
    code, _, err = call(place, *arguments, TRANSFERLAB_STORE=str(place.parent / arguments[0]))
    assert code == 0, err
    records = [
        json.loads(path.read_text()) for path in (place.parent / arguments[0]).glob("*/result.json")
    ]
    return {record["label"]: record["weights_sha256"] for record in records}


def test_training_on_prepared_images_is_bit_identical_to_training_on_their_folder(
    place: Path, tmp_path: Path
):
    root, dst = images(tmp_path / "images"), tmp_path / "made"
    code, out, err = call(place, "prepare", "--root", str(root), "--out", str(dst), "--size", "16",
                          "--jobs", "1")  # fmt: skip
    assert code == 0, err
    lines = out.splitlines()
    assert re.fullmatch(
        r"32 train, 4 val images of 4 classes, 27\.6 kB, digest [0-9a-f]{12}", lines[0]
    )
    assert re.fullmatch(r"36 images prepared in 0:\d\d, \d+ images/s", lines[1])
    assert lines[2] == (
        f"next: python -m transferlab +split=random data=prepared data.root={dst} data.size=16 "
        "data.crop=16 data.scale=0.015625 train=small32 transfer.n=3"
    )
    assert re.search(r"36 images as raw of 16 pixels: need 2\.\d MB, [\d.]+ [GM]B free", err)
    from_folder = weights(place, "data=image_folder", f"data.root={root}", *TRAINING)
    from_prepared = weights(place, "data=prepared", f"data.root={dst}", *TRAINING)
    assert from_prepared == from_folder and sorted(from_prepared) == ["A2B", "baseA"]

    code, out, _ = call(place, "prepare", "--root", str(root), "--out", str(dst), "--size", "16")
    assert code == 0 and "already complete: nothing to do" in out
    assert list(place.iterdir()) == []

    code, out, err = call(place, "prepare", "--verify", str(dst))
    assert code == 0, err
    assert out.splitlines()[0] == lines[0]
    assert re.fullmatch(r"undamaged: all bytes read in 0:\d\d", out.splitlines()[1])
    with (dst / "train" / "images.u8").open("r+b") as file:
        file.write(b"no")
    code, out, err = call(place, "prepare", "--verify", str(dst))
    assert (code, out) == (1, "")
    assert err.splitlines() == [
        "damaged: train: 32 images, ant/0.png to dog/7.png",
        f"error: {dst} is damaged: copy it again, or prepare the images again",
    ]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_stopped_process_leaves_no_worker_and_resumes(
    place: Path, tmp_path: Path, number: signal.Signals
):
    picture(tmp_path / "one.png", 1, side=100)
    root, dst = links(tmp_path / "images", tmp_path / "one.png", 1200), tmp_path / "made"
    arguments = ["prepare", "--root", str(root), "--out", str(dst), "--size", "90", "--jobs", "2"]
    partial, journal = tmp_path / ".made.partial", tmp_path / ".made.partial" / "journal.jsonl"
    process = start(place, *arguments, new=True)
    deadline = time.monotonic() + 300
    while not (journal.exists() and journal.read_bytes().count(b"\n") >= 2):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.005)
    family = children(process.pid)
    assert len(family) == 2
    process.send_signal(number)
    _, err = process.communicate(timeout=300)
    if number == signal.SIGKILL:
        assert process.returncode == -number
    else:
        assert process.returncode == 75, err
        assert re.search(
            rf"^stopped by {number.name}: about \d+ of 1204 images are finished and kept in "
            rf"{partial}: run the command again to resume$",
            err,
            re.MULTILINE,
        ), err
    deadline = time.monotonic() + 300
    while any(map(alive, family)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert not dst.exists()
    done = sum(min(128, 1200 - json.loads(line)["first"]) if json.loads(line)["subset"] == "train"
               else 4 for line in journal.read_text().splitlines())  # fmt: skip
    code, out, err = call(place, *arguments)
    assert code == 0, err
    assert f"\n{1204 - done} images prepared in " in out or "nothing to do" in out
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def children(pid: int) -> list[int]:
    """The processes that descend from one."""
    descendants = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if parent == pid:
            descendants += [int(folder.name), *children(int(folder.name))]
    return descendants


def alive(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_worker_that_is_killed_is_reported(place: Path, tmp_path: Path):
    picture(tmp_path / "one.png", 1, side=100)
    root, dst = links(tmp_path / "images", tmp_path / "one.png", 1200), tmp_path / "made"
    arguments = ["prepare", "--root", str(root), "--out", str(dst), "--size", "90", "--jobs", "1"]
    process = start(place, *arguments, new=True)
    journal, deadline = tmp_path / ".made.partial" / "journal.jsonl", time.monotonic() + 300
    while not (journal.exists() and journal.stat().st_size):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.005)
    os.kill(children(process.pid)[0], signal.SIGKILL)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 1
    assert err.strip().splitlines()[-1] == (
        "error: a worker process was killed, perhaps because memory ran out: finished images are "
        "kept; run the command again, with fewer --jobs if this happens again"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: --root, --out; usage: "),
        (["--verify", "DIR"], "--verify takes no other flags; usage: "),
        (["--verify=DIR", "--skip-unreadable"], "--verify takes no other flags; usage: "),
        (["--size", "0"], "--size 0 must be at least 1"),
        (["--jobs", "0"], "--jobs 0 must be at least 1"),
        (["--codec", "png"], "argument --codec: invalid choice: 'png' (choose from 'raw', 'jpeg')"),
        (["--quality", "90"], "--quality 90 applies only to --codec jpeg: omit it, or add that"),
        (["--codec", "jpeg", "--quality", "101"], "--quality 101 must be between 1 and 100"),
        (["--val", "val", "--holdout", "0.2"], "--val and --holdout exclude each other: "),
        (["--holdout", "1"], "--holdout 1.0 must be between 0 and 1"),
        (["--val", "test"], "--root ROOT has no folder 'test' (it has train, val): name the "
         "validation folder with --val NAME, or hold out a part with --holdout 0.2"),
    ],
)  # fmt: skip
def test_wrong_use_is_refused(place: Path, tmp_path: Path, arguments: list[str], message: str):
    root = images(tmp_path / "images", count=1)
    folders = ["--root", str(root), "--out", str(tmp_path / "made")] if arguments else []
    error = refused(place, "prepare", *folders, *arguments)
    assert error.startswith(message.replace("ROOT", str(root)))
    assert not (tmp_path / "made").exists() and not (tmp_path / ".made.partial").exists()


def test_the_wrong_size_is_refused_before_anything_is_trained(place: Path, tmp_path: Path):
    root, dst = images(tmp_path / "images", count=2), tmp_path / "made"
    assert call(place, "prepare", "--root", str(root), "--out", str(dst), "--size", "16")[0] == 0
    message = refused(place, "data=prepared", f"data.root={dst}", "+split=random", "transfer.n=1")
    assert message.startswith("data.size=256 ") and "set data.size=16" in message


def test_memory_is_flat_in_the_number_of_images(place: Path, tmp_path: Path):
    code = (
        "import resource, sys; from transferlab.__main__ import main; code = main(sys.argv[1:])\n"
        "print(code, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    picture(tmp_path / "one.png", 1)
    peaks = {}
    for count in (100, 3000):
        root = links(tmp_path / f"images{count}", tmp_path / "one.png", count)
        arguments = ["prepare", "--root", str(root), "--out", str(tmp_path / f"made{count}"),
                 "--size", "8", "--codec", "jpeg", "--jobs", "1"]  # fmt: skip
        command = [sys.executable, "-c", code, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, cwd=place,
                              env=environment(place), check=True)  # fmt: skip
        status, peaks[count] = map(int, done.stdout.splitlines()[-1].split())
        assert status == 0
    assert peaks[3000] - peaks[100] < 6000  # kB; the arrays of so many take some 300
