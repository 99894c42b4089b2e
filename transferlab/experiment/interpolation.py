"""The interpolations of a composed config, `${...}`: what they may be, and their values.

They mean the same in a run, a study and an override: `${train.epochs}` is another key of the same
run, `${oc.env:NAME}` a variable of the environment, `${now:...}` the time; OmegaConf's other
resolvers work too. `${hydra:...}` is refused in keys of a run: not every run has a Hydra job.

A value from the environment is never recorded, so that only a path of this machine may have one.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from transferlab.errors import UserError
from transferlab.experiment.keys import PATHS
from transferlab.experiment.variables import REFERENCE, FromEnvironment, expand, missing
from transferlab.experiment.variables import reference as reference_to
from transferlab.runtime import environment

MARK = "FROM_THE_ENVIRONMENT_{}_"  # stands for the value of a variable


def plain(config: Any, prefix: str = "") -> dict[str, Any]:
    """A DictConfig as a dict, its interpolations resolved; paths may be `FromEnvironment`.

    `prefix`: of its keys, `launcher.` for instance. Raises: UserError for what cannot be resolved,
    for a missing value, and for a value from the environment that is no path of this machine.
    """
    with _Variables().in_place() as variables:
        return _values(config, prefix, variables)


def depends(value: object) -> bool:
    """Whether the value is an interpolation of more than the environment: of other keys, say."""
    return isinstance(value, str) and "${" in REFERENCE.sub("", value)


class _Variables:
    """Replaces the resolver `oc.env`, and records what it reads for one key.

    `marking`: it returns a mark for each variable, which shows where its value goes.
    """

    def __init__(self) -> None:
        self.read: list[str] = []  # as they are written in a record
        self.asked = False  # also for a variable that is not set, whose default is the value
        self.refusal: UserError | None = None
        self.marking = False
        self.key, self.text = "", ""

    def begin(self, key: str, text: object) -> None:
        self.read, self.asked, self.refusal, self.marking = [], False, None, False
        self.key, self.text = key, str(text)

    @contextmanager
    def in_place(self) -> Iterator["_Variables"]:
        from hydra.core.utils import setup_globals
        from omegaconf import OmegaConf
        from omegaconf.resolvers import oc

        OmegaConf.register_new_resolver("oc.env", self._env, replace=True)
        OmegaConf.register_new_resolver("hydra", self._hydra, replace=True)
        try:
            yield self
        finally:
            OmegaConf.register_new_resolver("oc.env", oc.env, replace=True)
            setup_globals()  # Hydra's own resolvers

    def _env(self, name: object, *default: object) -> str | None:
        self.asked = True
        name, texts = str(name), [None if each is None else str(each) for each in default]
        value = environment.value(name)
        if value is None:
            if not texts:
                self.refusal = missing(self.key, self.text, name)
                raise self.refusal
            return texts[0]
        self.read.append(reference_to(name, *texts))
        return MARK.format(len(self.read) - 1) if self.marking else value

    def _hydra(self, *_: object) -> None:
        self.refusal = UserError(
            f"{self.key}={self.text} is of Hydra's job, which not every run has: write the value"
        )
        raise self.refusal


def _values(config: Any, prefix: str, variables: _Variables) -> dict[str, Any]:
    from omegaconf import DictConfig, OmegaConf
    from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

    values: dict[str, Any] = {}
    raw: Any = OmegaConf.to_container(config, resolve=False)
    for name, text in raw.items():
        key = f"{prefix}{name}"
        variables.begin(key, text)
        try:
            value = config[name]
            if isinstance(value, DictConfig):
                values[str(name)] = _values(value, f"{key}.", variables)
            else:
                values[str(name)] = _value(config, name, variables)
        except MissingMandatoryValue as error:
            raise UserError(str(error).splitlines()[0]) from error
        except (OmegaConfBaseException, RecursionError) as error:
            if variables.refusal is not None:
                raise variables.refusal from error
            raise UserError(f"{key}={text}: {str(error).splitlines()[0]}") from error
    return values


def _value(config: Any, name: Any, variables: _Variables) -> Any:
    """The value of a key that is no group; checked if it comes from the environment."""
    variables.read = []
    value = _contained(config[name])
    key, text = variables.key, variables.text
    if variables.asked and key not in PATHS:
        raise UserError(
            f"{key}={text} takes a value from the environment, which no record shows: write it "
            f"out. Only {', '.join(PATHS)}, which decide no numbers, may come from there"
        )
    if not variables.read or not isinstance(value, str):
        if isinstance(value, str) and key in PATHS and "${oc.env:" in value:
            raise UserError(
                f"{key}={value} would be read from a record as a variable of the environment: "
                "rename the folder"
            )
        return value
    variables.read, variables.marking = [], True
    written = str(_contained(config[name]))
    for number, reference in enumerate(variables.read):
        written = written.replace(MARK.format(number), reference)
    if "FROM_THE_ENVIRONMENT" in written or expand(key, written) != value:
        raise UserError(
            f"{key}={text} changes a value from the environment, which a record cannot show: "
            "write ${oc.env:NAME} into a text, or the value"
        )
    return FromEnvironment(value, written)


def _contained(value: Any) -> Any:
    from omegaconf import OmegaConf

    if not OmegaConf.is_config(value):
        return value
    return OmegaConf.to_container(value, resolve=True, throw_on_missing=True)
