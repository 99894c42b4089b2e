"""Cut points by name: `transfer.n=inception_4b`, and `transfer.n=all` of a study.

A config has numbers only. The names are those of the network's stages, which the probe reports.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from transferlab.errors import UserError
from transferlab.experiment import variables
from transferlab.experiment.cost import networks
from transferlab.models.facts import NetworkShape, stage_number
from transferlab.runtime import paths

ALL = "all"
OUTPUTS = 2  # the stages are the same for any number of outputs


def is_name(n: object) -> bool:
    """Whether `transfer.n` is to be looked up."""
    return isinstance(n, str)


def numbered(raw: Mapping[str, Any]) -> dict[str, Any]:
    """A composed config with the number of the stage that `transfer.n` names.

    Raises: UserError for an unknown stage, `all`, and a network that cannot be built.
    """
    n = _n(raw)
    if n == ALL:
        raise UserError(f"transfer.n={ALL} is for a study or a sweep: a run has one cut, as 3")
    return dict(raw) if not is_name(n) else _with(raw, stage_number(_stages(raw), n))


def each(raw: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The composed config; with `transfer.n=all` one for every cut of its network."""
    if _n(raw) != ALL:
        yield numbered(raw)
        return
    for n in range(1, len(_stages(raw))):
        yield _with(raw, n)


def _n(raw: Mapping[str, Any]) -> Any:
    transfer = raw.get("transfer")
    return transfer.get("n") if isinstance(transfer, Mapping) else None


def _with(raw: Mapping[str, Any], n: int) -> dict[str, Any]:
    return {**raw, "transfer": {**raw["transfer"], "n": n}}


def _stages(raw: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the stages of a composed config's network. Raises: UserError."""
    model, cache = raw["model"], raw["runtime"].get("cache")
    network = NetworkShape(
        str(model["name"]),
        OUTPUTS,
        int(raw["data"]["crop"]),
        str(model.get("cuts", "stage")),
        model.get("reduction"),
    )
    folder: Path = paths.cache(None if cache is None else variables.expand("runtime.cache", cache))
    return networks.stage_names(network, folder)
