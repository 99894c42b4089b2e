"""Real trainings of some steps each: packs, interruptions, failures."""

import json
import os
import shutil
import signal
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from support.stopping import stop_after

from transferlab import store
from transferlab.experiment.config import RunConfig
from transferlab.experiment.resolve import resolve, resolve_all
from transferlab.experiment.run import Run
from transferlab.launch import inline
from transferlab.launch.inline import FinishedRun
from transferlab.runtime import files
from transferlab.runtime.devices import present
from transferlab.training.classifier import load_run
from transferlab.training.datamodule import HalfDataModule

Compose = Callable[..., RunConfig]
SMALL = ("+split=random", "data.size=16", "data.crop=16", "train.epochs=null")
SHORT = (*SMALL, "train.total_steps=24", "train.val_every=8", "train.batch_size=8")


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The override of a store of runs that nothing interrupted, each trained once."""
    return f"runtime.store={tmp_path_factory.mktemp('reference')}"


def carry_out(config: RunConfig) -> FinishedRun:
    return inline.carry_out([resolve(config)])[-1]


def copy_base(run: Run, reference: str) -> None:
    """The run's base from the store of `reference` into its own."""
    assert run.base is not None
    if not run.base.folder.exists():
        finished = Path(reference.partition("=")[2]) / run.base.folder.name
        shutil.copytree(finished, run.base.folder)


def train_together(runs: Sequence[Run]) -> None:
    """Train the runs in one pack; their bases are in the store."""
    from transferlab.runtime import signals
    from transferlab.training.run import train_pack

    with signals.watch() as stop:
        train_pack(runs, stop)


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def test_a_pack_of_four_gives_the_bits_of_the_four_alone(config: Compose, reference: str):
    variants = ["A2B", "A5B", "B5B", "A5B+"]

    def configs(*in_store: str) -> list[RunConfig]:
        return [config(*SHORT, *in_store, f"transfer.variant={v}") for v in variants]

    alone = {v: carry_out(c) for v, c in zip(variants, configs(reference), strict=True)}
    packed = dict(zip(variants, resolve_all(configs()), strict=True))
    for run in packed.values():
        copy_base(run, reference)
    train_together(list(packed.values()))
    for variant in variants:
        result = store.read_result(packed[variant])
        assert result is not None
        assert result["weights_sha256"] == alone[variant].result["weights_sha256"]
        assert result["metrics"] == alone[variant].result["metrics"]
        assert result["inference_sha256"] == alone[variant].result["inference_sha256"]
        assert (result["pack_size"], alone[variant].result["pack_size"]) == (4, 1)
        assert packed[variant].id == alone[variant].run.id
    digests = {alone[v].result["weights_sha256"] for v in variants}
    assert len(digests) == 4  # and they are four different networks
    means = {variant: packed[variant].mean_file.read_bytes() for variant in variants}
    assert means["A2B"] == means["A5B"] == means["A5B+"] != means["B5B"]


def test_a_second_call_trains_nothing_and_a_base_serves_all(config: Compose):
    first = inline.carry_out([resolve(config(*SHORT, "transfer.n=3"))])
    again = inline.carry_out([resolve(config(*SHORT, "transfer.n=3"))])
    deeper = inline.carry_out([resolve(config(*SHORT, "transfer.n=4"))])
    assert [(o.run.label, o.reused) for o in first] == [("baseA", False), ("A3B", False)]
    assert [(o.run.label, o.reused) for o in again] == [("baseA", True), ("A3B", True)]
    assert [(o.run.label, o.reused) for o in deeper] == [("baseA", True), ("A4B", False)]
    assert again[1].result == first[1].result


def test_frozen_stages_are_the_bases_and_the_rest_is_not(config: Compose):
    base, frozen = inline.carry_out([resolve(config(*SHORT, "transfer.n=3"))])
    kept = carry_out(config(*SHORT, "transfer.n=3", "transfer.keep=2"))
    random = carry_out(config(*SHORT, "transfer.variant=R2B"))
    weights = {o.run.label: load_file(o.run.weights_file) for o in (base, frozen, kept, random)}
    same = {
        label: [
            stage
            for stage in ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7")
            if all(
                torch.equal(own[name], weights["baseA"][name])
                for name in own
                if name.startswith(stage)
            )
        ]
        for label, own in weights.items()
    }
    assert same["A3B"] == ["conv1", "conv2", "conv3"]
    assert same["A3B-keep2"] == ["conv1", "conv2", "conv3"]  # 4 and 5 were copied, and learned
    assert same["R2B"] == []
    assert [o.result["prefix_unchanged"] for o in (base, frozen, kept, random)] == [
        None,
        True,
        True,
        True,
    ]
    # conv4 started from the base's: it is nearer to it than a fresh one is
    distance = {
        label: float((own["conv4.conv.weight"] - weights["baseA"]["conv4.conv.weight"]).norm())
        for label, own in weights.items()
    }
    assert distance["A3B-keep2"] < 0.5 * distance["A3B"]


def test_always_the_larger_of_two_unequal_classes_is_at_chance(config: Compose, tmp_path: Path):
    """Images that are all the same, nine of ten of one class: 0.9 is what a guess has."""
    for subset in ("train", "val"):
        for name, count in {"a": 45, "b": 5, "c": 45, "d": 5}.items():
            folder = tmp_path / "images" / subset / name
            folder.mkdir(parents=True)
            for number in range(count):
                Image.new("L", (16, 16), 128).save(folder / f"{number}.png")
    of_folder = ("data=image_folder", f"data.root={tmp_path}/images", "split.seed=1")
    recipe = ("train.total_steps=12", "transfer.variant=baseB")
    outcome = carry_out(config(*SMALL[:1], *of_folder, *SMALL[1:], *recipe))

    assert len(set(outcome.run.classes) & {"a", "c"}) == 1  # a large class, and a small one
    record = outcome.result
    assert record["metrics"]["top1_final"] == record["metrics"]["chance"] == 0.9
    assert record["val_images"] == 50 and record["learned"] is False


def test_a_record_holds_what_the_design_names(config: Compose):
    longer = (*SMALL, "train.total_steps=90", "train.val_every=30")
    outcome = carry_out(config(*longer, "transfer.variant=baseB"))
    record = json.loads(outcome.run.result_file.read_text())
    assert record["label"] == "baseB" and record["steps"] == 90 and record["images"] == 2880
    assert record["pack_size"] == 1
    cost = record["cost"]
    assert (cost["learning_parameters"], cost["step_images"]) == (611_525, 32)
    assert cost["training_macs"] == 3 * 5_286_400 - 614_400
    assert cost["step_s"] > 0 and cost["peak_bytes"] > 3 * 4 * 611_525
    assert record["metrics"]["chance"] == 36 / 179 and record["learned"] is True
    assert 0.2 < record["metrics"]["top1_final"] <= record["metrics"]["top1_peak"] <= 1
    lines = outcome.run.metrics_file.read_text().splitlines()
    assert lines[0] == (
        "step,epoch,lr,train/loss,train/accuracy,val/loss,val/accuracy,time_s,images_per_s"
    )
    assert [line.split(",")[0] for line in lines[1:]] == ["30", "60", "90"]
    accuracies = [float(line.split(",")[6]) for line in lines[1:]]
    assert record["metrics"]["top1_best10"] is None  # of three validations
    assert record["metrics"]["top1_final"] == accuracies[-1]
    assert {"versions", "commit", "dirty", "host", "device", "time_s", "images_per_s"} <= set(
        record
    )
    assert record["weights_sha256"] == files.sha256(outcome.run.weights_file)
    left = sorted(path.name for path in outcome.run.folder.iterdir())
    assert left == [
        "config.json", "inference.json", "lock", "log.txt", "mean.safetensors", "metrics.csv",
        "result.json", "weights.safetensors",
    ]  # fmt: skip


def test_bases_and_selffers_start_from_different_heads(config: Compose):
    from transferlab.training import build

    heads = []
    for variant in ("baseB", "R3B", "R2B"):
        subject = build.subject(resolve(config("+split=random", f"transfer.variant={variant}")))
        heads.append(build.fresh(subject).state_dict()["fc8.fc.weight"])
    assert not torch.equal(heads[0], heads[1]) and not torch.equal(heads[1], heads[2])


def test_a_nan_loss_fails_the_run_with_its_step_and_spares_the_others(config: Compose, tmp_path):
    from transferlab.errors import RunFailed

    bad = config(*SHORT, "transfer.variant=baseB", "train.lr=1e30", "train.warmup=0")
    with pytest.raises(RunFailed, match=r"baseB: the loss is nan or infinite at step [2-4];"):
        carry_out(bad)
    run = resolve(bad)
    assert not run.result_file.exists()
    assert "nan or infinite at step" in json.loads(run.failure_file.read_text())["error"]
    assert "ERROR baseB: the loss is nan or infinite at step" in run.log_file.read_text()

    carry_out(config(*SHORT, "transfer.variant=baseA"))
    poisoned = resolve(config(*SHORT, "transfer.variant=R2B"))
    sound = resolve(config(*SHORT, "transfer.variant=A3B"))
    (*_, alone) = inline.carry_out([sound.in_store(tmp_path / "alone")])
    with poison("R2B"), pytest.raises(RunFailed, match=r"R2B: .* at step 5;"):
        train_together([poisoned, sound])
    result = store.read_result(sound)
    assert result is not None and store.read_result(poisoned) is None
    assert result["weights_sha256"] == alone.result["weights_sha256"]
    assert poisoned.failure_file.exists() and not sound.failure_file.exists()


def test_a_nan_that_only_the_last_validation_sees_fails_the_run(
    config: Compose, monkeypatch: pytest.MonkeyPatch
):
    from transferlab.errors import RunFailed
    from transferlab.training.pack_module import PackModule

    run_config = config(*SHORT, "transfer.variant=baseB")
    original = PackModule.training_step

    def training_step(module, batch, batch_idx):
        original(module, batch, batch_idx)
        if module.step == 24:  # as an update that overflows would
            torch.nn.init.constant_(module.networks[0][-1].fc.bias, float("nan"))

    monkeypatch.setattr(PackModule, "training_step", training_step)
    with pytest.raises(RunFailed, match="baseB: the loss is nan or infinite at step 24;"):
        carry_out(run_config)
    assert not resolve(run_config).result_file.exists()


class poison:
    """Makes the weights of one member of any pack nan before its fifth step."""

    def __init__(self, label: str) -> None:
        from transferlab.training.pack_module import PackModule

        self.label, self.module = label, PackModule
        self.original = PackModule.training_step

    def __enter__(self) -> None:
        def step(module, batch, batch_idx):
            if module.step == 4:
                for member in module.members:
                    if member.name == self.label:
                        torch.nn.init.constant_(member.network[-1].fc.bias, float("nan"))
            return self.original(module, batch, batch_idx)

        self.module.training_step = step  # type: ignore[method-assign]

    def __exit__(self, *error: object) -> None:
        self.module.training_step = self.original  # type: ignore[method-assign]


def test_a_pack_is_cut_up_again_where_its_members_are_at_different_steps(
    config: Compose, reference: str, tmp_path: Path
):
    from transferlab.training import checkpoints

    variants = ("A2B", "A5B")
    whole = [carry_out(config(*SHORT, reference, f"transfer.variant={v}")) for v in variants]
    pair = [resolve(config(*SHORT, f"transfer.variant={v}")) for v in variants]
    copy_base(pair[0], reference)
    with stop_after(11):
        train_together(pair)
    assert [checkpoints.load(c).step for c in pair] == [11, 11]  # type: ignore[union-attr]
    with stop_after(14):
        train_together(pair[:1])
    assert [checkpoints.load(c).step for c in pair] == [14, 11]  # type: ignore[union-attr]
    train_together(pair)
    for run, alone in zip(pair, whole, strict=True):
        result = store.read_result(run)
        assert result is not None
        assert result["weights_sha256"] == alone.result["weights_sha256"]
        curves = [
            [line.split(",")[:7] for line in r.metrics_file.read_text().splitlines()]
            for r in (run, alone.run)
        ]
        assert curves[0] == curves[1]


def test_mirrors_get_the_curve_and_are_closed_with_the_exit_code(
    config: Compose, monkeypatch: pytest.MonkeyPatch
):
    from transferlab.errors import RunFailed
    from transferlab.store import mirrors

    entries: list[object] = []

    class Fake:
        def log(self, row: mirrors.Row) -> None:
            entries.append(row["step"])

        def close(self, exit_code: int) -> None:
            entries.append(f"exit {exit_code}")

    monkeypatch.setattr(mirrors, "mirror", lambda run: Fake())
    base = config(*SHORT, "transfer.variant=baseA")
    with stop_after(11):
        carry_out(base)
    assert entries == [8, "exit 75"]
    entries.clear()
    carry_out(base)
    assert entries == [16, 24, "exit 0"]
    entries.clear()
    with pytest.raises(RunFailed):
        carry_out(config(*SHORT, "transfer.variant=baseB", "train.lr=1e30", "train.warmup=0"))
    assert entries == ["exit 1"]


def test_an_error_between_two_steps_loses_no_step(config: Compose, reference: str, tmp_path: Path):
    from PIL import Image

    from transferlab.errors import UserError
    from transferlab.training import checkpoints

    for subset in ("train", "val"):
        for number in range(80):
            name = f"{'abcd'[number % 4]}/{number:02}.png"
            (tmp_path / subset / name).parent.mkdir(parents=True, exist_ok=True)
            grey = Image.new("RGB", (16, 16), (60 * (number % 4), number, 9))
            grey.save(tmp_path / subset / name)
    use = (
        *SMALL, "data=image_folder", f"data.root={tmp_path}", "data.size=16", "data.crop=16",
        "train.total_steps=12", "train.val_every=12", "train.batch_size=4", "runtime.workers=1",
        "transfer.variant=baseA",
    )  # fmt: skip
    run = resolve(config(*use, reference))
    (whole,) = inline.carry_out([run])
    resumed = run.in_store(tmp_path / "runs")
    # Damaged after the mean image was made (it is cached), so that training meets it
    victim = next(iter(sorted((tmp_path / "train").glob("[abcd]/*.png"), key=_used_late(run))))
    content = victim.read_bytes()
    victim.write_bytes(content[:60])
    with pytest.raises(UserError, match=f"{victim} cannot be read: .*; repair or delete it"):
        inline.carry_out([resumed])
    state = checkpoints.load(resumed)
    assert state is not None and state.step >= 1
    assert f"ERROR {victim} cannot be read" in resumed.log_file.read_text()
    victim.write_bytes(content)
    (outcome,) = inline.carry_out([resumed])
    assert outcome.result["weights_sha256"] == whole.result["weights_sha256"]


def test_a_run_on_rectangles_of_drawn_sides_resumes_and_its_folder_has_the_validations_inputs(
    config: Compose, reference: str, tmp_path: Path
):
    noise = np.random.default_rng(0)
    for number in range(32):
        path = (
            tmp_path / ("val" if number >= 24 else "train") / f"{'abcd'[number % 4]}/{number}.png"
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = noise.integers(0, 256, (20 + number % 5, 26 - number % 7, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    use = (
        *SMALL, "data=image_folder", f"data.root={tmp_path}", "data.resize=side", "data.size=18",
        "data.crop=16", "data.scales=[16,24]", "data.pca=0.1", "data.grey=true",
        "train.total_steps=6", "train.val_every=6", "train.batch_size=4", "train.mirror=true",
        "runtime.workers=1", "transfer.variant=baseB",
    )  # fmt: skip
    run = resolve(config(*use))
    whole = carry_out(config(*use, reference))
    with stop_after(2):
        inline.carry_out([run])
    (resumed,) = inline.carry_out([run])
    assert resumed.result["weights_sha256"] == whole.result["weights_sha256"]

    files = sorted((tmp_path / "val").glob(f"[{''.join(run.classes)}]/*"))
    inputs = load_run(run.folder).preprocess(files)
    images = [word for word in use if word.startswith("data.") or "cache" in word]
    module = HalfDataModule("image_folder", half="B", overrides=images)
    (batch,) = module.val_dataloader()
    expected, _ = module.on_after_batch_transfer(batch, 0)
    assert load_file(run.mean_file)["mean"].shape == (3,)
    assert torch.equal(inputs, expected)


def _used_late(run: Run) -> Callable[[Path], int]:
    """Sorts the files of half A's training images by when they are first used, last ones first."""
    from transferlab.data import sampling
    from transferlab.training import inputs

    half = inputs.half(run, inputs.load_images(run.config), "A")
    first = {
        half.train.subset.name(int(half.train.positions[index])): when
        for when, index in enumerate(
            sampling.permutation(inputs.image_seed(run), 0, len(half.train))
        )
    }
    return lambda path: -first.get(str(path), -1)


def test_a_run_stopped_in_a_validation_repeats_it_and_resumes(
    config: Compose, reference: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from transferlab.errors import Interrupted
    from transferlab.training import checkpoints
    from transferlab.training.pack_module import PackModule

    whole = carry_out(config(*SHORT, reference, "transfer.variant=baseA"))
    run_config = config(*SHORT, "transfer.variant=baseA")
    original, stops = PackModule.validation_step, [16, 24]

    def validation_step(module, batch, batch_idx):
        original(module, batch, batch_idx)
        if stops and module.step == stops[0]:
            stops.pop(0)
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(PackModule, "validation_step", validation_step)
    for step in (16, 24):
        with pytest.raises(Interrupted):
            carry_out(run_config)
        state = checkpoints.load(resolve(run_config))
        assert state is not None and (state.step, state.validated) == (step, False)
    outcome = carry_out(run_config)
    assert outcome.result["weights_sha256"] == whole.result["weights_sha256"]
    assert outcome.result["metrics"] == whole.result["metrics"]
    curves = [
        [line.split(",")[:7] for line in o.run.metrics_file.read_text().splitlines()]
        for o in (outcome, whole)
    ]
    assert curves[0] == curves[1] and len(curves[0]) == 4


# The reads of a training of 24 steps that a disk does not answer, and the step that is then saved:
# Lightning holds one batch back, and a run that has not made a step has nothing to save
@pytest.mark.parametrize(
    ("subset", "read", "step"), [("train", 1, None), ("train", 7, 5), ("val", 2, 8)]
)
def test_a_run_stopped_while_a_batch_is_awaited_saves_and_resumes(
    config: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    subset: str, read: int, step: int | None,
):  # fmt: skip
    from transferlab.data import ring
    from transferlab.data.half import View
    from transferlab.errors import Interrupted
    from transferlab.training import checkpoints
    from transferlab.training.callbacks.stop import Stop

    use = (*SHORT, "transfer.variant=baseA", "train.val_batch_size=30")
    whole = carry_out(config(*use, f"runtime.store={tmp_path}/whole"))
    answered, reads, original = threading.Event(), 0, View.read

    def hang(view, indices, out, *, crops=None, replace):
        nonlocal reads
        reads += replace == (subset == "train")
        if reads == read and replace == (subset == "train"):
            os.kill(os.getpid(), signal.SIGTERM)
            answered.wait(60)
        return original(view, indices, out, crops=crops, replace=replace)

    monkeypatch.setattr(ring, "LEAVE_S", 0.1)
    threads = set(threading.enumerate())
    with monkeypatch.context() as patch:
        patch.setattr(View, "read", hang)
        patch.setattr(Stop, "is_requested", lambda *_: False)  # after a step
        with pytest.raises(Interrupted):
            carry_out(config(*use))
        answered.set()
        for thread in set(threading.enumerate()) - threads:
            thread.join()
    state = checkpoints.load(resolve(config(*use)))
    assert (state and state.step) == step
    assert carry_out(config(*use)).result["weights_sha256"] == whole.result["weights_sha256"]


def test_a_run_whose_worker_is_killed_fails_with_its_state_saved_and_resumes(
    config: Compose, reference: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from transferlab.data import workers
    from transferlab.errors import RunFailed
    from transferlab.training import checkpoints
    from transferlab.training.pack_module import PackModule

    use = (*SHORT, "transfer.variant=baseA", "train.val_every=24")
    whole = carry_out(config(*use, reference))
    step = PackModule.training_step

    def kill(module, batch, batch_idx):
        for pool in pools:
            pool.kill()
        step(module, batch, batch_idx)

    pools: list[workers.Workers] = []
    enter = workers.Workers.__enter__
    monkeypatch.setattr(workers.Workers, "__enter__", lambda p: (pools.append(p), enter(p))[1])
    with monkeypatch.context() as patch:
        patch.setattr(PackModule, "training_step", kill)
        with pytest.raises(RunFailed, match="a worker process was killed.*runtime.workers=0"):
            carry_out(config(*use, "runtime.workers=1"))
    run = resolve(config(*use))
    state = checkpoints.load(run)
    assert state is not None and 1 <= state.step < 24
    assert "a worker process was killed" in json.loads(run.failure_file.read_text())["error"]
    outcome = carry_out(config(*use, "runtime.workers=2"))
    assert outcome.result["weights_sha256"] == whole.result["weights_sha256"]


def test_training_leaves_the_handlers_of_signals_alone(config: Compose):
    from transferlab.runtime import signals
    from transferlab.training.trainer import build_trainer

    trainer = build_trainer(config(*SHORT, "transfer.variant=baseA"), [], intervals=1)
    with signals.watch() as stop:
        trainer._signal_connector.register_signal_handlers()
        assert {signal.getsignal(number) for number in signals.WATCHED} == {stop}
        trainer._signal_connector.teardown()
        assert {signal.getsignal(number) for number in signals.WATCHED} == {stop}


def test_what_ended_one_of_several_processes_keeps_its_kind():
    from transferlab.errors import RunFailed, UserError
    from transferlab.training import trainer

    trace = "\n\n-- Process 1 terminated with the following error:\nTraceback ...\n"
    bad_file = trainer.reason(RuntimeError(trace + "transferlab.errors.UserError: a.png is: empty"))
    assert type(bad_file) is UserError and str(bad_file) == "a.png is: empty"
    nan = trainer.reason(RuntimeError(trace + "transferlab.errors.RunFailed: A3B: the loss is nan"))
    assert type(nan) is RunFailed and str(nan) == "A3B: the loss is nan"
    lost = trainer.reason(RuntimeError(trace + "transferlab.data.workers.WorkerLost: was killed"))
    assert type(lost) is RunFailed and str(lost) == "was killed"
    other = trainer.reason(RuntimeError(trace + "ZeroDivisionError: division by zero"))
    assert str(other) == "training ended early: ZeroDivisionError: division by zero"


GONE = (
    "another process of this run died, and the others cannot continue without it: unless the log "
    "has another reason, it was killed, perhaps because memory ran out"
)


@pytest.mark.parametrize(
    "message",
    [
        "[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:561] Connection closed by peer",
        "[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:545] Read error: Connection reset",
        "NCCL error: ncclRemoteError: A call failed possibly due to a network error or a remote",
        "\n\n-- Process 0 ...\nRuntimeError: [gloo/gloo/transport/tcp/pair.cc:561] Timed out",
    ],
)
def test_the_end_of_another_process_fails_the_run_in_our_words(
    config: Compose, monkeypatch: pytest.MonkeyPatch, message: str
):
    from transferlab.errors import RunFailed
    from transferlab.training.callbacks.checkpoint import RunCheckpoint

    def lose(*arguments: object) -> None:
        raise RuntimeError(message)

    monkeypatch.setattr(RunCheckpoint, "on_train_batch_end", lose)
    run_config = config(*SHORT, "transfer.variant=baseA")
    with pytest.raises(RunFailed) as failed:
        carry_out(run_config)
    assert str(failed.value) == GONE
    run = resolve(run_config)
    assert json.loads(run.failure_file.read_text())["error"] == GONE
    assert "Traceback" not in run.log_file.read_text()


def test_a_defect_leaves_its_trace_in_the_log(config: Compose, monkeypatch: pytest.MonkeyPatch):
    from transferlab.training.pack_module import PackModule

    run_config = config(*SHORT, "transfer.variant=baseA")
    monkeypatch.setattr(PackModule, "validation_step", lambda *arguments: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        carry_out(run_config)
    text = resolve(run_config).log_file.read_text()
    assert "training ended by a bug" in text and "ZeroDivisionError: division by zero" in text


@pytest.mark.parametrize(("accelerator", "devices"), [("mps", 1), ("cuda", 99)])
def test_a_missing_device_is_refused(config: Compose, accelerator: str, devices: int):
    from transferlab.errors import UserError

    run_config = config(
        *SHORT, "transfer.variant=baseA", f"runtime.accelerator={accelerator}",
        f"runtime.devices={devices}", "train.batch_size=99",
    )  # fmt: skip
    message = (
        f"runtime.accelerator={accelerator} with runtime.devices={devices} is not available on "
        f"this machine, which has {present()}"
    )
    with pytest.raises(UserError, match=f"^{message}$"):
        carry_out(run_config)
    assert not resolve(run_config).folder.exists()
