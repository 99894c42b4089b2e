"""The records of evaluations: what is read, and what counts as damage."""

import json
from pathlib import Path

import pytest
from support import evaluated, stores

from transferlab.experiment.run import Run
from transferlab.runtime.reading import Damaged
from transferlab.store import evaluations

METRICS = {"top1": 0.75, "top5": None, "loss": 0.5}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return stores.finish(tmp_path / "runs", "baseB", 0.5)


def test_a_record_is_read_back_the_same_by_the_id_of_its_question(run: Run):
    path = evaluated.keep((run, METRICS))
    record = evaluated.record((run, METRICS))

    assert path == run.folder / "evaluations" / f"{record['id']}.json"
    assert evaluations.read(run.folder, record["id"]) == record
    assert evaluations.read(run.folder, "0" * 12) is None
    assert list(evaluations.of_run(run.folder)) == [record]
    assert list(evaluations.of_run(run.folder.parent)) == []


def test_the_id_is_golden():
    question = {
        "protocol": "posteriors",
        "rules": 1,
        "settings": evaluated.SETTINGS,
        "networks": [],
    }

    assert evaluations.identity(question) == "4c8bec3609b7"
    assert evaluations.identity({**question, "rules": 2}) != "4c8bec3609b7"


def test_a_record_that_is_not_the_answer_to_its_question_is_damaged(run: Run):
    path = evaluated.keep((run, METRICS))
    sound = json.loads(path.read_text())
    other = {**sound["question"], "settings": {"crops": "grid"}}
    for changes, reason in (
        ({"question": other}, f"it is not the record of evaluation {path.stem}"),
        ({"id": "0" * 12}, f"it is not the record of evaluation {path.stem}"),
        ({"runs": []}, "it names other runs than networks"),
        ({"images": 0}, "images=0 must be between 1 and"),
        ({"format": 2}, "was written by an incompatible version"),
    ):
        path.write_text(json.dumps({**sound, **changes}))
        with pytest.raises(Damaged) as error:
            evaluations.read(run.folder, path.stem)
        assert str(error.value).startswith(str(path)) and reason in str(error.value)
        (fault,) = evaluations.of_run(run.folder)
        assert str(fault) == str(error.value)
