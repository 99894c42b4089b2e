"""Runs that were killed, alone or together, end with the bits of those that were not."""

import random
import signal
from collections.abc import Callable
from pathlib import Path

import torch
from support import forked, killing

from transferlab import store
from transferlab.experiment.config import RunConfig
from transferlab.experiment.resolve import resolve
from transferlab.launch import inline
from transferlab.training import checkpoints

# A fine-tuned transfer: a base, momentum everywhere, dropout on, images that vary
RUN = (
    "+split=random",
    "transfer.variant=A3B+",
    "data.size=16",
    "data.crop=16",
    "data.pad=2",
    "data.pca=0.1",
    "data.holdout=0.05",  # few to validate on
    "train.batch_size=8",
    "train.epochs=null",
    "train.total_steps=60",
    "train.val_every=5",
    "runtime.threads=1",
)
MOMENTS = (
    "after a step", "during a checkpoint", "after a step", "after a checkpoint", "after a step",
    "during a checkpoint", "after a step", "after a step", "before the record", "before the record",
)  # fmt: skip


def test_a_run_killed_at_ten_random_moments_ends_with_the_same_weights(
    config: Callable[..., RunConfig], tmp_path: Path
):
    torch.set_num_threads(1)
    whole = inline.carry_out([resolve(config(*RUN, f"runtime.store={tmp_path}/whole"))])[-1]
    killed = resolve(config(*RUN))
    assert killed.base is not None
    inline.carry_out([killed.base])
    chance = random.Random(0)
    for moment in MOMENTS:
        count = 1 if moment == "before the record" else chance.randint(1, 11)
        if "checkpoint" in moment:
            count = 1 + count % 2
        assert forked.call(killing.train, [killed], moment, count) == -signal.SIGKILL, moment
        assert store.read_result(killed) is None
    assert forked.call(killing.train, [killed], "never", 1) == 0
    result = store.read_result(killed)
    assert result is not None
    assert result["weights_sha256"] == whole.result["weights_sha256"]
    assert result["metrics"] == whole.result["metrics"]
    left = sorted(path.name for path in killed.folder.iterdir())
    assert left == [
        "config.json", "inference.json", "lock", "log.txt", "mean.safetensors", "metrics.csv",
        "result.json", "weights.safetensors",
    ]  # fmt: skip


def test_a_pack_that_is_killed_and_resumes_in_other_packs_ends_with_the_same_weights(
    config: Callable[..., RunConfig], tmp_path: Path
):
    torch.set_num_threads(1)
    use = (*RUN, "transfer.variant=RnB", "train.total_steps=20")
    whole, runs = (
        {n: resolve(config(*use, f"runtime.store={tmp_path}/{where}", f"transfer.n={n}"))
         for n in (2, 4, 6)}
        for where in ("whole", "killed")
    )  # fmt: skip
    expected = [o.result["weights_sha256"] for o in inline.carry_out(whole.values())]
    story = [
        # Who is trained, when they are killed, and the step that each of the three then is at
        ((2, 4, 6), "after a checkpoint", 5, [10, 10, 5]),
        ((4,), "during a checkpoint", 2, [10, 15, 5]),
        ((6, 2), "after a checkpoint", 1, [10, 15, 10]),
        ((2, 6), "during a checkpoint", 2, [15, 15, 10]),
        ((2, 4, 6), "never", 1, [0, 0, 0]),  # no checkpoint is left
    ]
    for together, moment, count, steps in story:
        pack = [runs[n] for n in together]
        code = forked.call(killing.train, pack, moment, count)
        assert code == (0 if moment == "never" else -signal.SIGKILL), together
        states = [checkpoints.load(each) for each in runs.values()]
        assert [state.step if state else 0 for state in states] == steps, together
    results = [store.read_result(each) for each in runs.values()]
    assert [result and result["weights_sha256"] for result in results] == expected
