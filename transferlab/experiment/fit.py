"""Images and network that fit: which settings make them fit, for messages and for `prepare`.

A network takes some image sizes, a prepared data set has one, and grey levels have a scale that the
network expects. What is suggested agrees in all of them, so that no advice leads to another error.
"""

from pathlib import Path
from typing import Any

from transferlab import data
from transferlab.data import Description, StoredPixels
from transferlab.errors import UserError
from transferlab.experiment import views
from transferlab.experiment.build import build_config
from transferlab.experiment.compose import compose
from transferlab.experiment.config import DataConfig, RunConfig
from transferlab.models.facts import check_image_size
from transferlab.models.zoo import NETWORKS
from transferlab.runtime import commands

Settings = dict[str, Any]
KEYS = ("data.size", "data.crop", "data.scale")
SUGGESTED = ("alexnet_small", "alexnet")  # for small images, and for large ones
MULTI_LABEL = ("binary", "hinge", "ranking")  # the losses that take several labels an image
HALVES = ("+split=random", "transfer.n=3")
WHOLE = ("+split=whole", "transfer.variant=baseB")


def check_stored(config: RunConfig, stored: StoredPixels | None) -> None:
    """Raises: UserError if images that were resized once have another size than the run sees."""
    images = views.inputs(config)
    if stored is None:
        return
    base = views.section(config, views.letter(config))
    target = views.section(config, config.variant.target)
    if images.scales is not None and stored.size < max(images.size, *images.scales):
        low, high = images.scales
        raise UserError(
            f"{base}.size={images.size} and {target}.scales=[{low},{high}] must be at most the "
            f"{stored.size} pixels of {images.root}: choose smaller ones, or prepare larger images"
        )
    if images.resize == "side":
        raise UserError(
            f"{base}.resize=side takes crops from whole images, and those of {images.root} are "
            f"squares: set {commands.setting(f'{base}.resize', stored.resize)}, or read the folder "
            "of which they were made"
        )
    if images.size != stored.size and images.scales is None:
        problem = f"{base}.size={images.size} differs from the {stored.size} pixels of"
    elif images.resize != stored.resize:
        problem = f"{base}.resize={images.resize} differs from the {stored.resize} of"
    elif images.decode != stored.decode:
        problem = f"{base}.decode={images.decode} differs from the {stored.decode} of"
    else:
        return
    problem += f" {images.root}"
    if views.crosses(config):
        raise UserError(f"{problem}: {_crossing(config)}")
    raise UserError(f"{problem}: {_advice(config, stored)}, or prepare the images again")


def check_labels(config: RunConfig, images: DataConfig, description: Description) -> None:
    """Raises: UserError for a loss or a choice of images that does not suit the labels of one of
    the config's data sets."""
    several = f"and data={images.name} has images with several"
    if not description.multi_label:
        return
    if config.train.loss not in MULTI_LABEL:
        losses = " or ".join(commands.setting("train.loss", loss) for loss in MULTI_LABEL)
        raise UserError(
            f"train.loss={config.train.loss} needs one label an image, {several}: set {losses}"
        )
    if images.per_class is not None:
        raise UserError(
            f"data.per_class={images.per_class} counts images of one class, {several}: set "
            f"{commands.setting('data.per_class', None)}"
        )


def check_network(config: RunConfig) -> None:
    """Raises: UserError if the network of a resolved config does not take its images."""
    images = views.inputs(config)
    try:
        check_image_size(config.model.name, images.crop)
    except UserError as error:
        group = views.section(config, views.letter(config))
        problem = str(error).replace("data.crop=", f"{group}.crop=", 1)
        stored = data.stored(images.name, root=images.root)
        raise UserError(f"{problem}: {_advice(config, stored)}") from error


def settings(config: RunConfig, model: str, stored: StoredPixels | None) -> Settings | None:
    """The settings with which a network takes the images, as far as the config has others.

    None if no setting does: stored images are too small.
    """
    images, group = views.inputs(config), views.section(config, views.letter(config))
    current = {key: getattr(images, key.removeprefix("data.")) for key in KEYS}
    size, crop = current["data.size"], current["data.crop"]
    side = size if stored is None else stored.size
    least, most = _image_sizes(model, side)
    if stored is not None and side < least:
        return None
    wanted = current
    if size != side or not least <= crop <= most:
        wanted = inputs(model) if model in NETWORKS else current
        if stored is not None:
            wanted = {**wanted, "data.size": side, "data.crop": min(side, most)}
    changes = {key: value for key, value in wanted.items() if value != current[key]}
    for key in () if stored is None else ("resize", "decode"):
        if getattr(images, key) != getattr(stored, key):
            changes[f"data.{key}"] = getattr(stored, key)
    changes = {f"{group}.{key.removeprefix('data.')}": value for key, value in changes.items()}
    return changes if model == config.model.name else {"model": model, **changes}


def inputs(model: str) -> Settings:
    """The images as a network of the zoo is trained on them."""
    entry = NETWORKS[model]
    return {"data.size": entry.size, "data.crop": entry.crop, "data.scale": entry.scale}


def _image_sizes(model: str, side: int) -> tuple[int, int]:
    """The least and the most pixels a side; of any other network, any."""
    return NETWORKS[model].images if model in NETWORKS else (1, side)


def first_run(root: Path, stored: StoredPixels, classes: int) -> str:
    """A command that trains on the prepared images at `root`, or what is missing for one."""
    if classes < 2:
        return "a run needs at least 2 classes"
    fitting = [model for model in SUGGESTED if NETWORKS[model].images[0] <= stored.size]
    if not fitting:
        return f"{_own_network()}, which takes {stored.size} pixels"
    model = max(fitting, key=lambda name: NETWORKS[name].images)
    split, *transfer = HALVES if classes >= 4 else WHOLE  # a half needs two classes
    words = [split, "data=prepared", commands.override("data.root", str(root))]
    config = build_config(compose("config", [*words, *transfer]))
    changes = settings(config, model, stored) or {}
    words += [commands.override(key, value) for key, value in changes.items()]
    return commands.line(*words, f"train={NETWORKS[model].recipe}", *transfer)


def _advice(config: RunConfig, stored: StoredPixels | None) -> str:
    models = dict.fromkeys([config.model.name, *SUGGESTED])
    found = [settings(config, model, stored) for model in models]
    options = [commands.settings(each) for each in found if each is not None]
    if options:
        return f"set {', or '.join(options)}"
    return _own_network()


def _crossing(config: RunConfig) -> str:
    """What to do if the images of the target cannot be seen as those of the base were."""
    base, target = views.letter(config), config.variant.target
    own = commands.setting(f"{views.section(config, target)}.mean", "target")
    return (
        f"{config.label} sees the images of {target} as its base network saw those of {base}; "
        f"prepare the images of {target} again in that size, use the files they were prepared "
        f"from, or let every network see its target's own preprocessing with {own}"
    )


def _own_network() -> str:
    named = commands.setting("model.name", "package.module:function")
    return f"name a network of yours with {named}"
