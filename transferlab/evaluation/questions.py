"""What the runs of a study are asked: `conf/evaluation/NAME.yaml`, a list of questions.

A question maps settings of a protocol to their values, and keys of a run (`model`, `train.loss`) to
the value, or the list of values, of the runs that it is put to. `protocol` is posteriors unless it
is named. `average`: the posteriors of so many runs that differ in their seed only are averaged, as
many times as there are such runs, or with `models` those of one run of each model, of equal seeds.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from transferlab.errors import UserError
from transferlab.evaluation.protocols import PROTOCOLS
from transferlab.evaluation.runs import FinishedFolder
from transferlab.experiment import study_file
from transferlab.experiment.conf import CONF, Conf
from transferlab.experiment.keys import flatten, known_keys

GROUPS = {"data": "data.name", "model": "model.name", "split": "split.name"}
MODELS = "models"


@dataclass(frozen=True)
class Question:
    """Settings for a protocol, and which runs they are put to: key -> values of a run's config."""

    protocol: str
    settings: Mapping[str, Any]
    where: Mapping[str, Sequence[Any]]
    average: int | str | None

    def put_to(self, runs: Iterable[FinishedFolder]) -> Iterator[tuple[FinishedFolder, ...]]:
        """The runs of each evaluation: one, or those whose posteriors are averaged."""
        chosen = [run for run in runs if self._suits(run)]
        if self.average is None:
            yield from ((run,) for run in chosen)
        elif self.average == MODELS:
            for members in _grouped(chosen, but="model.name"):
                if len(members) == len(self.where["model.name"]):
                    yield tuple(members)
        else:
            size = int(self.average)
            for members in _grouped(chosen, but="seed"):
                members.sort(key=lambda run: run.config.seed)
                for start in range(0, len(members) - size + 1, size):
                    yield tuple(members[start : start + size])

    def _suits(self, run: FinishedFolder) -> bool:
        own = _values(run)
        return all(own[key] in values for key, values in self.where.items())


def load(name: str, conf: Conf = CONF) -> tuple[Question, ...]:
    """The questions of a study. Raises: UserError if there are none, or one is none."""
    known = conf.choices("evaluation")
    if name not in known:
        raise UserError(
            f"--study {name} has no questions: choose one of {', '.join(known)} (conf/evaluation/)"
        )
    path = conf.files("evaluation", name)[0]
    return tuple(
        _question(f"{path}, question {number}", dict(item))
        for number, item in enumerate(study_file.read(path), start=1)
    )


def _question(source: str, item: dict[str, Any]) -> Question:
    protocol = str(item.pop("protocol", "posteriors"))
    average = item.pop("average", None)
    if protocol not in PROTOCOLS:
        raise UserError(
            f"{source}: protocol={protocol} is unknown: choose one of {', '.join(PROTOCOLS)}"
        )
    settings, where = {}, {}
    for key, value in item.items():
        if key in PROTOCOLS[protocol].defaults:
            settings[key] = value
        elif GROUPS.get(key, key) in known_keys():
            key = GROUPS.get(key, key)
            where[key] = value if isinstance(value, list) else [value]
        else:
            raise UserError(
                f"{source}: {key} is neither a key of a run nor a setting of {protocol}: its "
                f"settings are {', '.join(PROTOCOLS[protocol].defaults)}"
            )
    whole = type(average) is int and average > 1
    if not (average is None or whole or (average == MODELS and "model.name" in where)):
        raise UserError(
            f"{source}: average={average} must be the number of runs, at least 2, or {MODELS} of a "
            "list of models"
        )
    return Question(protocol, settings, where, average)


def _grouped(runs: Iterable[FinishedFolder], *, but: str) -> list[list[FinishedFolder]]:
    """The runs in groups that agree in every key of their config but one."""

    def agreed(run: FinishedFolder) -> tuple[str, ...]:
        kept = (key for key in known_keys() if key != but and not key.startswith("runtime."))
        own = _values(run)
        return tuple(repr(own[key]) for key in kept)

    ordered = sorted(runs, key=agreed)
    return [list(members) for _, members in itertools.groupby(ordered, agreed)]


def _values(run: FinishedFolder) -> dict[str, Any]:
    """Key -> value of a run's config, lists as a file of YAML has them."""
    flat = flatten(run.config)
    return {k: list(value) if isinstance(value, tuple) else value for k, value in flat.items()}
