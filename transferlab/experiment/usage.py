"""Keys without effect: those that the data set, split or schedule of a run does not use.

With `data.root=DIR` and no `data=`, a run would train on the digits and not read DIR. A key that a
user set, on the command line or in a study's grid, must have an effect in at least one of its runs.
Files of conf/ may hold keys that another choice leaves unused, as a recipe those of its schedule.

Keys of `transfer` that contradict the variant are refused by `variants`, and those of a launcher
that lacks them by `launcher`.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from transferlab import data
from transferlab.errors import UserError
from transferlab.experiment import compose
from transferlab.experiment.conf import CONF, Conf
from transferlab.experiment.config import RunConfig
from transferlab.experiment.identity import DROPS, DROPS_OF
from transferlab.experiment.keys import OPTIONAL, flatten
from transferlab.experiment.splits import SPLITS, split_rule
from transferlab.runtime import commands


@dataclass(frozen=True)
class Choice:
    """A key whose value decides which other keys have an effect.

    `option` is how it is written on the command line, `values` are the registered ones, and `uses`
    gives the keys, of those in `neutral`, that a value uses. `neutral`: key -> the value that asks
    for nothing.
    """

    option: str
    key: str
    values: Iterable[str | None]
    neutral: Mapping[str, object]
    uses: Callable[[Any], Collection[str]]

    def settings(self) -> set[str]:
        """The groups and keys by which it can be set."""
        return {self.option, self.key, self.key.partition(".")[0]}

    def value_in(self, config: RunConfig) -> Any:
        """The config's value; None where it has no such section."""
        return flatten(config)[self.key]

    def uses_in(self, config: RunConfig) -> Collection[str]:
        """The keys that the config's value uses."""
        if config.split.a is None and self.key.startswith(OPTIONAL):
            return ()
        return self.uses(self.value_in(config))


def _of_data(name: str) -> set[str]:
    return {f"data.{key}" for key in data.uses(name)}


def _of_second(name: str) -> set[str]:
    return {f"{OPTIONAL}.{key}" for key in data.uses(name)}


def _of_split(name: str) -> set[str]:
    rule = split_rule(name)
    used = {"split.seed": rule.seeded, "split.groups": rule.grouped}
    return {key for key, effect in used.items() if effect}


def _of_schedule(name: str) -> set[str]:
    return {f"train.{key}" for key in DROPS_OF[name]}


def _of_holdout(part: float | None) -> set[str]:
    return {"data.val"} if part is None else set()


def _of_second_holdout(part: float | None) -> set[str]:
    return {f"{OPTIONAL}.val"} if part is None else set()


CHOICES = (
    Choice("data", "data.name", data.DATASETS,
           {f"data.{key}": value for key, value in data.OPTIONS.items()}, _of_data),
    Choice(OPTIONAL, f"{OPTIONAL}.name", data.DATASETS,
           {f"{OPTIONAL}.{key}": value for key, value in data.OPTIONS.items()}, _of_second),
    Choice("data.holdout", "data.holdout", (None,), {"data.val": None}, _of_holdout),
    Choice(f"{OPTIONAL}.holdout", f"{OPTIONAL}.holdout", (None,), {f"{OPTIONAL}.val": None},
           _of_second_holdout),
    Choice("split", "split.name", SPLITS, {"split.seed": None, "split.groups": None}, _of_split),
    Choice("train.schedule", "train.schedule", tuple(DROPS_OF),
           {f"train.{key}": None for key in DROPS}, _of_schedule),
)  # fmt: skip


def check(
    settings: Mapping[str, Sequence[Any]],
    configs: Sequence[RunConfig],
    *,
    overridden: Collection[str] = (),
) -> None:
    """Refuse a key that has no effect in any of the configs. settings: key -> values.

    `overridden` are groups and keys that take precedence over the settings, whose writer is not to
    blame if a choice made there leaves a key unused.

    Raises: UserError, with the choices that would use the key.
    """
    for choice in CHOICES:
        if choice.settings() & {*overridden}:
            continue
        for key, neutral in choice.neutral.items():
            values = [value for value in settings.get(key, ()) if value != neutral]
            if values and not any(key in choice.uses_in(config) for config in configs):
                raise UserError(_message(key, values[0], choice, configs[0]))


def check_multirun(overrides: Sequence[str], conf: Conf = CONF) -> None:
    """As `check`, for the runs of a Hydra multirun with these overrides, before one is started.

    Combinations that make no run are left to their jobs, which report why.
    """
    settings = compose.settings(overrides, conf)
    if not any(key in choice.neutral for key in settings for choice in CHOICES):
        return
    choices = {name for choice in CHOICES for name in choice.settings()}
    relevant = [o for o in overrides if _section(o) in ("split", "data", "train")]
    configs = []
    for point in compose.points(relevant, choices, conf):
        with suppress(UserError):
            point = [*point, "transfer.variant=BnB", "transfer.n=1"]
            configs.append(compose.run_config(conf.composed(point)))
    if configs:
        check(settings, configs)


def _section(override: str) -> str:
    return compose.key_of(compose.parse(override)).partition(".")[0]


def _message(key: str, value: object, choice: Choice, config: RunConfig) -> str:
    chosen = commands.override(choice.option, choice.value_in(config))
    users = [value for value in choice.values if key in choice.uses(value)]
    choices = ", ".join(commands.setting(choice.option, value) for value in users)
    return f"{key}={value} is not used by {chosen}: choose {choices}, or omit {key}"
