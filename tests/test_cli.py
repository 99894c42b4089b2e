"""The front door as a user meets it: real processes, their output and their exit status."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

SMALL = ["+split=random", "data.size=16", "data.crop=16", "runtime.threads=1"]
TINY = [*SMALL, "train.epochs=null", "train.total_steps=20", "train.val_every=10"]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """The folder where the user stands."""
    (tmp_path / "here").mkdir()
    return tmp_path / "here"


def environment(place: Path, **more: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("TRANSFERLAB", "WANDB"))}
    places = {
        "TRANSFERLAB_STORE": str(place.parent / "store"),
        "TRANSFERLAB_CACHE": str(place.parent / "cache"),
    }
    return kept | places | more


def start(place: Path, *arguments: str, **more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "transferlab", *arguments],
        cwd=place,
        env=environment(place, **more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def call(place: Path, *arguments: str, **more: str) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of `python -m transferlab ARGUMENTS`."""
    process = start(place, *arguments, **more)
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
    """The one line in which a wrong use is refused; nothing else may come of it."""
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


# --- a run, from the outside --------------------------------------------------------------------


def test_a_run_its_table_and_the_second_call(place: Path):
    code, out, err = call(place, *TINY, "transfer.n=3")
    assert code == 0, err
    lines = out.splitlines()
    assert re.split(r"  +", lines[0]) == [
        "run", "top-1", "vs chance", "vs base", "steps", "time", "folder",
    ]  # fmt: skip
    assert [line.split()[0] for line in lines[2:]] == ["baseA", "A3B"]
    assert "baseA  to be trained" in err and "A3B  to be trained" in err
    assert re.search(r"A3B  step 20/20  epoch 0\.9  train/loss .* left", err)
    assert "next, the base of the same target" in err
    command = err.strip().splitlines()[-1].split("python -m transferlab ")[1]
    assert command == " ".join([*TINY, "transfer.variant=base", "transfer.target=B"])
    assert list(place.iterdir()) == []  # nothing appears where the user stands
    assert sorted(p.name for p in place.parent.iterdir()) == ["cache", "here", "store"]

    folder = place.parent / "store"
    before = {p: p.stat().st_mtime_ns for p in folder.glob("*/*")}
    started = time.monotonic()
    code, out, err = call(place, *TINY, "transfer.n=3")
    assert code == 0 and time.monotonic() - started < 15
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


def test_help_fits_a_screen_and_takes_no_torch_and_under_a_second(place: Path):
    started = time.monotonic()
    code, out, _ = call(place, "--help")
    assert time.monotonic() - started < 1
    assert code == 0 and len(out.splitlines()) <= 40
    for word in ("run", "+split", "image_folder", "yosinski2014", "transfer.n", "--hydra-help"):
        assert word in out
    assert out.count("  python -m transferlab") == 3
    code, out, _ = call(place, "--hydra-help")
    assert code == 0 and "--multirun" in out
    code, out, _ = call(place, "--cfg", "job", "+split=random")
    assert code == 0 and "lr_factor" in out


def test_multirun_trains_each_and_one_failure_does_not_stop_the_rest(place: Path):
    code, out, err = call(place, "-m", *TINY, "transfer.variant=baseA,A9B,R1A")
    assert code == 2
    assert "transfer.n=9 is not a cut point of alexnet_small (8 stages): choose 0..7" in err
    assert [line.split()[0] for line in out.splitlines() if line[:1] in "bR"] == ["baseA", "R1A"]
    assert list(place.iterdir()) == []


def test_ctrl_c_and_sigterm_save_say_how_to_go_on_and_exit_75(place: Path):
    long = [*SMALL, "train.epochs=null", "train.total_steps=400", "train.val_every=10"]
    for number in (signal.SIGINT, signal.SIGTERM):
        process = start(place, *long, "transfer.variant=baseA")
        read_until(process, "  step ")
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 75, err
        assert "give the same command to go on from there" in err and "Traceback" not in err
        (folder,) = (place.parent / "store").iterdir()
        assert (folder / "last.ckpt").exists() and not (folder / "result.json").exists()
    code, out, err = call(place, *long, "transfer.variant=baseA")
    assert code == 0 and "baseA  goes on from its checkpoint" in err
    resumed = json.loads((folder / "result.json").read_text())
    other = {"TRANSFERLAB_STORE": str(place.parent / "other")}
    assert call(place, *long, "transfer.variant=baseA", **other)[0] == 0
    whole = json.loads((place.parent / "other" / folder.name / "result.json").read_text())
    assert resumed["weights_sha256"] == whole["weights_sha256"]


def test_two_processes_that_want_one_run_train_it_once(place: Path):
    long = [*SMALL, "train.epochs=null", "train.total_steps=150", "train.val_every=10"]
    first = start(place, *long, "transfer.variant=baseA")
    read_until(first, "  step ")
    first.send_signal(signal.SIGSTOP)
    second = start(place, *long, "transfer.variant=baseA")
    line = read_until(second, "waiting")
    assert re.fullmatch(rf"baseA  waiting: process {first.pid} on \S+ is training it\n", line)
    first.send_signal(signal.SIGCONT)
    assert "  step " in first.communicate(timeout=120)[1]
    assert "  step " not in second.communicate(timeout=120)[1]  # it trained nothing
    assert (first.returncode, second.returncode) == (0, 0)


def test_a_dead_owner_is_noticed(place: Path):
    long = [*SMALL, "train.epochs=null", "train.total_steps=100", "train.val_every=10"]
    first = start(place, *long, "transfer.variant=baseA")
    read_until(first, "  step ")
    first.kill()
    first.communicate(timeout=60)
    code, _, err = call(place, *long, "transfer.variant=baseA")
    assert code == 0 and "goes on from its checkpoint" in err and "waiting" not in err


def test_two_cpu_processes_share_the_global_batch(place: Path):
    recipe = ["train.epochs=8", "transfer.variant=baseA"]
    code, _, err = call(place, *SMALL, *recipe)
    assert code == 0, err
    (alone,) = (place.parent / "store").glob("*/result.json")
    other = {"TRANSFERLAB_STORE": str(place.parent / "ddp")}
    code, out, err = call(
        place, *SMALL, *recipe, "runtime.devices=2", "runtime.accelerator=cpu", **other
    )
    assert code == 0, err
    (shared,) = (place.parent / "ddp").glob("*/result.json")
    one, two = (json.loads(path.read_text()) for path in (alone, shared))
    assert one["id"] == two["id"] and one["images"] == two["images"]
    assert one["steps"] == two["steps"]
    assert abs(one["metrics"]["top1_final"] - two["metrics"]["top1_final"]) < 0.06
    assert two["metrics"]["top1_final"] > 0.9
    assert err.count("  step ") == 8  # one line an epoch, not two


def test_several_processes_are_interrupted_as_one_and_one_goes_on(place: Path):
    long = [*SMALL, "train.epochs=null", "train.total_steps=300", "train.val_every=20"]
    several = ["runtime.devices=2", "runtime.accelerator=cpu"]
    process = start(place, *long, "transfer.variant=baseA", *several)
    read_until(process, "  step ")
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 75, err
    assert "Traceback" not in err and "give the same command to go on" in err
    (folder,) = (place.parent / "store").iterdir()
    assert (folder / "last.ckpt").exists() and not (folder / "owner.json").exists()
    code, _, err = call(place, *long, "transfer.variant=baseA")
    assert code == 0 and "baseA  goes on from its checkpoint" in err and "step 20/" not in err


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


# --- wrong use ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["transfer.n=3"], "no split is given: choose +split=random or +split=manmade_natural"),
        (
            ["+split=randm", "transfer.n=3"],
            "split=randm is not there: did you mean random? choose one of manmade_natural, random "
            "(they live in conf/split/)",
        ),
        (
            ["+split=random", "model=alexnet_smal", "transfer.n=3"],
            "model=alexnet_smal is not there: did you mean alexnet_small? choose one of alexnet, "
            "alexnet_small (they live in conf/model/)",
        ),
        (
            ["+split=random", "data=digit", "transfer.n=3"],
            "data=digit is not there: did you mean digits? choose one of cifar10, cifar100, "
            "digits, image_folder, imagenet (they live in conf/data/)",
        ),
        (
            ["+split=random", "transfer.n=3", "train.lrr=1"],
            "train.lrr is not a key of a run: did you mean train.lr (it lives in conf/train/)?",
        ),
        (
            ["+split=random", "transfer.n=3", "+lr=1"],
            "lr is not a key of a run: did you mean train.lr (it lives in conf/train/)?",
        ),
        (
            ["+split=random", "transfer.n=three"],
            "transfer.n=three is text: need an integer or null",
        ),
        (
            ["+split=random", "transfer.n=2.5"],
            "transfer.n=2.5 is of type float: need an integer or null",
        ),
        (
            ["+split=random", "transfer.n=8"],
            "transfer.n=8 is not a cut point of alexnet_small (8 stages): choose 0..7",
        ),
        (
            ["+split=random", "transfer.variant=CnB", "transfer.n=1"],
            "transfer.variant=CnB is not a variant: choose one of base AnB BnB AnB+ BnB+ BnA AnA "
            "BnA+ AnA+ RnA RnB, or write the number in, as A3B+",
        ),
        (
            ["+split=random"],
            "transfer.n is not given: AnB needs it, as transfer.n=3",
        ),
        (
            ["+split=random", "model=alexnet", "transfer.n=3"],
            "data.crop=32 does not fit model=alexnet, which takes 227 pixels: set data.crop=227 "
            "and data.size=256, or use model=alexnet_small",
        ),
        (
            ["+split=random", "data=image_folder", "transfer.n=3"],
            "data.root is not given: the folder that holds train/CLASS/* and val/*",
        ),
        (
            ["+split=random", "data=image_folder", "data.root=/nowhere", "transfer.n=3"],
            "data.root=/nowhere is not a folder",
        ),
        (["trian"], "trian is not a command of this version: choose one of: run"),
    ],
)
def test_wrong_use_is_refused_in_one_line(place: Path, arguments: list[str], message: str):
    assert refused(place, *arguments) == message


def test_manmade_natural_needs_groups(place: Path):
    message = refused(place, "split=manmade_natural", "transfer.n=3")
    assert message.startswith("split=manmade_natural has no group for 10 of 10 classes (0, 1, 2")
    assert "classes.csv with the columns class,group" in message


def test_an_image_folder_that_is_not_sound_is_refused(place: Path, tmp_path: Path):
    four = {"a": 2, "b": 2, "c": 2, "d": 2}
    use = ["+split=random", "data=image_folder", "transfer.n=1"]
    (tmp_path / "empty").mkdir()
    assert "has no folders in it" in refused(place, *use, f"data.root={tmp_path}/empty")
    images(tmp_path / "no_val", "train", four)
    images(tmp_path / "no_val", "test", four)
    message = refused(place, *use, f"data.root={tmp_path}/no_val")
    assert "has no folder 'val' (it has test, train): name it with data.val=NAME" in message
    images(tmp_path / "other", "train", four)
    images(tmp_path / "other", "val", {"a": 2, "b": 2, "c": 2, "e": 2})
    message = refused(place, *use, f"data.root={tmp_path}/other")
    assert "only in train: d; only in val: e" in message
    images(tmp_path / "few", "train", {"a": 2, "b": 2, "c": 2})
    images(tmp_path / "few", "val", {"a": 2, "b": 2, "c": 2})
    message = refused(place, *use, f"data.root={tmp_path}/few")
    assert message == "half A of split=random has 1 class: a half needs 2 or more"


def test_an_unreadable_image_ends_the_run_or_is_left_out_and_recorded(place: Path, tmp_path: Path):
    root = images(tmp_path / "data", "train", {name: 12 for name in "abcd"})
    images(root, "val", {name: 3 for name in "abcd"})
    bad = {f"{root}/train/{name}/5.png": b"" for name in "abcd"}
    bad |= {
        f"{root}/val/{name}/1.png": (root / f"val/{name}/1.png").read_bytes()[:40]
        for name in "abcd"
    }
    for path, content in bad.items():
        Path(path).write_bytes(content)
    use = [*TINY, "data=image_folder", f"data.root={root}", "data.size=16", "data.crop=16"]
    message = refused(place, *use, "transfer.variant=baseB")
    named = message.partition(" cannot be read")[0]
    assert named in bad and "the file is empty" in message and "data.unreadable=skip" in message

    code, _, err = call(place, *use, "transfer.variant=baseB", "data.unreadable=skip")
    assert code == 0, err
    (path,) = (place.parent / "store").glob("*/result.json")
    record = json.loads(path.read_text())
    assert len(record["skipped"]) == 4 and set(record["skipped"]) < set(bad)
    assert f"{record['skipped'][0]} cannot be read and is left out" in err


def test_a_store_that_cannot_be_written_is_refused(place: Path, tmp_path: Path):
    (tmp_path / "file").write_text("")
    message = refused(place, *TINY, "transfer.n=1", f"runtime.store={tmp_path}/file/store")
    assert "cannot be written: Not a directory; choose a store that can be written" in message


def test_damage_in_the_store_is_named_and_nothing_is_lost(place: Path):
    assert call(place, *TINY, "transfer.variant=baseA")[0] == 0
    (folder,) = (place.parent / "store").iterdir()
    result, weights = folder / "result.json", folder / "weights.safetensors"
    good, content = result.read_text(), weights.read_bytes()

    weights.write_bytes(content[:-1] + b"x")
    message = refused(place, *TINY, "transfer.n=1")
    assert str(weights) in message and "the weights were changed or damaged" in message
    weights.write_bytes(content)

    result.write_text(good[:100])
    message = refused(place, *TINY, "transfer.variant=baseA")
    assert message.startswith(f"{result} is damaged")
    assert result.read_text() == good[:100] and weights.read_bytes() == content
    result.write_text(good)

    for path in (result, folder / "config.json"):
        text = path.read_text()
        path.write_text(text.replace('"format": 1', '"format": 99'))
        if path != result:
            result.unlink()
        message = refused(place, *TINY, "transfer.variant=baseA")
        assert message.startswith(f"{path} was written by an incompatible version (format 99")
        path.write_text(text)


def test_traces_are_shown_on_request(place: Path):
    code, _, err = call(place, "transfer.n=3", TRANSFERLAB_DEBUG="1")
    assert code == 2 and "Traceback" in err
