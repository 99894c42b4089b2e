"""The command line as a process: for tests that act as a user does.

The process is forked from one that has imported everything, unless a test asks for a new one.
"""

import os
import subprocess
import sys
from pathlib import Path

from PIL import Image
from support import forked, torch

LIGHT = (
    "status",
    "results",
    "report",
    "retry",
    "cancel",
    "prepare",
    "--help",
    "--hydra-help",
    "--cfg",
)
SMALL = ["+split=random", "data.size=16", "data.crop=16", "runtime.threads=1"]
TINY = [*SMALL, "train.epochs=null", "train.total_steps=20", "train.val_every=10",
        "train.batch_size=8"]  # fmt: skip


def environment(place: Path, **more: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("TRANSFERLAB", "WANDB"))}
    places = {
        "TRANSFERLAB_STORE": str(place.parent / "store"),
        "TRANSFERLAB_CACHE": str(place.parent / "cache"),
    }
    return kept | places | more


def start(
    place: Path, *arguments: str, new: bool = False, stderr: int = subprocess.PIPE, **more: str
) -> subprocess.Popen[str]:
    """`python -m transferlab ARGUMENTS`; with `new`, in an interpreter of its own."""
    server = forked.light_server if arguments[0] in LIGHT else forked.training_server
    if new and arguments[0] not in LIGHT:
        torch.require()
    return (subprocess.Popen if new else forked.Popen)(
        [sys.executable, "-m", "transferlab", *arguments],
        cwd=place,
        env=environment(place, **({} if new else {forked.SOCKET: server()}), **more),
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    )


def call(place: Path, *arguments: str, new: bool = False, **more: str) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of `python -m transferlab ARGUMENTS`."""
    process = start(place, *arguments, new=new, **more)
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def read_until(process: subprocess.Popen[str], word: str) -> str:
    """The first line on stderr with `word` in it."""
    assert process.stderr is not None
    for line in process.stderr:
        if word in line:
            return line
    raise AssertionError(f"no line with {word!r}")


def refused(place: Path, *arguments: str) -> str:
    """The one-line message of a usage error, which must have no other effect."""
    code, out, err = call(place, *arguments)
    assert (code, out) == (2, ""), err
    assert "Traceback" not in err
    lines = err.strip().splitlines()
    assert lines[-1].startswith("error: "), err
    assert list(place.iterdir()) == []
    return lines[-1].removeprefix("error: ")


def images(root: Path, subset: str, classes: dict[str, int]) -> Path:
    """An image folder of coloured 8-pixel squares: class name -> number of images."""
    for grey, (name, count) in enumerate(classes.items()):
        folder = root / subset / name
        folder.mkdir(parents=True)
        for number in range(count):
            colour = (40 * grey % 256, (number * 20) % 256, 128)
            Image.new("RGB", (8, 8), colour).save(folder / f"{number}.png")
    return root
