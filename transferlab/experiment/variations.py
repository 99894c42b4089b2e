"""Configs that differ from one in some keys: the points of a grid, the rows of a manifest.

What many of them have in common is built and checked once: a study of 100,000 runs has few
sections, and few combinations of what is checked together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import Any, NamedTuple

from transferlab.errors import UserError
from transferlab.experiment import agreement, schema
from transferlab.experiment.canonical import canonical
from transferlab.experiment.config import DataConfig, RunConfig
from transferlab.experiment.identity import uncut
from transferlab.experiment.keys import OPTIONAL, TYPES, unknown_key

# Key -> its section, empty for one in none, and its name there: `a.size` of `split.a.size`
_PARTS = {
    key: (section, leaf) if leaf else ("", section)
    for key in TYPES
    for section, _, leaf in [key.partition(".")]
}


class _Built(NamedTuple):
    """Sections by name, or values of keys that are in none; `outline` is the same number for all
    that make no difference to the checks."""

    sections: Mapping[str, Any]
    outline: int


class _Varied:
    """A section of which some keys vary: what it was built of, and their values among those of all
    keys, as they are: one value alone is no tuple."""

    def __init__(self, section: str, places: Mapping[str, int]) -> None:
        self.section, self._leaves = section, tuple(places)
        self.values = itemgetter(*places.values())
        self.built: dict[str, _Built] = {}

    def named(self, own: Any) -> dict[str, Any]:
        return dict(zip(self._leaves, own if len(self._leaves) > 1 else (own,), strict=True))


class Variations:
    """The configs with other values of `keys`, each as strict as `build_config`."""

    def __init__(self, config: RunConfig, keys: Sequence[str], *, recorded: bool = False) -> None:
        """`recorded`: see `build_config`. Raises: UserError for an unknown key."""
        self._config, self._recorded = config, recorded
        places: dict[str, dict[str, int]] = {}  # section -> leaf -> its place in `keys`
        for place, key in enumerate(keys):
            if key not in _PARTS:
                raise UserError(unknown_key(key))
            section, leaf = _PARTS[key]
            places.setdefault(section, {})[leaf] = place
        self._varied = [_Varied(section, own) for section, own in places.items()]
        self._outlines: dict[Any, int] = {}
        self._agreed: set[tuple[int, ...]] = set()

    def at(self, values: Sequence[Any]) -> RunConfig:
        """The config with these values of the keys. Raises: UserError as `build_config` does."""
        sections: dict[str, Any] = {}
        outline = []
        for varied in self._varied:
            own = varied.values(values)
            same = repr(own)  # which differs for 1, 1.0 and true
            built = varied.built.get(same)
            if built is None:
                built = varied.built[same] = self._build(varied.section, varied.named(own))
            sections |= built.sections
            outline.append(built.outline)
        config = self._config.with_sections(sections)
        if config.transfer.n == 0:  # a base network has no cut
            config = config.with_sections({"model": uncut(config.model)})
        if (same_checks := tuple(outline)) not in self._agreed:
            agreement.check(config, self._recorded)
            self._agreed.add(same_checks)
        return config

    def _build(self, section: str, changed: Mapping[str, Any]) -> _Built:
        """The section with changes."""
        if not section:  # of which no check asks
            return _Built(_typed("", changed), 0)
        original = getattr(self._config, section)
        own = {leaf: value for leaf, value in changed.items() if "." not in leaf}
        second = {leaf.partition(".")[2]: v for leaf, v in changed.items() if "." in leaf}
        typed = _typed(section, own)
        if second:
            typed["a"] = _second(original.a, second)
        built = canonical(section, replace(original, **typed), self._recorded)
        number = self._outlines.setdefault(agreement.outline(built), len(self._outlines))
        return _Built({section: built}, number)


def _typed(section: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of keys of a section, each of its type. Raises: UserError."""
    keys = {leaf: f"{section}.{leaf}" if section else leaf for leaf in values}
    return {leaf: schema.value(TYPES[keys[leaf]], v, keys[leaf]) for leaf, v in values.items()}


def _second(data: DataConfig | None, changes: Mapping[str, Any]) -> DataConfig | None:
    """The data set of A with changes: made of them where there was none, None without a name."""
    values = {**({} if data is None else vars(data)), **changes}
    if values.get("name") is None:
        return None
    return schema.build(DataConfig, values, unknown=unknown_key, prefix=f"{OPTIONAL}.")
