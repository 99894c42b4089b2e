"""The settings of launchers: the keys of `conf/launcher/`, as frozen dataclasses.

None of them can change a result. Values that become options of `sbatch` are checked here, once, and
settings that contradict each other are refused before the first job.
"""

import dataclasses
import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

from transferlab.errors import UserError
from transferlab.experiment import sbatch, schema
from transferlab.experiment.keys import SWEEP_KEYS
from transferlab.experiment.schema import at_least, at_most

ROLES = ("base", "transfer", "pack")  # of a job
Count = Annotated[int, at_least(1)]
ChangedCode = Literal["warn", "refuse"]  # what a job does whose code was edited meanwhile
NEUTRAL = {"changed_code": "warn"}  # of keys that earlier versions did not record


@dataclass(frozen=True)
class Resources:
    """What a job requests from the cluster, by the names of `sbatch`; None: no request."""

    partition: str | None
    account: str | None
    qos: str | None
    time: str | int | None
    gres: str | None
    cpus: Count | None
    memory: str | int | None
    constraint: str | None
    throttle: Count | None
    extra: tuple[str, ...] | None


@dataclass(frozen=True)
class LocalSettings:
    """Worker processes on this machine."""

    name: str
    jobs: Count
    threads: Count
    gpus: tuple[int, ...] | None
    fail_fast: bool
    changed_code: ChangedCode


@dataclass(frozen=True)
class SlurmSettings(Resources):
    """Jobs of a cluster; `base`, `transfer` and `pack` override requests for jobs of that role."""

    name: str
    threads: Count
    signal_s: Annotated[int, at_least(0), at_most(65535)]  # the range of sbatch
    requeues: Annotated[int, at_least(0)]
    template: str | None
    changed_code: ChangedCode
    base: Resources
    transfer: Resources
    pack: Resources

    def resources(self, role: str) -> Resources:
        """The resources that a job of that role requests."""
        own = vars(getattr(self, role))
        requests = {name: vars(self)[name] if own[name] is None else own[name] for name in own}
        return Resources(**requests)


Launcher = LocalSettings | SlurmSettings
KINDS: dict[str, type[LocalSettings] | type[SlurmSettings]] = {
    "local": LocalSettings,
    "slurm": SlurmSettings,
}


def build_launcher(raw: Mapping[str, Any]) -> Launcher:
    """The launcher's settings from a plain dict, strictly. Raises: UserError."""
    settings = _built(raw)
    if isinstance(settings, SlurmSettings):
        require_consistent(settings)
    return settings


def recorded_launcher(raw: Mapping[str, Any]) -> Launcher:
    """The settings that a store records, perhaps of an earlier version, which may contradict each
    other: see `require_consistent`. Raises: UserError."""
    return _built({**NEUTRAL, **raw})


def require_consistent(settings: SlurmSettings) -> None:
    """Raises: UserError for settings that contradict each other or repeat an option of a job."""
    for role in (None, *ROLES):
        resources = settings if role is None else settings.resources(role)
        own = None if role is None else getattr(settings, role)
        _check_time(resources, settings.signal_s, _key("time", role, own))
        for option in resources.extra or ():
            _check_extra(option, resources, _key("extra", role, own))


def launcher_dict(settings: Launcher) -> dict[str, Any]:
    """The plain dict from which `build_launcher` makes the same settings again."""
    raw: dict[str, Any] = dataclasses.asdict(settings)
    return raw


def _built(raw: Mapping[str, Any]) -> Launcher:
    name = raw.get("name")
    if name not in KINDS:
        raise UserError(f"unknown launcher.name={name}: choose one of {', '.join(KINDS)}")
    unknown = partial(_unknown_key, str(name))
    settings = schema.build(KINDS[str(name)], raw, unknown=unknown, prefix="launcher.")
    if isinstance(settings, SlurmSettings):
        _check_options(settings, "launcher.")
        for role in ROLES:
            _check_options(getattr(settings, role), f"launcher.{role}.")
    return settings


def _key(name: str, role: str | None, own: Resources | None) -> str:
    """The full name of the setting from which a role has its value."""
    inherited = own is None or getattr(own, name) is None
    return f"launcher.{name}" if inherited else f"launcher.{role}.{name}"


def _check_time(resources: Resources, signal_s: int, key: str) -> None:
    if resources.time is None:
        return
    limit_s = sbatch.seconds(resources.time, key)
    if limit_s is not None and limit_s <= signal_s:
        raise UserError(
            f"{key}={resources.time} ({limit_s} s) is not longer than "
            f"launcher.signal_s={signal_s}: a job would be asked to save before it has trained; "
            "increase the time, or decrease launcher.signal_s"
        )


def _check_extra(option: str, resources: Resources, key: str) -> None:
    for name in sbatch.meant(option.removeprefix("--").partition("=")[0]):
        setting = sbatch.SETTINGS.get(name)
        if setting is None:
            raise UserError(
                f"{key}={option} contradicts --{name}, which every job has: {sbatch.SET[name]}"
            )
        value = vars(resources)[setting]
        if value is not None:
            raise UserError(
                f"{key}={option} contradicts launcher.{setting}={value}: use launcher.{setting}"
            )


def _check_options(resources: Resources, prefix: str) -> None:
    """Raises: UserError for a text that is not valid in an option of sbatch."""
    for name, value in vars(resources).items():
        key = f"{prefix}{name}"
        for text in value if isinstance(value, tuple) else (value,):
            if isinstance(text, str) and not text.isprintable():
                raise UserError(f"{key}={text!r} has unprintable characters: remove them")
    for option in resources.extra or ():
        if not option.startswith("--"):
            raise UserError(
                f"{prefix}extra={option} is not an option of sbatch: write it as --exclude=node7"
            )


def _unknown_key(name: str, key: str) -> str:
    """The message for a key that launcher=NAME lacks: the nearest, or the launcher that has it."""
    parent, _, leaf = key.rpartition(".")
    at_top = parent == "launcher"
    known = _keys(KINDS[name] if at_top else Resources)
    owners = [other for other, kind in KINDS.items() if at_top and leaf in _keys(kind)]
    near = difflib.get_close_matches(leaf, known, n=1)
    if at_top and leaf in SWEEP_KEYS:
        hint = f"did you mean {leaf}?"
    elif owners:
        hint = f"it belongs to launcher={owners[0]}"
    elif near:
        hint = f"did you mean {parent}.{near[0]}?"
    else:
        hint = f"choose one of {', '.join(known)}"
    return f"unknown key {key} of launcher={name}: {hint}"


def launcher_keys() -> tuple[str, ...]:
    """The keys of all launchers: `launcher.jobs`, `launcher.partition` and so on."""
    return tuple(dict.fromkeys(f"launcher.{key}" for kind in KINDS.values() for key in _keys(kind)))


def _keys(kind: type[LocalSettings] | type[Resources]) -> list[str]:
    return [field.name for field in dataclasses.fields(kind)]
