"""From a command line's overrides and `conf/` to plain dicts and to the config of a run.

Hydra composes; no other module sees its config objects. Unknown groups, choices and
keys are refused before Hydra sees them, with the nearest known one.
"""

import difflib
import itertools
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transferlab.errors import UserError
from transferlab.experiment.build import build_config
from transferlab.experiment.config import RunConfig
from transferlab.experiment.keys import TEXTS, known_keys, unknown_key
from transferlab.runtime import commands

# Not groups of a run: `sweep.yaml` composes launchers, `study` reads studies itself, and
# conf/hydra/ belongs to Hydra
OTHER_GROUPS = ("hydra", "launcher", "study")
SWEEP_KEYS = ("study", "launcher", "sweep", "dry_run")


def conf_folder() -> Path:
    """The folder of the config files: in the installed package, or beside it in a checkout."""
    package = Path(__file__).parents[1]
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


def run_config(composed: Any) -> RunConfig:
    """The config of the run that Hydra composed. Raises: UserError."""
    return build_config(plain(composed))


def plain(composed: Any) -> dict[str, Any]:
    """What Hydra composed as a dict, with interpolations resolved. Raises: UserError."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    run = OmegaConf.masked_copy(composed, [key for key in composed if key != "hydra"])
    try:
        raw = OmegaConf.to_container(run, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise UserError(str(error).splitlines()[0]) from error
    assert isinstance(raw, dict)
    return {str(key): value for key, value in raw.items()}


def compose(name: str, overrides: Sequence[str]) -> dict[str, Any]:
    """`conf/NAME.yaml` with the overrides, as a plain dict. Raises: UserError."""
    import hydra

    with explained(), hydra.initialize_config_dir(str(conf_folder()), version_base="1.3"):
        return plain(hydra.compose(name, overrides=list(overrides)))


@contextmanager
def explained() -> Iterator[None]:
    """Hydra's errors about an override or a file of conf/ become UserError with one line."""
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(reason(error)) from error
    except YAMLError as error:
        raise UserError(f"a file of conf/ is not YAML: {' '.join(str(error).split())}") from error


def with_plus(override: str) -> str:
    """`split` has no default, so Hydra requires `+split=`; `split=` is accepted as well."""
    return f"+{override}" if re.match(r"split=", override) else override


def parse(override: str) -> Any:
    """The parsed override.

    Raises: UserError if it is none, or if the value of a key of `TEXTS` is not read as a text, with
        how it is quoted.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        parsed = OverridesParser.create().parse_override(override)
    except HydraException as error:
        if quoted := _quoted(override):
            raise UserError(f"{override} is not a text to Hydra: write {quoted}") from error
        raise UserError(f"{override}: {reason(error)}") from error
    if isinstance(parsed.value(), int | float | list | dict) and (quoted := _quoted(override)):
        raise UserError(f"{override} is not a text to Hydra: write {quoted}")
    return parsed


def check_single(overrides: Iterable[str]) -> None:
    """Raises: UserError for a list of values, which only a multirun takes."""
    for override in overrides:
        if parse(override).is_sweep_override():
            quoted = _quoted(override)
            text = f"; if it is one text, write {quoted}" if quoted else ""
            raise UserError(f"{override} is a list of values: add -m for a run of each{text}")


def _quoted(override: str) -> str:
    """The override of a key of `TEXTS` as it is typed in a shell, its value quoted for Hydra."""
    key, _, text = override.partition("=")
    return commands.setting(key, text) if key.lstrip("+") in TEXTS else ""


def check(overrides: Sequence[str]) -> None:
    """Refuse unknown groups, choices and keys of a run.

    Raises: UserError, with the nearest known one.
    """
    for override in overrides:
        parsed = parse(override)
        key = parsed.key_or_group
        if key.split(".")[0] == "hydra" or key.startswith("hydra/"):
            continue
        if key in groups():
            values = (
                list(parsed.sweep_string_iterator())
                if parsed.is_sweep_override()
                else [str(parsed.value())]
            )
            for value in values:
                check_choice(key, value)
        else:
            check_key(key)


def settings(overrides: Iterable[str]) -> dict[str, tuple[Any, ...]]:
    """Group or key -> the value, or the values of a list, that the overrides set."""
    parsed = [override for override in map(parse, overrides) if not override.is_delete()]
    return {override.key_or_group: values(override) for override in parsed}


def values(parsed: Any) -> tuple[Any, ...]:
    """The values of a parsed override: those of a list, else one."""
    from hydra.core.override_parser.types import QuotedString

    several = parsed.is_discrete_sweep()
    found = parsed.sweep_iterator() if several else (parsed.value(),)
    return tuple(value.text if isinstance(value, QuotedString) else value for value in found)


def points(overrides: Sequence[str], varied: Collection[str]) -> Iterator[list[str]]:
    """The overrides of a multirun for every combination of the values of the keys in `varied`.

    Of other lists the first value is taken; an interval, which has no values, is left out.
    """
    lists = []
    for override, parsed in ((override, parse(override)) for override in overrides):
        if parsed.is_discrete_sweep():
            key, values = parsed.get_key_element(), parsed.sweep_string_iterator()
            spelled = [f"{key}={value}" for value in values]
            lists.append(spelled if parsed.key_or_group in varied else spelled[:1])
        elif not parsed.is_sweep_override():
            lists.append([override])
    return (list(point) for point in itertools.product(*lists))


def check_key(key: str) -> None:
    """Raises: UserError, with the nearest known key, if no run has the key."""
    if key in known_keys():
        return
    if key.partition(".")[0] in SWEEP_KEYS:
        raise UserError(
            f"{key} belongs to a sweep, not to a run: "
            f"{commands.line('sweep', commands.override('+study', 'NAME'))}"
        )
    near = difflib.get_close_matches(key, groups(), n=1)
    if "." not in key and near:
        raise UserError(f"unknown group {key}: did you mean {near[0]}=?")
    raise UserError(unknown_key(key))


def check_choice(group: str, value: str) -> None:
    """Raises: UserError, with the known choices, if conf/GROUP/ has no such file."""
    known = choices(group)
    if value not in known:
        raise UserError(
            f"unknown {group}={value}: {nearest(value, known)}choose one of "
            f"{', '.join(known)} (conf/{group}/)"
        )


def choices(group: str) -> list[str]:
    """The names of the files in conf/GROUP/, without those that others inherit from (`_base`)."""
    return sorted(path.stem for path in (conf_folder() / group).glob("[!_]*.yaml"))


def groups() -> list[str]:
    """The groups of conf/ that a run is composed of."""
    folders = (path.name for path in conf_folder().iterdir() if path.is_dir())
    return sorted(name for name in folders if name not in OTHER_GROUPS)


def nearest(name: str, known: Iterable[str]) -> str:
    """`did you mean X? ` for a similar known name, else an empty text."""
    matches = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean {matches[0]}? " if matches else ""


def reason(error: BaseException) -> str:
    """The first line of Hydra's message and, where it wraps another, of that one."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return "; ".join(lines[:2]) if lines else type(error).__name__
