"""The progress of a training in owner.json, at a limited rate."""

from typing import Any

from transferlab import store
from transferlab.experiment.run import Run
from transferlab.store import schemas
from transferlab.training.callbacks.heartbeat import HEARTBEAT_S, Heartbeat
from transferlab.training.pack_module import READ_EVERY, PackModule


def progress(run: Run) -> tuple[int, int, float | None] | None:
    owner = store.peek(run.owner_file, schemas.OWNER)
    return (owner["step"], owner["total_steps"], owner["left_s"]) if "step" in owner else None


def test_a_report_has_step_and_time_left_of_every_run(
    pack: PackModule, runs: list[Run], trainer: Any, clock: Any
):
    heartbeat = Heartbeat(runs)
    heartbeat.setup(trainer, pack, "fit")
    heartbeat.on_train_start(trainer, pack)
    assert [progress(run) for run in runs] == 2 * [(6, 10, None)]
    pack.step, clock.now = 8, clock.now + 30
    heartbeat.on_validation_end(trainer, pack)
    assert [progress(run) for run in runs] == 2 * [(8, 10, 30.0)]  # two steps in 30 s


def test_reports_become_rarer(pack: PackModule, runs: list[Run], trainer: Any, clock: Any):
    heartbeat, times = Heartbeat(runs), []
    heartbeat.setup(trainer, pack, "fit")
    start = clock.now
    for second in range(120):
        clock.now = start + second
        before = heartbeat.reported
        heartbeat.report(trainer, pack)
        if heartbeat.reported != before:
            times.append(second)
    assert times == [0, 2, 6, 14, 30, 50, 70, 90, 110]
    assert HEARTBEAT_S == 20


def test_between_validations_it_reports_with_the_reading_of_the_device(
    pack: PackModule, runs: list[Run], trainer: Any, clock: Any
):
    heartbeat, seen = Heartbeat(runs), []
    heartbeat.setup(trainer, pack, "fit")
    for pack.step in (READ_EVERY - 1, READ_EVERY):
        heartbeat.on_train_batch_end(trainer, pack, None, {}, 0)
        seen.append(runs[0].owner_file.exists())
    assert seen == [False, True]


def test_only_the_first_process_reports(
    pack: PackModule, runs: list[Run], trainer: Any, clock: Any
):
    trainer.is_global_zero = False
    heartbeat = Heartbeat(runs)
    heartbeat.setup(trainer, pack, "fit")
    heartbeat.on_train_start(trainer, pack)
    assert not runs[0].owner_file.exists()
