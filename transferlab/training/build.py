"""The parts of a training, from its runs: networks with their base's weights, and batches.

The modules, the reader and the transform take plain arguments: none of them knows a config.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from transferlab import models, store
from transferlab.data.datasets.images import ImageSet
from transferlab.data.half import Half
from transferlab.data.mean import Mean
from transferlab.errors import RunFailed
from transferlab.experiment import variants, views
from transferlab.experiment.reuse import require_same_images
from transferlab.experiment.run import Run
from transferlab.models.facts import check_cut
from transferlab.models.stages import StagedNetwork
from transferlab.training import checkpoints, inference, inputs
from transferlab.training.checkpoints import TrainingState
from transferlab.training.datamodule import PackData, Reader
from transferlab.training.features import Features, Limit
from transferlab.training.inputs import mean_letter
from transferlab.training.module import TransferModule
from transferlab.training.pack_module import Member, PackModule
from transferlab.training.recipe import Recipe


@dataclass(frozen=True)
class Subject:
    """A run to be trained, with the weights of its base network, if it has one, and the files of
    its own data set that this could not read, as name in the data set -> sha256."""

    run: Run
    base_weights: dict[str, Tensor] | None
    base_skipped: Mapping[str, str]


def subject(run: Run) -> Subject:
    """The run with its base's weights. Raises: UserError, RunFailed as `subjects` does."""
    return subjects([run])[0]


def subjects(runs: Iterable[Run]) -> list[Subject]:
    """The runs with their bases' weights, each loaded once and checked against its digest.

    Raises: UserError if a base was damaged, RunFailed if it is not finished.
    """
    loaded: dict[str, dict[str, Tensor]] = {}
    skipped: dict[str, Mapping[str, str]] = {}
    subjects = []
    for run in runs:
        base = run.base
        if base is not None and base.id not in loaded:
            result = store.read_result(base)
            if result is None:
                raise RunFailed(
                    f"{run.label} needs {base.label}, and {base.folder} is not finished"
                )
            skipped[base.id] = result["skipped"]
            require_same_images(base, skipped[base.id], base.folder)
            path = base.weights_file
            file = store.read_file(path, result["weights_sha256"], record=base.result_file)
            loaded[base.id] = checkpoints.parse_weights(file.data, path)
            if not base.config.is_pretrained:  # which may lack stages, and was checked
                with torch.device("meta"):
                    checkpoints.require_alike(loaded[base.id], network(base), path)
        if base is None:
            subjects.append(Subject(run, None, {}))
        else:
            read = views.data_of(run.config, run.config.variant.target)
            same = views.data_of(run.config, base.config.variant.target) is read
            subjects.append(Subject(run, loaded[base.id], skipped[base.id] if same else {}))
    return subjects


def network(run: Run) -> StagedNetwork:
    """The run's network, before its initial values are drawn.

    Raises: UserError if the model, the image size or the cut do not fit.
    """
    config, size = run.config, views.inputs(run.config).crop
    built = models.build(
        config.model.name,
        num_outputs=run.num_outputs,
        image_size=size,
        cuts=config.model.cuts,
        reduction=config.model.reduction,
    )
    check_cut(len(built), config.variant.n, keep=config.transfer.keep, model=config.model.name)
    return built


def module(subject: Subject) -> TransferModule:
    """The run's network before its first step: drawn, copied, frozen."""
    config, variant = subject.run.config, subject.run.config.variant
    return TransferModule(
        network(subject.run),
        n=variant.n,
        base=subject.base_weights,
        frozen=variant.frozen,
        keep=config.transfer.keep,
        recipe=Recipe.from_config(config.train),
        seed=config.seed,
        split=inputs.split_digest(subject.run),
        label=subject.run.label,
    )


def fresh(subject: Subject) -> StagedNetwork:
    """The network of `module`."""
    return module(subject).network


def member(subject: Subject) -> Member:
    """The run's network in a pack, with the trunk that it may share, and its view of the input."""
    run, view = subject.run, mean_letter(subject.run.config)
    return Member(module(subject), trunk=f"{run.base_id or run.id}/{view}", view=view)


def pack_module(
    subjects: Sequence[Subject],
    states: Sequence[TrainingState],
    *,
    total_steps: int,
    features: Mapping[str, Features] | None = None,
) -> PackModule:
    """The networks of a pack, resumed from the states, ready for a Trainer."""
    members = [member(subject) for subject in subjects]
    for each, subject, state in zip(members, subjects, states, strict=True):
        each.network.load_state_dict(state.weights)
        if subject.run.config.train.channels_last:
            each.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    pack = PackModule(
        members,
        total_steps=total_steps,
        step=states[0].step,
        velocities=[state.velocity for state in states],
        features=features,
    )
    pack.train_sums.copy_(torch.tensor([s.sums for s in states], dtype=torch.float64).T)
    return pack


def features(target: Half, limit: Limit, *, mirror: bool, one_view: bool) -> dict[str, Features]:
    """What keeps the features of frozen stages, by subset: of training images only where each has
    one view, or two with mirroring."""
    if limit.left == 0:
        return {}
    kept = {"val": Features(len(target.val), limit, recurring=True)}
    if one_view:
        kept["train"] = Features((1 + mirror) * len(target.train), limit, recurring=False)
    return kept


def means(subjects: Sequence[Subject], images: ImageSet, *, workers: int) -> dict[str, Mean]:
    """The mean images that the networks of a pack subtract, by `inputs.mean_letter`.

    That of another data set is the base network's own. `workers` processes read the images of one
    that is not cached.
    """
    runs = {mean_letter(subject.run.config): subject.run for subject in subjects}
    return {
        letter: inputs.as_seen(_mean_of_base(run), run.config)
        if letter in variants.HALVES and views.crosses(run.config)
        else inputs.mean_image(run, images, letter, workers=workers)
        for letter, run in sorted(runs.items())
    }


def _mean_of_base(run: Run) -> Mean:
    """What the run's base network subtracts. Raises: UserError if the base was damaged."""
    assert run.base is not None, "only a run with a base sees another data set's view"
    record = store.read_result(run.base)
    if record is None:
        raise RunFailed(f"{run.label} needs {run.base.label}: {run.base.folder} is not finished")
    return Mean(inference.load(run.base.folder, record)[1], {})


def pack_data(
    subjects: Sequence[Subject],
    target: Half,
    means: Mapping[str, Mean],
    *,
    start_step: int,
    total_steps: int,
    val_every: int,
    workers: int,
    check: Callable[[float], object],
) -> PackData:
    """The batches of a pack: the target half, once for each of the mean images.

    `workers` processes read the images. `check` is called while a batch is awaited.
    """
    first = subjects[0].run
    config, train = first.config, first.config.train
    components = inputs.colour_components(first, target, workers=workers)
    reader = Reader(
        target,
        seed=inputs.image_seed(first),
        batch_size=train.batch_size,
        val_batch_size=train.val_batch_size,
        reshuffle=train.reshuffle,
        crop=views.inputs(config).crop,
        augmentation=inputs.augmentation(config),
        workers=workers,
        check=check,
    )
    return PackData(
        reader,
        inputs.transform(config, means, components),
        start_step=start_step,
        total_steps=total_steps,
        val_every=val_every,
    )
