"""What finished runs can be asked: a protocol each, its settings, and the function that answers.

To add a protocol: a file in this room with a function `answer(evaluation) -> Answer`, its entry in
PROTOCOLS, and in `cli/evaluate.py` a flag for every setting that has none yet. A setting is a value
of JSON, under the name of its flag; one that is not given has the default of the entry, and a flag
that a protocol does not have is refused. Imports no torch: the function is imported when it is
called, and a recorded answer is found without it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from transferlab.errors import UserError
from transferlab.evaluation import crops, pooling
from transferlab.evaluation.runs import FinishedFolder
from transferlab.experiment.config import DataConfig

Settings = Mapping[str, Any]
Metrics = Mapping[str, float | None]


@dataclass(frozen=True)
class Computing:
    """Where and how fast an answer is computed, which does not change it: `accelerator` as
    `runtime.accelerator`, the images of a batch (None: as in the run's validations), and the
    threads that read images (None: by the cores)."""

    accelerator: str
    batch_size: int | None
    workers: int | None


@dataclass(frozen=True)
class Evaluation:
    """One question: a protocol with all its settings, of these runs and these images.

    `data` is `source.source`: its name, root, val, holdout, per_class, unreadable and digest.
    """

    protocol: str
    settings: Settings
    runs: tuple[FinishedFolder, ...]
    data: DataConfig
    machine: Computing

    @property
    def question(self) -> dict[str, Any]:
        """What the id is a digest of: `QuestionRecord` of the store. Averages do not depend on the
        order of the runs."""
        networks = sorted((run.network for run in self.runs), key=lambda n: sorted(n.items()))
        return {
            "protocol": self.protocol,
            "rules": PROTOCOLS[self.protocol].rules,
            "settings": dict(self.settings),
            "data": self.data.digest,
            "per_class": self.data.per_class,
            "networks": networks,
        }


@dataclass(frozen=True)
class Answer:
    """What a protocol found.

    metrics: of all runs together; fractions but for `loss`, None where one is not defined.
    members: those of each run alone, in their order; of one run the same as `metrics`.
    images: the number of images that were asked.
    skipped: the files that could not be read, as name in the data set -> sha256.
    device: what computed it, as `devices.name` has it.
    details: anything else, as JSON.
    """

    metrics: Metrics
    members: Sequence[Metrics]
    images: int
    skipped: Mapping[str, str]
    device: str
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Protocol:
    """A kind of question.

    text: what it does, for the help.
    rules: increased by a change that gives the same question another answer.
    defaults: setting -> its value where none is given.
    answer: `module:function`, which takes an `Evaluation` and returns an `Answer`.
    check: raises UserError for settings that do not suit the runs, and returns the settings in the
        one spelling that is recorded; imports no torch.
    describe: the settings in words, for a table.
    """

    text: str
    rules: int
    defaults: Settings
    answer: str
    check: Callable[[Settings, Sequence[FinishedFolder]], Settings]
    describe: Callable[[Settings], str]


PROTOCOLS: dict[str, Protocol] = {
    "posteriors": Protocol(
        text="posteriors averaged over crops, test scales and runs",
        rules=1,
        defaults={"crops": None, "scales": None, "dense": False, "subset": "val"},
        answer="transferlab.evaluation.posteriors:answer",
        check=crops.check,
        describe=crops.describe,
    ),
    "chatfield2014": Protocol(
        text="linear SVMs on the features of a stage",
        rules=1,
        defaults=pooling.DEFAULTS,
        answer="transferlab.evaluation.chatfield2014:answer",
        check=pooling.check,
        describe=pooling.describe,
    ),
}


def settings(protocol: str, given: Settings, runs: Sequence[FinishedFolder]) -> Settings:
    """All settings of a protocol, of those that are given: name -> value, None for one that is not.

    Raises: UserError for an unknown protocol, a setting without effect on it, and as its `check`.
    """
    if protocol not in PROTOCOLS:
        raise UserError(f"--protocol {protocol} is unknown: choose one of {', '.join(PROTOCOLS)}")
    entry = PROTOCOLS[protocol]
    named = {name: value for name, value in given.items() if value is not None}
    for name in named:
        if name not in entry.defaults:
            flag = name.replace("_", "-")
            raise UserError(f"--{flag} has no effect with --protocol {protocol}: omit one of them")
    return entry.check({**entry.defaults, **named}, runs)
