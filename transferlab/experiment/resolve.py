"""From a config to its run: reads the classes and halves from disk, and digests both.

The only step from a config to its run id that reads anything; imports no torch. A command resolves
its configs once, and a worker process the runs of its job, which checks the images against the
recorded digests. Everything else takes the run.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

from transferlab import data
from transferlab.errors import UserError
from transferlab.experiment import fit, pretrained, views
from transferlab.experiment.config import (
    DataConfig,
    ModelConfig,
    RunConfig,
    RuntimeConfig,
    SplitConfig,
)
from transferlab.experiment.identity import REVISION, of_weights
from transferlab.experiment.keys import image_paths
from transferlab.experiment.run import Run, RunMaker
from transferlab.experiment.splits import Split, divide
from transferlab.experiment.variables import conceal, displayed, expand
from transferlab.runtime import commands, paths
from transferlab.runtime.garbage import uncollected

Described = tuple[data.Description, data.StoredPixels | None]
Sections = tuple[SplitConfig, DataConfig, ModelConfig, tuple[str, str] | None]


@dataclass(frozen=True)
class _Resolved:
    """The sections of a config that depend on the images, with digests, and its halves."""

    split: SplitConfig
    data: DataConfig
    model: ModelConfig
    halves: Split


def resolve(config: RunConfig) -> Run:
    """The run of a config: `data.digest` and `split.digest` are filled in, and its classes known.

    A digest that is recorded in the config must be that of the current images and halves.
    `model.num_outputs` is dropped where it is the number of classes.

    Raises: UserError if the data are missing, have changed, or cannot be split like this, or the
        config is of another revision.
    """
    return resolve_all([config])[0]


@uncollected()
def resolve_all(configs: Iterable[RunConfig], *, threads: int | None = None) -> tuple[Run, ...]:
    """The runs of the configs, in their order, with `threads` where they name none.

    What configs have in common is read once: a study may have 100,000 runs.

    Raises: UserError as `resolve` does.
    """
    maker = RunMaker(_Resolution(threads))
    return tuple([maker.run(config) for config in map(pretrained.completed, configs)])


class _Resolution:
    """Completes configs: what several have in common is read once."""

    def __init__(self, threads: int | None) -> None:
        self._threads = threads
        self._runtimes: dict[RuntimeConfig, RuntimeConfig] = {}  # which a study has few of
        self._described: dict[DataConfig, Described] = {}
        self._resolved: dict[Sections, _Resolved] = {}

    def __call__(self, config: RunConfig) -> tuple[RunConfig, Split]:
        """The config with its digests and threads, and its halves. Raises: UserError."""
        _check_revision(config)
        config = config.with_sections({"runtime": self._threaded(config.runtime)})
        if config.is_pretrained:  # it has no images
            return of_weights(config), Split((), ())
        # With two data sets, how large the images are read depends on the variant
        seen = None if config.split.a is None else (config.variant.target, views.letter(config))
        key = (config.split, config.data, config.model, seen)
        if key not in self._resolved:
            self._resolved[key] = self._read(_here(config))
        parts = self._resolved[key]
        own = {"split": parts.split, "data": parts.data, "model": parts.model}
        return config.with_sections(own), parts.halves

    def _threaded(self, runtime: RuntimeConfig) -> RuntimeConfig:
        if runtime.threads is not None:
            return runtime
        if runtime not in self._runtimes:
            self._runtimes[runtime] = replace(runtime, threads=self._threads)
        return self._runtimes[runtime]

    def _read(self, config: RunConfig) -> _Resolved:
        with _concealing(config):
            for each in _read(config):
                if each not in self._described:
                    self._described[each] = _describe(each)
                fit.check_labels(config, each, self._described[each][0])
            read = views.data_of(config, config.variant.target)
            fit.check_stored(config, self._described[read][1])
            return _resolve(config, self._described)


def summarise_data(config: DataConfig) -> str:
    """The data set and its size: `image_folder photos, 10 classes, 4,000 training images`."""
    counts = data.train_counts(
        config.name, root=config.root, val=config.val, holdout=config.holdout
    )
    images = data.count_images(
        [min(count, config.per_class or count) for count in counts],
        multi_label=_describe(config)[0].multi_label,
    )
    folder = f" {paths.expand(displayed(config.root)).absolute().name}" if config.root else ""
    return f"{config.name}{folder}, {len(counts)} classes, {images:,} training images"


def _here(config: RunConfig) -> RunConfig:
    """The config with what its record leaves to the environment read from this one."""
    root, groups, second = config.data.root, config.split.groups, config.split.a
    if second is not None:
        second = replace(second, root=second.root and expand("split.a.root", second.root))
    return replace(
        config,
        data=replace(config.data, root=root and expand("data.root", root)),
        split=replace(config.split, groups=groups and expand("split.groups", groups), a=second),
    )


@contextmanager
def _concealing(config: RunConfig) -> Iterator[None]:
    """Errors are recorded: they show paths from the environment as they were written."""
    try:
        yield
    except UserError as error:
        raise UserError(conceal(str(error), image_paths(config))) from error


def _read(config: RunConfig) -> tuple[DataConfig, ...]:
    """The data sets of a config: that of B, and of A if it has images of its own."""
    second = None if config.split.weights else config.split.a
    return (config.data,) if second is None else (config.data, second)


def _describe(config: DataConfig) -> Described:
    description = data.describe(
        config.name, root=config.root, val=config.val, holdout=config.holdout
    )
    return description, data.stored(config.name, root=config.root)


def _resolve(config: RunConfig, described: Mapping[DataConfig, Described]) -> _Resolved:
    description, second = described[config.data][0], config.split.a
    halves = divide(
        config.split.name,
        description.classes,
        seed=config.split.seed,
        groups=config.split.groups,
        root=config.data.root,
        second=None if second is None or config.split.weights else described[second][0].classes,
    )
    _check_digest("data.digest", config.data.digest, description.digest, config.data, "data")
    _check_digest("split.digest", config.split.digest, halves.digest, config.data, "data")
    first = replace(config.data, digest=description.digest)
    if second is not None and not config.split.weights:
        digest = described[second][0].digest
        _check_digest("split.a.digest", second.digest, digest, second, "split.a")
        second = replace(second, digest=digest)
        _check_different(first, second)
    return _Resolved(
        split=replace(config.split, digest=halves.digest, a=second),
        data=first,
        model=_model(config.model, halves),
        halves=halves,
    )


def _check_revision(config: RunConfig) -> None:
    if config.revision != REVISION:
        raise UserError(
            f"revision={config.revision} trains by other rules than this version, whose "
            f"revision={REVISION} gives other numbers: use the version that made the run, or "
            "start it again in this one"
        )


def _check_digest(
    key: str, recorded: str | None, current: str, images: DataConfig, group: str
) -> None:
    if recorded not in (None, current):
        raise UserError(
            f"{key}={recorded[:12]}... is the recorded digest, but that of the data is "
            f"{current[:12]}...: {group}.root={images.root} holds other images or classes; restore "
            "them, or start the experiment again, with runs of these images"
        )


def _check_different(b: DataConfig, a: DataConfig) -> None:
    """Raises: UserError for one data set as A and as B, seen in the same way."""
    here = {key: getattr(b, key) for key in ("root", "val", "unreadable")}
    if replace(a, **here) == b:
        raise UserError(
            f"A and B are the same images of {b.name}: choose the data set of A with "
            f"{commands.setting('split.a', 'NAME')}, and that of B with "
            f"{commands.setting('data', 'NAME')}"
        )


def _model(config: ModelConfig, halves: Split) -> ModelConfig:
    """Without `num_outputs` where every half that has classes has as many."""
    outputs = config.num_outputs
    if outputs is None:
        return config
    sizes = {letter: len(halves.half(letter)) for letter in "AB" if halves.half(letter)}
    for letter, size in sizes.items():
        if outputs < size:
            raise UserError(
                f"model.num_outputs={outputs} is fewer than the {size} classes of half {letter}"
            )
    return replace(config, num_outputs=None) if {outputs} == set(sizes.values()) else config
