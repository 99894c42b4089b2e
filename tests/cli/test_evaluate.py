"""`evaluate`: how runs are named, and what is refused before anything is read; no training."""

from pathlib import Path
from typing import Any

import pytest
from support import stores

from transferlab.__main__ import main
from transferlab.evaluation import ask, protocols
from transferlab.evaluation.protocols import Evaluation, Protocol
from transferlab.experiment.run import Run

WITH = {"inference_sha256": "1" * 64}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def base(store: Path) -> Run:
    return stores.finish(store, "baseB", 0.5, **WITH)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Evaluation]:
    """The evaluations that are asked, in place of answering them."""
    evaluations: list[Evaluation] = []

    def answer(evaluation: Evaluation) -> Any:
        evaluations.append(evaluation)
        raise KeyboardInterrupt

    monkeypatch.setattr(ask, "ask", answer)
    return evaluations


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    assert main(["evaluate", *map(str, words)]) == 2
    return capsys.readouterr().err.removeprefix("error: ").removesuffix("\n")


def test_a_run_is_named_by_folder_id_or_label(
    base: Run,
    store: Path,
    asked: list[Evaluation],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    (tmp_path / "A3B").mkdir()  # is no run, and hides none
    monkeypatch.chdir(tmp_path)
    kept = stores.finish(store, "baseB", 0.5, {"train.epochs": 3.0}, split=1, **WITH)
    stores.finish(store, "A3B", 0.5, **WITH)
    for name in (base.folder, base.id, base.folder.name, kept.id, "A3B"):
        main(["evaluate", str(name), "--store", str(store)])

    named = [evaluation.runs[0].id for evaluation in asked]
    assert named[:4] == [base.id, base.id, base.id, kept.id]
    assert asked[4].runs[0].label == "A3B"


def test_a_label_of_several_runs_is_refused_with_their_folders(
    base: Run, store: Path, capsys: pytest.CaptureFixture[str]
):
    other = stores.finish(store, "baseB", 0.5, split=1, **WITH)

    assert refused(capsys, "baseB", "--store", store).splitlines() == [
        f"2 finished runs of {store} have the label baseB: name one of them by its id",
        *sorted([base.folder.name, other.folder.name]),
    ]


def test_what_is_no_finished_run_is_refused(
    base: Run, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    begun = stores.start(store, stores.config("A3B"))
    old = stores.finish(store, "B3B", 0.5)
    assert refused(capsys, "A9B", "--store", store) == (
        f"no finished run of {store} has the id or label A9B: python -m transferlab results "
        f"--store {store} lists them"
    )
    assert "lists them" in refused(capsys, "A3B", "--store", store)
    assert refused(capsys, begun.folder).endswith("it is not the folder of a finished run")
    assert refused(capsys, "baseB", "--store", tmp_path / "no").startswith(
        f"baseB is neither the folder of a run nor in the store {tmp_path / 'no'}, which does not"
    )
    assert f"rerun {old.folder}" in refused(capsys, old.folder)


def test_settings_without_effect_are_refused(
    base: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    plain = Protocol("", 1, {"subset": "val"}, "", lambda settings, runs: settings, str)
    monkeypatch.setitem(protocols.PROTOCOLS, "plain", plain)

    assert refused(capsys, base.folder, "--protocol", "plain", "--dense") == (
        "--dense has no effect with --protocol plain: omit one of them"
    )
    assert refused(capsys, base.folder, "--protocol", "no") == (
        f"--protocol no is unknown: choose one of {', '.join(protocols.PROTOCOLS)}"
    )
    assert refused(capsys, base.folder, "--average") == (
        "--average has no effect on one run: name several, or omit it"
    )
    assert refused(capsys, base.folder, base.folder) == (
        f"baseB {base.id} is named twice: name every run once"
    )
    assert "--scales: 0 must be an integer of at least 1" in (
        refused(capsys, base.folder, "--scales", "0,224")
    )


def test_only_the_images_can_be_changed(base: Run, capsys: pytest.CaptureFixture[str]):
    assert refused(capsys, base.folder, "data.size=64") == (
        "data.size=64 cannot be changed: an evaluation takes all but the images from the run, so "
        "change only data, data.name, data.root, data.val, data.holdout, data.per_class, "
        "data.unreadable"
    )
    assert "unknown key data.rot" in refused(capsys, base.folder, "data.rot=DIR")
    assert "list of values" in refused(capsys, base.folder, "data.root=a,b")


def test_the_images_are_those_of_the_run_or_of_conf(base: Run, asked: list[Evaluation]):
    for words in ((), ("data.holdout=0.3",), ("data=digits", "data.per_class=4")):
        main(["evaluate", str(base.folder), *words])

    images = [evaluation.data for evaluation in asked]
    assert [(i.name, i.holdout, i.per_class) for i in images] == [
        ("digits", 0.2, None), ("digits", 0.3, None), ("digits", 0.2, 4),
    ]  # fmt: skip
    assert images[0].digest == images[2].digest != images[1].digest
