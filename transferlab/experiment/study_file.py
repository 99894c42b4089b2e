"""The YAML file of a study as a list of grids, whoever wrote it.

A file of a stranger's may be no file, huge, or expand without end through YAML's anchors and
aliases. So its nodes are checked for the one shape that a study has before values are made of them:
a list of mappings of texts to a value or a list of values.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from transferlab.errors import UserError

LARGEST = 1_000_000  # bytes
SHAPE = "must be a list of grids: see conf/study/quick.yaml"
MERGE = "tag:yaml.org,2002:merge"  # `<<: *grid`


def read(path: Path) -> list[Any]:
    """The grids. Raises: UserError if the file cannot be read, or is not a list of grids."""
    import yaml
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    text = _text(path)
    try:  # as Hydra reads the rest of conf/: 1e-3 is a number, and a duplicate key an error
        _check(path, yaml.compose(text, yaml.SafeLoader))
        raw = OmegaConf.to_container(OmegaConf.create(text))
    except (yaml.YAMLError, OmegaConfBaseException, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"study={path} is not YAML: {' '.join(str(error).split())}") from error
    except RecursionError as error:
        raise UserError(f"study={path} is nested too deep: it {SHAPE}") from error
    if not isinstance(raw, list) or not raw:
        raise UserError(f"study={path} {SHAPE}")
    return raw


def _text(path: Path) -> str:
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise UserError(f"study={path} cannot be read: it is not a regular file")
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise UserError(f"study={path} cannot be read: it has more than {LARGEST:,} bytes")
        return content.decode()
    except UnicodeDecodeError as error:
        raise UserError(f"study={path} cannot be read: {error}") from error
    except OSError as error:
        raise UserError(f"study={path} cannot be read: {error.strerror}") from error


# --- nodes --------------------------------------------------------------------------------------


def _check(path: Path, top: Any) -> None:
    """Raises: UserError unless the nodes have the shape of a study, and none contains itself."""
    import yaml

    if not isinstance(top, yaml.SequenceNode):
        raise UserError(f"study={path} {SHAPE}")
    for number, grid in enumerate(top.value, start=1):
        source = f"{path}, grid {number}"
        _refuse_cycle(source, grid, (top,))
        if not isinstance(grid, yaml.MappingNode):
            raise UserError(f"{source} must map keys to values: see conf/study/quick.yaml")
        for key, value in _entries(source, grid, (top,)):
            _check_values(f"{source}: {key}", source, value, (top, grid))


def _check_values(
    name: str, source: str, node: Any, above: tuple[Any, ...], lists: int = 2
) -> None:
    """A value or a list of values, each of which may be a list, as in `[[256, 512]]`."""
    import yaml

    _refuse_cycle(source, node, above)
    if isinstance(node, yaml.SequenceNode) and lists:
        for inner in node.value:
            _check_values(name, source, inner, (*above, node), lists - 1)
    elif not isinstance(node, yaml.ScalarNode):
        raise UserError(f"{name} must be a value or a list of values")


def _entries(source: str, grid: Any, above: tuple[Any, ...]) -> Iterator[tuple[str, Any]]:
    """The keys of a grid and their nodes, those that it merges from other grids included."""
    import yaml

    _refuse_cycle(source, grid, above)
    for key, value in grid.value:
        if key.tag != MERGE:
            yield str(key.value), value
            continue
        for other in value.value if isinstance(value, yaml.SequenceNode) else [value]:
            if not isinstance(other, yaml.MappingNode):
                raise UserError(f"{source}: {key.value} must name grids, as *GRID")
            yield from _entries(source, other, (*above, grid))


def _refuse_cycle(source: str, node: Any, above: tuple[Any, ...]) -> None:
    """Raises: UserError if a node is one of those that contain it, with the lines of these."""
    for depth, other in enumerate(above):
        if node is other:
            numbers = [each.start_mark.line + 1 for each in (*above[depth:], node)]
            chain = " contains line ".join(map(str, numbers))
            raise UserError(f"{source} contains itself: line {chain}; remove the alias (*NAME)")
