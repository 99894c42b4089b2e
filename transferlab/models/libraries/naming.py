"""Names of stages, from the paths of the modules that they consist of."""

import itertools
from collections.abc import Sequence

from transferlab.models.libraries.cutting import Piece
from transferlab.models.stages import StagedNetwork

CLASSIFIER = "classifier"  # the last stage


def names(found: Sequence[Piece]) -> list[tuple[str, str | None]]:
    """For each piece the name of its stage and, where that has several, its own within it.

    They are the paths of the modules that the pieces consist of, as short as they are still unique
    and with `_` for dots: `stages_1`, and `blocks_0` in it. The last stage is the classifier.
    """
    stages = [
        list(group) for _, group in itertools.groupby(found[:-1], key=lambda each: each.group)
    ]
    targets = [[target for piece in stage for target in piece.targets] for stage in stages]
    paths = [_path(each, beside=targets) for each in targets]
    taken = {*dir(StagedNetwork), CLASSIFIER}
    result: list[tuple[str, str | None]] = []
    for path, stage in zip(paths, stages, strict=True):
        name = _free(_short(path, paths), taken)
        if len(stage) == 1:
            result.append((name, None))
            continue
        inside: set[str] = set()
        owns = [_path(piece.targets, beside=()) for piece in stage]
        owns = [piece.main if own == path else own for own, piece in zip(owns, stage, strict=True)]
        for own in owns:
            result.append((name, _free(_short(own, owns).removeprefix(f"{path}."), inside)))
    return [*result, (CLASSIFIER, None)]


def _path(targets: Sequence[str], *, beside: Sequence[Sequence[str]]) -> str:
    """The innermost module of the first target and those beside it, or the first target alone.

    The latter if that module has targets of other stages too.
    """
    parts = [path.split(".") for path in targets]
    parts = [each for each in parts if each[0] == parts[0][0]]
    shared = itertools.takewhile(lambda each: len(set(each)) == 1, zip(*parts, strict=False))
    path = ".".join(each[0] for each in shared)
    others = [other for each in beside if each is not targets for other in each]
    return targets[0] if any(f"{other}.".startswith(f"{path}.") for other in others) else path


def _short(path: str, paths: Sequence[str]) -> str:
    """The shortest module above `path` that contains no other of the paths, or its name alone."""
    others = [f"{other}." for other in paths if other != path]
    while (above := path.rpartition(".")[0]) and not any(
        other.startswith(f"{above}.") for other in others
    ):
        path = above
    name = path.rpartition(".")[2]
    alone = not name.isdecimal() and not any(f".{other}".endswith(f".{name}.") for other in others)
    return name if alone else path


def _free(path: str, taken: set[str]) -> str:
    """A name of a module for the path, which is then `taken`, in place."""
    name = base = path.replace(".", "_")
    number = 1
    while name in taken:
        number += 1
        name = f"{base}_{number}"
    taken.add(name)
    return name
