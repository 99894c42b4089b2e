"""Fields of a config that must agree, one function for each condition."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from transferlab.errors import UserError
from transferlab.experiment import variants, views
from transferlab.experiment.canonical import is_unknown
from transferlab.experiment.config import DataConfig, RunConfig, SplitConfig, TrainConfig
from transferlab.experiment.identity import DROPS_OF
from transferlab.experiment.keys import OPTIONAL
from transferlab.experiment.splits import second_unused, split_rule
from transferlab.runtime import commands


def outline(section: Any) -> Any:
    """The section without what no check asks for: which halves and images these are."""
    if not isinstance(section, SplitConfig):
        return section
    return replace(section, seed=None if section.seed is None else 0, digest=None)


def check(config: RunConfig, recorded: bool) -> None:
    """Raises: UserError if sections contradict one another. `recorded`: see `build_config`."""
    if not is_unknown(config.split, recorded):
        _check_split_seed(config.split)
        _check_halves(config)
        _check_second(config)
    _check_images(config.data, "data")
    if config.split.a is not None:
        _check_images(config.split.a, OPTIONAL)
    _check_augmentation(config)
    _check_length(config.train)
    _check_momentum(config.train)
    _check_schedule(config.train)
    _check_devices(config)
    _check_kept_stages(config)


def _check_split_seed(split: SplitConfig) -> None:
    if split.seed is None and split_rule(split.name).seeded:
        raise UserError(
            f"missing split.seed: split={split.name} needs it, as "
            f"{commands.setting('split.seed', 0)}"
        )


def _check_images(data: DataConfig, group: str) -> None:
    if data.crop > data.size:
        raise UserError(f"{group}.crop={data.crop} must be at most {group}.size={data.size}")
    if 0 in (data.scale if isinstance(data.scale, tuple) else (data.scale,)):
        raise UserError(
            f"{group}.scale={_yaml(data.scale)} makes all images the same: choose another number"
        )
    if data.val is not None and (not data.val or data.val in (".", "..") or "/" in data.val):
        raise UserError(
            f"{group}.val={data.val} must be the plain name of a folder in {group}.root"
        )


def _check_augmentation(config: RunConfig) -> None:
    images = views.inputs(config)
    group = views.section(config, config.variant.target)
    seen = views.section(config, views.letter(config))
    if images.scales is not None and not images.crop <= images.scales[0] <= images.scales[1]:
        raise UserError(
            f"{group}.scales={_yaml(images.scales)} must be two sides in ascending order, both at "
            f"least {seen}.crop={images.crop}"
        )
    if images.pad and not images.one_size:
        raise UserError(
            f"{group}.pad={images.pad} surrounds images of one size: set {seen}.resize to warp or "
            f"crop, and {group}.scales to null"
        )
    if images.pad >= images.crop:
        raise UserError(
            f"{group}.pad={images.pad} must be below {seen}.crop={images.crop}: some crops would "
            "show nothing of their image"
        )


def _check_length(train: TrainConfig) -> None:
    if (train.total_steps is None) == (train.epochs is None):
        raise UserError(
            f"train.total_steps={_yaml(train.total_steps)} and train.epochs={_yaml(train.epochs)}: "
            "set exactly one of them, and the other to null"
        )


def _check_momentum(train: TrainConfig) -> None:
    if train.nesterov and train.momentum == 0:
        raise UserError("train.nesterov=true needs train.momentum above 0")


def _check_schedule(train: TrainConfig) -> None:
    check_drops(vars(train), "train")


def check_drops(train: Mapping[str, Any], group: str) -> None:
    """Raises: UserError for a schedule without the keys of its drops, or with drops out of order.

    `group` is where messages find the keys.
    """
    schedule, steps = train["schedule"], train["lr_steps"]
    needed = DROPS_OF[schedule]
    if any(train[key] is None for key in needed):
        keys = " and ".join(f"{group}.{key}" for key in needed)
        raise UserError(f"{group}.schedule={schedule} needs {keys}")
    if steps is not None and (not steps or list(steps) != sorted(set(steps))):
        shown = ",".join(map(str, steps))
        raise UserError(f"{group}.lr_steps=[{shown}] must be steps in ascending order")


def _check_devices(config: RunConfig) -> None:
    batch, devices = config.train.batch_size, config.runtime.devices
    if config.train.loss == "ranking" and devices > 1:
        raise UserError(
            f"train.loss={config.train.loss} compares the images of a batch with one another, "
            f"which runtime.devices={devices} would divide: set "
            f"{commands.setting('runtime.devices', 1)}"
        )
    if batch % devices:
        raise UserError(
            f"train.batch_size={batch} is the global batch and must be a multiple of "
            f"runtime.devices={devices}"
        )


def _check_kept_stages(config: RunConfig) -> None:
    if config.transfer.keep and config.variant.base not in variants.HALVES:
        raise UserError(
            f"transfer.keep={config.transfer.keep} copies stages after the cut, and "
            f"{variants.label(config.variant)} has no base network to copy from: choose AnB, BnB, "
            "AnB+ or BnB+"
        )


def _check_halves(config: RunConfig) -> None:
    halves = split_rule(config.split.name).halves
    for letter in variants.HALVES:
        if letter not in halves and letter in (config.variant.base, config.variant.target):
            raise UserError(
                f"split={config.split.name} has no half {letter}, which "
                f"{variants.label(config.variant)} needs: choose one of "
                f"{' '.join(variants.patterns_of(halves))}"
            )


def _check_second(config: RunConfig) -> None:
    rule, weights = split_rule(config.split.name), config.split.weights
    if rule.weights and weights is None:
        raise UserError(
            f"missing split.weights: split={config.split.name} needs the network that A is, as "
            f"{commands.setting('split.weights', 'torchvision:ResNet18_Weights.IMAGENET1K_V1')}, a "
            "file, or the folder of a finished run"
        )
    if rule.weights and config.variant.target == "A" and config.variant.n:
        raise UserError(
            f"{variants.label(config.variant)} has no images to learn: A of split="
            f"{config.split.name} is a network; choose one of base AnB BnB AnB+ BnB+ RnB"
        )
    if weights is not None and not rule.weights:
        raise UserError(
            f"split.weights={weights} is used only by split=pretrained: choose it, or omit "
            "split.weights"
        )
    needed = rule.second
    if needed and config.split.a is None:
        raise UserError(
            f"missing {OPTIONAL}: split={config.split.name} needs the data set of A, as "
            f"{commands.setting(OPTIONAL, 'cifar10')}"
        )
    if not needed and not rule.weights and config.split.a is not None:
        raise UserError(second_unused())


def _yaml(value: float | tuple[float, ...] | None) -> str:
    if isinstance(value, tuple):
        return f"[{','.join(map(str, value))}]"
    return "null" if value is None else str(value)
