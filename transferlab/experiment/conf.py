"""The files that configs are composed from: `conf/`, and folders of the user's.

Hydra decides which files there are and which comes first: its search path is `conf/`, then
`--config-dir`, then `hydra.searchpath`. No other module sees its loader.
"""

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from transferlab.errors import UserError
from transferlab.experiment.splits import second_unused

# Not groups of a run: `sweep.yaml` composes launchers, studies and questions are lists, and
# conf/hydra/ belongs to Hydra
OTHER_GROUPS = ("evaluation", "hydra", "launcher", "study")
# Hydra's words where the split has no such section
SECOND = re.compile(r"Could not override '(data@)?split\.a\b")


def conf_folder() -> Path:
    """The folder of the config files: in the installed package, or beside it in a checkout."""
    package = Path(__file__).parents[1]
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


@dataclass(frozen=True)
class Conf:
    """Config files: those of `folder` (None: conf/), then those of the user's folders.

    `primary` is the file that a run is composed from, `directory` the folder of `--config-dir`, and
    `searchpath` the override of `hydra.searchpath`, if there is one.
    """

    folder: Path | None = None
    primary: str = "config"
    directory: Path | None = None
    searchpath: tuple[str, ...] = ()

    def composed(
        self, overrides: Sequence[str], *, name: str | None = None, multirun: bool = False
    ) -> Any:
        """The DictConfig of a run, or of `name`, Hydra's own part included.

        `multirun`: overrides may be lists, which are left out.

        Raises: UserError with Hydra's reason.
        """
        from hydra.types import RunMode

        mode = RunMode.MULTIRUN if multirun else RunMode.RUN
        with self._loader() as loader, explained(Exception), quiet():
            return loader.load_configuration(
                self.primary if name is None else name,
                [*self.searchpath, *overrides],
                run_mode=mode,
                from_shell=False,
            )

    @property
    def folders(self) -> tuple[Path, ...]:
        """Those that Hydra looks into, the first one first."""
        return _listing(self, conf_folder())[1]

    def groups(self) -> list[str]:
        """The groups that a run is composed of."""
        names = _listing(self, conf_folder())[0]
        return sorted(name for name in names if name.partition("/")[0] not in OTHER_GROUPS)

    def choices(self, group: str) -> list[str]:
        """The choices of a group, without those that others inherit from (`_base`)."""
        names = _listing(self, conf_folder())[0].get(group, ())
        return sorted(name for name in names if not name.startswith("_"))

    def files(self, group: str, choice: str) -> list[Path]:
        """The files of that name, of which Hydra takes the first."""
        paths = (folder / group / f"{choice}.yaml" for folder in self.folders)
        return [path for path in paths if path.is_file()]

    def section(self, group: str, choice: str) -> dict[str, Any]:
        """What a file of a group sets, with those that it inherits from, as Hydra composes it.

        Hydra takes a quarter of a second for a file, which is too much to name a result by 30.
        """
        from omegaconf import OmegaConf

        raw: Any = OmegaConf.to_container(OmegaConf.load(self.files(group, choice)[0]))
        values: dict[str, Any] = {}
        for inherited in raw.pop("defaults", ["_self_"]):
            values |= raw if inherited == "_self_" else self.section(group, inherited)
        return values

    @contextmanager
    def _loader(self) -> Iterator[Any]:
        """Hydra's config loader, with these folders on its search path."""
        import hydra
        from hydra.core.config_search_path import SearchPathQuery
        from hydra.core.global_hydra import GlobalHydra

        folder = str((self.folder or conf_folder()).absolute())
        with hydra.initialize_config_dir(folder, version_base="1.3"):
            loader: Any = GlobalHydra.instance().config_loader()
            if self.directory is not None:  # as Hydra's command line does
                path = loader.get_search_path()
                schema = SearchPathQuery(provider="schema")
                path.prepend("command-line", f"file://{self.directory.absolute()}", anchor=schema)
                loader.repository.initialize_sources(path)
            yield loader


CONF = Conf()


@lru_cache(maxsize=64)
def _listing(conf: Conf, folder: Path) -> tuple[Mapping[str, tuple[str, ...]], tuple[Path, ...]]:
    """The choices of every group, and the folders. `folder` is that of conf/.

    Alone it needs no Hydra, whose import would be half of what `--help` takes.
    """
    if conf == CONF:
        files = [path.relative_to(folder) for path in folder.glob("*/**/*.yaml")]
        return {
            group: tuple(file.stem for file in files if file.parent.as_posix() == group)
            for group in {file.parent.as_posix() for file in files}
        }, (folder,)
    from hydra.core.object_type import ObjectType

    sources = conf.composed([], multirun=True).hydra.runtime.config_sources
    choices: dict[str, tuple[str, ...]] = {}
    with conf._loader() as loader, explained(Exception):
        # The sources are known: for a name and overrides Hydra would look for them in each group
        path = loader.get_search_path()
        path.get_path().clear()
        for each in sources:
            path.append(each.provider, f"{each.schema}://{each.path}")
        loader.repository.initialize_sources(path)
        options = loader.repository.get_group_options
        open_groups = [name for name in options("", ObjectType.GROUP) if name != "hydra"]
        while open_groups:
            group = open_groups.pop()
            choices[group] = tuple(options(group, ObjectType.CONFIG))
            open_groups += [f"{group}/{name}" for name in options(group, ObjectType.GROUP)]
    return choices, tuple(Path(each.path) for each in sources if each.schema == "file")


@contextmanager
def explained(*kinds: type[Exception]) -> Iterator[None]:
    """Hydra's errors about an override or a file become UserError with one line.

    `kinds` are further errors that only Hydra can raise inside the block.
    """
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    try:
        yield
    except UserError:
        raise
    except YAMLError as error:
        raise UserError(f"a file of conf/ is not YAML: {' '.join(str(error).split())}") from error
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(reason(error)) from error
    except OSError as error:
        raise UserError(f"{error.filename} cannot be used: {error.strerror}") from error
    except kinds as error:
        raise UserError(f"{type(error).__name__}: {reason(error)}") from error


def reason(error: BaseException) -> str:
    """The first line of Hydra's message and, where it wraps another, of that one."""
    from omegaconf.errors import OmegaConfBaseException

    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if lines and SECOND.match(lines[0]):
        return second_unused()
    if len(lines) < 2 and isinstance(error.__cause__, OmegaConfBaseException):
        lines.append(reason(error.__cause__))
    return "; ".join(lines[:2]) if lines else type(error).__name__


@contextmanager
def quiet() -> Iterator[None]:
    """Without Hydra's warnings, which the command reports once."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"hydra\.")
        yield
