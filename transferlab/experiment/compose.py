"""From a command line's overrides and `conf/` to plain dicts and to the config of a run.

Hydra composes; no other module parses its overrides. Unknown groups, choices and keys are refused
before Hydra sees them, with the nearest known one, and lists without values, which it ignores.
"""

import difflib
import itertools
import re
import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from transferlab.errors import UserError
from transferlab.experiment import cuts, interpolation, pretrained
from transferlab.experiment.build import build_config
from transferlab.experiment.conf import CONF, Conf, reason
from transferlab.experiment.config import RunConfig
from transferlab.experiment.keys import OPTIONAL, SWEEP_KEYS, TEXTS, known_keys, unknown_key
from transferlab.runtime import commands

NAMED = ("model", "data", OPTIONAL)
# The group of data sets where it fills the section of A: as it is typed, as Hydra takes it
SECOND = (OPTIONAL, f"data@{OPTIONAL}")
WEIGHTS = "split.weights"
_OWN = re.compile(r"[\w.]+:[\w.-]+")


def run_config(composed: Any) -> RunConfig:
    """The config of the run that Hydra composed. Raises: UserError."""
    return build_config(cuts.numbered(plain(composed)))


def plain(composed: Any) -> dict[str, Any]:
    """What Hydra composed as a dict, with interpolations resolved. Raises: UserError."""
    return interpolation.plain(without_hydra(composed))


def without_hydra(composed: Any) -> Any:
    """What Hydra composed, without its own part."""
    from omegaconf import OmegaConf

    return OmegaConf.masked_copy(composed, [key for key in composed if key != "hydra"])


def compose(name: str, overrides: Sequence[str], conf: Conf = CONF) -> dict[str, Any]:
    """`conf/NAME.yaml` with the overrides, as a plain dict. Raises: UserError."""
    return plain(conf.composed(overrides, name=name))


def as_typed(override: str) -> str:
    """The override that Hydra takes, of one as it is typed.

    `split` has no default, so Hydra requires `+split=`; `split=` is accepted as well. What comes
    from a library or a module of one's own has no file in conf/: `model=timm:convnext_tiny` is
    `model.name=timm:convnext_tiny`. The data set of A, `split.a=cifar10`, is Hydra's
    `data@split.a=cifar10`.
    """
    if re.match(r"split=", override):
        return f"+{override}"
    key, equals, text = override.partition("=")
    key = named(key, text.split(","))[0]
    return (SECOND[1] if key == SECOND[0] else key) + equals + text


def with_model(overrides: Sequence[str]) -> list[str]:
    """The overrides, and the network that `split.weights` names by itself unless one is chosen."""
    keys = [override.lstrip("+").partition("=")[0] for override in overrides]
    if WEIGHTS not in keys or {"model", "model.name"} & {*keys}:
        return [*overrides]
    parsed = parse(overrides[keys.index(WEIGHTS)])
    model = pretrained.model_of_all(values(parsed))
    return [*overrides, *([] if model is None else [f"model.name={model}"])]


def named(key: str, values: Iterable[Any]) -> tuple[str, tuple[Any, ...]]:
    """`model` and `data` as the key `model.name` or `data.name` if no value is a file of conf/."""
    values = tuple(values)
    own = key in NAMED and values and all(_OWN.fullmatch(str(value)) for value in values)
    return (f"{key}.name" if own else key), values


# --- parsing ------------------------------------------------------------------------------------


@lru_cache(maxsize=1024)
def parse(override: str) -> Any:
    """The parsed override, which is not to be changed: each is asked for many times.

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
        key, _, text = override.partition("=")
        quoted = shlex.quote(commands.interpolation(key, text))
        hint = f"; quote it: {quoted}" if "${" in text else ""
        raise UserError(f"{override}: {reason(error)}{hint}") from error
    if isinstance(parsed.value(), int | float | list | dict) and (quoted := _quoted(override)):
        raise UserError(f"{override} is not a text to Hydra: write {quoted}")
    return parsed


def _quoted(override: str) -> str:
    """The override of a key of `TEXTS` as it is typed in a shell, its value quoted for Hydra."""
    key, _, text = override.partition("=")
    return commands.setting(key, text) if key.lstrip("+") in TEXTS else ""


def key_of(parsed: Any) -> str:
    """The group or key that a parsed override sets, as it is typed: `split.a` for Hydra's
    `data@split.a`."""
    key: str = parsed.get_key_element().lstrip("+~")
    return SECOND[0] if key == SECOND[1] else parsed.key_or_group


def group_of(key: str, conf: Conf = CONF) -> str | None:
    """The group whose choices a key takes: `data` for `split.a`. None if it is no group."""
    key = "data" if key == SECOND[0] else key
    return key if key in conf.groups() else None


def settings(overrides: Iterable[str], conf: Conf = CONF) -> dict[str, tuple[Any, ...]]:
    """Group or key -> the value, or the values of a list, that the overrides set."""
    parsed = [override for override in map(parse, overrides) if not override.is_delete()]
    return {key_of(override): values(override, conf) for override in parsed}


def values(parsed: Any, conf: Conf = CONF) -> tuple[Any, ...]:
    """The values of a parsed override: those of a list, else one.

    Raises: UserError for a list without values.
    """
    from hydra.core.override_parser.types import QuotedString

    found = _listed(parsed, conf) if parsed.is_discrete_sweep() else (parsed.value(),)
    return tuple(value.text if isinstance(value, QuotedString) else value for value in found)


def spelled(override: str, conf: Conf = CONF) -> list[str]:
    """The overrides of one value each that a list stands for, in Hydra's spelling.

    An interval, which has no values, and an override of one value are returned as they are.
    """
    from hydra.core.override_parser.types import Transformer

    parsed = parse(override)
    if not parsed.is_discrete_sweep():
        return [override]
    key = parsed.get_key_element()
    return [f"{key}={Transformer.str(value)}" for value in _listed(parsed, conf)]


def enumerated(override: str, conf: Conf = CONF) -> str:
    """A glob as the list of the choices that it matches; any other override as it is.

    Hydra would also take files that others inherit from, and not look into `hydra.searchpath`.
    """
    from hydra.core.override_parser.types import Glob

    parsed = parse(override)
    if not isinstance(parsed.value(), Glob) or parsed.is_hydra_override():
        return override
    return f"{parsed.get_key_element()}={','.join(map(str, _listed(parsed, conf)))}"


def _listed(parsed: Any, conf: Conf) -> tuple[Any, ...]:
    """The values of a list, as Hydra has parsed them. Raises: UserError if there are none."""
    from hydra.core.override_parser.types import Glob
    from hydra.errors import HydraException

    word, key = parsed.input_line, key_of(parsed)
    if isinstance(parsed.value(), Glob):
        group = group_of(key, conf)
        if group is None:
            raise UserError(
                f"{word} lists the choices of a group, and {key} is none: choose one of "
                f"{', '.join(conf.groups())}"
            )
        found = tuple(parsed.value().filter(conf.choices(group)))
    else:
        try:
            found = tuple(parsed.sweep_iterator())
        except (HydraException, ValueError) as error:
            raise UserError(f"{word}: {error}") from error
    if not found:
        raise UserError(f"{word} has no values: a list needs at least one, or no run is started")
    return found


def points(
    overrides: Sequence[str], varied: Collection[str] | None = None, conf: Conf = CONF
) -> Iterator[list[str]]:
    """The overrides of a multirun for every combination of the values of the keys in `varied`.

    None: of all keys. Of other lists the first value is taken. An interval is left out.
    """
    lists = []
    for override in overrides:
        parsed = parse(override)
        if parsed.is_sweep_override() and not parsed.is_discrete_sweep():
            continue
        each = spelled(override, conf)
        lists.append(each if varied is None or key_of(parsed) in varied else each[:1])
    return (list(point) for point in itertools.product(*lists))


# --- checking -----------------------------------------------------------------------------------


def check_single(overrides: Iterable[str]) -> None:
    """Raises: UserError for a list of values, which only a multirun takes."""
    for override in overrides:
        if parse(override).is_sweep_override():
            quoted = _quoted(override)
            text = f"; if it is one text, write {quoted}" if quoted else ""
            raise UserError(f"{override} is a list of values: add -m for a run of each{text}")


def check(overrides: Sequence[str], conf: Conf = CONF) -> None:
    """Refuse unknown groups, choices and keys of a run, and lists without values.

    What Hydra composes into the config of a run passes.

    Raises: UserError, with the nearest known one.
    """
    parsed = [parse(override) for override in overrides]
    deleted = {key_of(override) for override in parsed if override.is_delete()}
    for override in parsed:
        key = key_of(override)
        if key.split(".")[0] == "hydra" or key.startswith("hydra/"):
            continue
        set_to = values(override, conf)
        group = group_of(key, conf)
        elsewhere = override.package is not None and key != SECOND[0]
        if key in deleted or (elsewhere and group is not None):
            continue
        for value in set_to:
            if isinstance(value, Mapping):
                for name in _leaves(value, key):
                    check_key(name, conf)
            elif group is None:
                check_key(key, conf)
            else:
                for name in value if isinstance(value, list) else [value]:
                    check_choice(key, "null" if name is None else str(name), conf)


def _leaves(value: Mapping[Any, Any], prefix: str) -> Iterator[str]:
    """The full names of the keys of a mapping."""
    for name, item in value.items():
        key = f"{prefix}.{name}"
        if isinstance(item, Mapping):
            yield from _leaves(item, key)
        else:
            yield key


def check_key(key: str, conf: Conf = CONF) -> None:
    """Raises: UserError, with the nearest known key, if no run has the key."""
    if key in known_keys():
        return
    near = difflib.get_close_matches(key, conf.groups(), n=1)
    if "." not in key and near and key not in SWEEP_KEYS:
        raise UserError(f"unknown group {key}: did you mean {near[0]}=?")
    raise UserError(unknown_key(key))


def check_choice(key: str, value: str, conf: Conf = CONF) -> None:
    """Raises: UserError, with the known choices, if the group of a key has no such file, and as
    `check_hidden` does."""
    group = group_of(key, conf) or key
    known = conf.choices(group)
    if value not in known:
        folders = [folder / group for folder in conf.folders[1:] if (folder / group).is_dir()]
        searched = ", ".join([f"conf/{group}/", *map(str, folders)])
        raise UserError(
            f"unknown {key}={value}: {nearest(value, known)}choose one of "
            f"{', '.join(known)} ({searched})"
        )
    check_hidden(group, value, conf)


def check_hidden(group: str, value: object, conf: Conf) -> None:
    """Raises: UserError if the choice is also a file of the user's that Hydra does not read."""
    files = conf.files(group, str(value))
    for file in files[1:]:
        if file.read_bytes() != files[0].read_bytes():
            raise UserError(
                f"{group}={value} is {files[0]}, which hides {file}: give your file another name"
            )


def nearest(name: str, known: Iterable[str]) -> str:
    """`did you mean X? ` for a similar known name, else an empty text."""
    matches = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean {matches[0]}? " if matches else ""
