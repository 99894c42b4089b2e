"""Answers an evaluation once: from its record, or by its protocol, which is then recorded.

The record is `evaluations/ID.json` in the folder of the first run; that of an average is found with
any of them. Imports no torch where there is a record.
"""

import logging
import time
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from transferlab.evaluation.protocols import PROTOCOLS, Answer, Evaluation
from transferlab.experiment import metrics
from transferlab.experiment.reuse import changed
from transferlab.experiment.run import RESULT
from transferlab.experiment.variables import written
from transferlab.runtime import files, locks
from transferlab.runtime.provenance import provenance
from transferlab.store import evaluations
from transferlab.store.reader import Values

PLAIN = "posteriors"  # whose settings CENTRE repeat a validation
CENTRE = {**PROTOCOLS[PLAIN].defaults, "crops": "centre"}
SOURCE = ("name", "val", "holdout")  # of data: the root may be that of another machine
log = logging.getLogger(__name__)


class Reply(NamedTuple):
    """The record of an evaluation, its file, and whether it was there before."""

    record: Values
    path: Path
    reused: bool


def ask(evaluation: Evaluation) -> Reply:
    """The record of an evaluation, which is computed unless it has been.

    Waits for a process that computes the same. A record whose unreadable images were repaired since
    is computed again.

    Raises: UserError as the protocol does, and if the folder of the first run cannot be written;
        Damaged, Unreadable for a record that cannot be used.
    """
    if (recorded := _recorded(evaluation)) is not None:
        return recorded
    folder = evaluation.runs[0].path
    identity = evaluations.identity(evaluation.question)
    lock = folder / evaluations.FOLDER / f".{identity}.lock"
    with locks.held(lock, lambda: log.info("waiting: another process computes %s", identity)):
        if (recorded := _recorded(evaluation)) is not None:
            return recorded
        record = _computed(evaluation, identity)
        return Reply(record, evaluations.write(folder, record), False)


def difference(evaluation: Evaluation, record: Values) -> str | None:
    """How an evaluation that repeats the last validation of its run differs from that; None if it
    is the same, or no such evaluation."""
    run, images = evaluation.runs[0], evaluation.data
    final = {m: run.record["metrics"][m.final] for m in metrics.in_records([run.record["metrics"]])}
    plain = evaluation.protocol == PLAIN and evaluation.settings == CENTRE
    own = all(getattr(images, key) == getattr(run.images, key) for key in SOURCE)
    if not plain or not own or len(evaluation.runs) > 1 or not final:
        return None
    if images.digest != run.images.digest:
        return f"these are other images than those that {run.label} {run.id} was validated on"
    differences = [
        f"{measure.text} is {record['metrics'][measure.name]:.6f} and not {value:.6f}"
        for measure, value in final.items()
        if record["metrics"][measure.name] != value
    ]
    if not differences:
        return None
    return (
        f"{', '.join(differences)} as in {run.path / RESULT}, which was computed on "
        f"{run.record['device']}: other devices and versions round differently"
    )


def _recorded(evaluation: Evaluation) -> Reply | None:
    identity = evaluations.identity(evaluation.question)
    for run in evaluation.runs:
        record = evaluations.read(run.path, identity)
        if record is not None and not changed(evaluation.data, record["skipped"]):
            return Reply(record, evaluations.path(run.path, identity), True)
    return None


def _computed(evaluation: Evaluation, identity: str) -> dict[str, Any]:
    protocol, begun = PROTOCOLS[evaluation.protocol], time.monotonic()
    module, _, name = protocol.answer.partition(":")
    answer: Answer = getattr(import_module(module), name)(evaluation)
    pairs = zip(evaluation.runs, answer.members, strict=True)
    import torch  # which the answer has imported

    return {
        "id": identity,
        "question": evaluation.question,
        "text": protocol.describe(evaluation.settings),
        "runs": [
            {"id": r.id, "label": r.label, "model": r.config.model.name, "metrics": dict(own)}
            for r, own in pairs
        ],
        "source": {"name": evaluation.data.name, "root": written(evaluation.data.root)},
        "images": answer.images,
        "metrics": dict(answer.metrics),
        "details": dict(answer.details),
        "skipped": dict(answer.skipped),
        "time_s": round(time.monotonic() - begun, 3),
        "finished": files.now(),
        **provenance(),
        "threads": torch.get_num_threads(),
        "device": answer.device,
    }
