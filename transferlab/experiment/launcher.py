"""How a plan is carried out: the keys of `conf/launcher/`, as frozen dataclasses.

Nothing here can change a result. Values that become options of `sbatch` are checked here, once.
"""

import dataclasses
import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from transferlab.errors import UserError
from transferlab.experiment import schema

ROLES = ("base", "transfer", "pack")


@dataclass(frozen=True)
class Resources:
    """What a job asks of the cluster; None: not asked for. Names as in `sbatch`."""

    partition: str | None
    account: str | None
    qos: str | None
    time: str | int | None
    gres: str | None
    cpus: int | None
    memory: str | int | None
    constraint: str | None
    throttle: int | None
    extra: tuple[str, ...] | None


@dataclass(frozen=True)
class LocalSettings:
    """Worker processes on this machine."""

    name: str
    jobs: int
    threads: int
    gpus: tuple[int, ...] | None
    fail_fast: bool


@dataclass(frozen=True)
class SlurmSettings(Resources):
    """Jobs of a cluster; `base`, `transfer` and `pack` say otherwise for jobs of that role."""

    name: str
    threads: int
    signal_s: int
    requeues: int
    template: str | None
    base: Resources
    transfer: Resources
    pack: Resources

    def resources(self, role: str) -> Resources:
        """What a job of that role asks for."""
        own = getattr(self, role)
        names = _keys(Resources)
        chosen = {n: getattr(self if getattr(own, n) is None else own, n) for n in names}
        return Resources(**chosen)


Launcher = LocalSettings | SlurmSettings
KINDS: dict[str, type[LocalSettings] | type[SlurmSettings]] = {
    "local": LocalSettings,
    "slurm": SlurmSettings,
}


def build_launcher(raw: Mapping[str, Any]) -> Launcher:
    """The launcher's settings from a plain dict, strictly. Raises: UserError."""
    name = raw.get("name")
    if name not in KINDS:
        raise UserError(f"launcher={name} is not there: choose one of {', '.join(KINDS)}")
    unknown = partial(_unknown, str(name))
    settings = schema.build(KINDS[str(name)], raw, unknown=unknown, prefix="launcher.")
    _check(settings)
    return settings


def launcher_dict(settings: Launcher) -> dict[str, Any]:
    """The plain dict from which `build_launcher` makes the same settings again."""
    raw: dict[str, Any] = dataclasses.asdict(settings)
    return raw


def _check(settings: Launcher) -> None:
    least = {"jobs": 1, "threads": 1, "cpus": 1, "throttle": 1, "signal_s": 0, "requeues": 0}
    for place, group in _groups(settings):
        for name, value in vars(group).items():
            key = f"launcher.{place}{name}"
            if name in least and value is not None and value < least[name]:
                raise UserError(f"{key}={value} is too small: {least[name]} or more")
            for word in value if isinstance(value, tuple) else (value,):
                if isinstance(word, str) and not word.isprintable():
                    raise UserError(f"{key}={word!r} has characters that cannot be printed")
                if name == "extra" and word is not None and not str(word).startswith("--"):
                    raise UserError(f"{key}={word} is not an option of sbatch: as --exclude=node7")


def _groups(settings: Launcher) -> list[tuple[str, Any]]:
    if isinstance(settings, LocalSettings):
        return [("", settings)]
    return [("", settings), *((f"{role}.", getattr(settings, role)) for role in ROLES)]


def _unknown(name: str, key: str) -> str:
    """The message for a key that launcher=NAME does not have: the nearest, or who has it."""
    place, _, leaf = key.rpartition(".")
    whole = place == "launcher"
    known = _keys(KINDS[name] if whole else Resources)
    others = [other for other, kind in KINDS.items() if whole and leaf in _keys(kind)]
    near = difflib.get_close_matches(leaf, known, n=1)
    if others:
        hint = f"launcher={others[0]} has it"
    elif near:
        hint = f"did you mean {place}.{near[0]}?"
    else:
        hint = f"it has {', '.join(known)}"
    return f"{key} is not a key of launcher={name}: {hint}"


def _keys(kind: type[LocalSettings] | type[Resources]) -> list[str]:
    return [field.name for field in dataclasses.fields(kind)]
