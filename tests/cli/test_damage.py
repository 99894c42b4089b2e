"""Every command says the same of a damaged record, and does the rest of its work.

Kinds of damage, each to one run of a store, and what each command makes of it. What the messages
say in full is in tests/store.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from matplotlib.text import Text
from support.studies import by_label, finish, make_local, make_runs, start

from transferlab import results, store
from transferlab.__main__ import main
from transferlab.cli import sweep
from transferlab.errors import RunFailed
from transferlab.experiment.run import Run
from transferlab.launch import dispatch, supervisor
from transferlab.results import figures
from transferlab.runtime.reading import Damaged

Damage = Callable[[Path], None]
HEAD = "step,val/accuracy,val/loss,train/loss\n"


def written(content: bytes) -> Damage:
    def damage(path: Path) -> None:
        path.write_bytes(content)

    return damage


def changed(**values: Any) -> Damage:
    """Values of the record changed; the text `BIG` becomes an integer of 400 digits."""

    def damage(path: Path) -> None:
        text = json.dumps(json.loads(path.read_text()) | values)
        path.write_text(text.replace('"BIG"', "9" * 400).replace('"INFINITE"', "1e999"))

    return damage


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def replaced(make: Callable[[Path], object]) -> Damage:
    def damage(path: Path) -> None:
        path.rename(path.with_name("elsewhere"))
        make(path)

    return damage


DAMAGES: dict[str, Damage] = {
    "cut off": cut,
    "empty": written(b""),
    "no text": written(b"\xff\xfe"),
    "nested deeply": written(b'{"format": 1, "id": ' + b"[" * 100_000),
    "a list for a number": changed(steps=[1]),
    "a number for an object": changed(metrics=1),
    "an integer of 400 digits": changed(steps="BIG"),
    "an infinite number": changed(time_s="INFINITE"),
    "nan": changed(time_s=float("nan")),
    "an accuracy of 75": changed(metrics={"top1_final": 75.0, "top1_peak": 0.5, "chance": 0.2}),
    "a path for an id": changed(id="x/../../outside"),
    "another's id": changed(id="0" * 12),
    "another's config": changed(config={"seed": 7}),
    "a prefix that changed": changed(prefix_unchanged=False),
    "of another version": changed(format=2),
    "a folder": replaced(Path.mkdir),
    "a FIFO": replaced(os.mkfifo),
    "a link": replaced(lambda path: path.symlink_to("elsewhere")),
}


@pytest.fixture
def runs(tmp_path: Path) -> dict[str, Run]:
    """A study of finished runs, by label."""
    planned = make_runs(tmp_path / "store")
    start(planned, make_local())
    finish(*planned)
    return by_label(planned)


def show(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Exit status and output of a command on the store."""
    code = main([arguments[0], *arguments[1:]])
    captured = capsys.readouterr()
    return code, captured.out + captured.err


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_all_commands_agree_on_a_damaged_record(
    damage: Damage, runs: dict[str, Run], capsys: pytest.CaptureFixture[str]
):
    run, place = runs["A1B"], runs["A1B"].folder.parent
    damage(run.result_file)

    with pytest.raises(Damaged) as error:
        store.read_result(run)
    reason = str(error.value)
    assert reason.startswith(f"{run.result_file} ")
    assert store.unfinished(runs.values()) == (run,)

    code, text = show(capsys, "status", "--store", str(place))
    assert code == 0 and "4 done, 1 damaged" in text and reason in text
    code, text = show(capsys, "retry", "--store", str(place))
    assert code == 0 and f"left out: {reason}" in text
    loaded = results.load(place)
    assert sorted(loaded.table["label"]) == ["A2B", "B1B", "baseA", "baseB"]
    assert loaded.left_out[["label", "kind", "reason"]].to_numpy().tolist() == [
        ["A1B", "damaged", reason]
    ]
    order = dispatch.order("quick", runs.values(), make_local(), pack=1)
    assert (order.todo, dict(order.left_out)) == ((), {run.id: reason})
    with pytest.raises(RunFailed, match="1 of 5 runs are left out"):
        sweep.carry_out(order)
    assert "4 done, 0 to train, 1 left out" in capsys.readouterr().out
    code, text = show(capsys, "rerun", str(run.folder), "--into", str(place.parent / "again"))
    assert code == 2 and str(run.result_file) in text


def test_what_depends_on_a_damaged_base_is_blocked(
    runs: dict[str, Run], capsys: pytest.CaptureFixture[str]
):
    cut(runs["baseA"].result_file)
    runs["A2B"].result_file.unlink()

    _, text = show(capsys, "status", "--store", str(runs["A2B"].folder.parent))
    assert "3 done, 1 blocked, 1 damaged" in text and "baseA is damaged" in text
    order = dispatch.order("quick", runs.values(), make_local(), pack=1)
    assert (order.todo, order.done, len(order.left_out)) == ((), 3, 2)
    with pytest.raises(Damaged, match=r"baseA.*result\.json"):
        supervisor.unmet([runs["A2B"]])


@pytest.mark.parametrize("damage", ["cut off", "nested deeply", "a folder", "a FIFO", "a link"])
@pytest.mark.parametrize("name", ["owner.json", "failure.json", "config.json"])
def test_no_damage_to_another_file_of_a_run_stops_a_command(
    name: str, damage: str, runs: dict[str, Run], capsys: pytest.CaptureFixture[str]
):
    run, place = runs["A1B"], runs["A1B"].folder.parent
    run.result_file.unlink()
    path = run.folder / name
    if name != "config.json":
        path.write_text('{"error": "the loss is nan"}          ')
    DAMAGES[damage](path)

    code, text = show(capsys, "status", "--store", str(place))
    assert code == 0 and "4 done" in text and "Traceback" not in text
    loaded = results.load(place)
    assert len(loaded.table) == 4 and loaded.left_out["label"].tolist() == ["A1B"]
    assert show(capsys, "results", "--store", str(place))[0] == 0


@pytest.mark.parametrize(
    ("curve", "reason"),
    [
        (f"{HEAD}100,0.4,1,1\n339,0.5,x,1\n", "val/loss='x' is not a finite number"),
        (f"{HEAD}100,0.4,1,1\n339,0.5,inf,1\n", "val/loss='inf' is not a finite number"),
        (f"{HEAD}{'9' * 400},0.4,1,1\n339,0.5,1,1\n", "is out of bounds"),
        (f"{HEAD}100,40,1,1\n339,0.5,1,1\n", "val/accuracy='40' is out of bounds"),
        (f"{HEAD}339,0.5,1,1\n100,0.5,1,1\n", "its steps do not increase"),
        (f"{HEAD}339,0.4,1,1\n", "its last row differs from the run's record"),
        (f"{HEAD}339,0.5,1\n", "a line has more or fewer values than the first one"),
        ("step,val/loss\n339,1\n", "it has no column train/loss"),
        ("", "it has no column step"),
    ],
)
def test_a_damaged_curve_is_listed_and_the_others_are_drawn(
    curve: str, reason: str, runs: dict[str, Run]
):
    damaged, sound = runs["A1B"], runs["A2B"]
    damaged.metrics_file.write_text(curve)
    sound.metrics_file.write_text(f"{HEAD}100,0.4,1,1\n339,0.5,1,1\n")

    curves = results.curves(results.load(damaged.folder.parent))
    assert curves["id"].unique().tolist() == [sound.id]
    assert list(curves.attrs["faults"]) == [damaged.id]
    assert f"{damaged.metrics_file} is not the curve of A1B {damaged.id} (" in (
        message := curves.attrs["faults"][damaged.id]
    )
    assert reason in message


def test_a_figure_names_the_run_whose_curve_is_damaged(runs: dict[str, Run]):
    runs["A1B"].metrics_file.write_text(f"{HEAD}339,0.5,one,1\n")
    runs["A2B"].metrics_file.write_text(f"{HEAD}339,0.5,1,1\n")

    loaded = results.load(runs["A1B"].folder.parent)
    texts = [text.get_text() for text in figures.draw(loaded, "curves").findobj(Text)]
    text = " ".join(texts).replace("\n", " ")
    assert f"The curve of A1B {runs['A1B'].id} cannot be used" in text
    assert "curves are drawn" not in text  # all that can be used are
