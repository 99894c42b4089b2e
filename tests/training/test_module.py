"""One network as a plain Lightning module, and that a pack computes what it does, bit for bit."""

import csv
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.callbacks import EarlyStopping, LearningRateMonitor, ModelCheckpoint
from pytorch_lightning.loggers import CSVLogger
from safetensors.torch import save_file
from torch import Tensor, nn

from transferlab import models
from transferlab.errors import UserError
from transferlab.models.initial import gaussian
from transferlab.models.stages import Auxiliary, Stage, StagedNetwork
from transferlab.models.transfer import same_bits
from transferlab.training.datamodule import HalfDataModule, PackData
from transferlab.training.module import TransferModule
from transferlab.training.pack_module import Member, PackModule, means
from transferlab.training.recipe import Recipe

STEPS = 10
COSINE = Recipe(
    lr=0.02, schedule="cosine", warmup=0.2, total_steps=STEPS, momentum=0.9, nesterov=True,
    weight_decay=0.01, bias_lr_factor=2.0, bias_decay_factor=0.0,
)  # fmt: skip
CAFFE = Recipe(
    lr=0.02, schedule="step", lr_step=4, lr_factor=0.1, total_steps=STEPS, momentum=0.9,
    rate_in_velocity=True, weight_decay=0.01, bias_lr_factor=2.0, bias_decay_factor=0.0,
)  # fmt: skip
# Label -> the cut: base, frozen before and behind the first dropout, fine-tuned, some stages kept
CUTS: dict[str, dict[str, Any]] = {
    "baseB": {"n": 0},
    "A3B": {"n": 3, "frozen": True},
    "A7B": {"n": 7, "frozen": True},
    "A3B+": {"n": 3},
    "A2B-keep2": {"n": 2, "frozen": True, "keep": 2},
}


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def data(tmp_path: Path) -> HalfDataModule:
    """Half B of the digits: 100 training images of 16 pixels, four steps an epoch."""
    return HalfDataModule(
        "digits", half="B", batch_size=32, overrides=[
            "data.size=16", "data.crop=16", "data.per_class=20", "train.mirror=true",
            f"runtime.cache={tmp_path}/cache",
        ],
    )  # fmt: skip


def network() -> StagedNetwork:
    return models.build("alexnet_small", num_outputs=5, image_size=16)


def base_weights() -> dict[str, Tensor]:
    base = network()
    base.initialise(lambda stage: len(stage))
    return base.state_dict()


def module(label: str, recipe: Recipe) -> TransferModule:
    base = base_weights() if CUTS[label]["n"] else None
    return TransferModule(network(), base=base, recipe=recipe, label=label, **CUTS[label])


def trainer(*callbacks: Callback, **settings: Any) -> Trainer:
    quiet: dict[str, Any] = dict(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False,
    )  # fmt: skip
    return Trainer(callbacks=list(callbacks), **(quiet | settings))


def weights(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def fit_alone(label: str, recipe: Recipe, data: HalfDataModule) -> dict[str, Tensor]:
    alone = module(label, recipe)
    trainer(max_steps=STEPS).fit(alone, data)
    return weights(alone.network)


def fit_pack(
    labels: list[str], recipe: Recipe, data: HalfDataModule
) -> dict[str, dict[str, Tensor]]:
    """The networks of a pack after the same steps, with validations at other ones."""
    members = [Member(module(label, recipe), trunk="A", view="B") for label in labels]
    pack = PackModule(members, total_steps=STEPS, step=0, velocities=[{} for _ in labels])
    data.setup()
    assert data.reader is not None
    stream = PackData(data.reader, data.views, start_step=0, total_steps=STEPS, val_every=3)
    trainer(max_epochs=4, num_sanity_val_steps=0).fit(pack, stream)
    assert pack.step == STEPS
    return {member.name: weights(member.network) for member in members}


# --- a pack is many of these --------------------------------------------------------------------


@pytest.mark.parametrize("recipe", [COSINE, CAFFE], ids=["cosine", "caffe"])
def test_networks_of_a_pack_end_with_the_bits_of_a_plain_fit(recipe: Recipe, data: HalfDataModule):
    packed = fit_pack(list(CUTS), recipe, data)

    for label in CUTS:
        alone = fit_alone(label, recipe, data)
        assert same_bits(alone, packed[label]), label
        assert not same_bits(alone, weights(module(label, recipe).network)), label


@pytest.mark.parametrize("label", ["A3B", "A3B+"])
@pytest.mark.parametrize("recipe", [COSINE, CAFFE], ids=["cosine", "caffe"])
def test_a_pack_of_one_ends_with_the_bits_of_a_plain_fit(
    label: str, recipe: Recipe, data: HalfDataModule
):
    packed = fit_pack([label], recipe, data)

    assert same_bits(fit_alone(label, recipe, data), packed[label])


def test_a_run_of_the_command_line_ends_with_the_bits_of_a_plain_fit(
    config: Any, tmp_path: Path, data: HalfDataModule
):
    from transferlab import store
    from transferlab.experiment.resolve import resolve
    from transferlab.launch import inline

    overrides = ("+split=random", "data.size=16", "data.crop=16", "train.epochs=null",
             "train.total_steps=30", "train.val_every=8", "transfer.n=3")  # fmt: skip
    run = resolve(config(*overrides))
    base, outcome = inline.carry_out([run])
    half = HalfDataModule("digits", half="B", mean="A", overrides=[
        "data.size=16", "data.crop=16", f"runtime.cache={tmp_path}/cache",
    ])  # fmt: skip
    alone = TransferModule(
        network(), n=3, base=base.run.weights_file, frozen=True, split=half.split_digest,
        label="A3B", recipe=Recipe.from_config(run.config.train),
    )  # fmt: skip
    trainer(max_steps=30).fit(alone, half)
    save_file(alone.network.state_dict(), tmp_path / "alone.safetensors")

    result = store.read_result(outcome.run)
    assert result is not None
    from transferlab.runtime.files import sha256

    assert sha256(tmp_path / "alone.safetensors") == result["weights_sha256"]


def test_accumulated_batches_have_the_masks_of_one(data: HalfDataModule):
    """Two batches of 16 are one of 32 up to rounding, for the three steps of an epoch that are."""
    overrides = data.hparams["overrides"]
    halved = HalfDataModule("digits", half="B", batch_size=16, overrides=overrides)
    parts, one = module("A7B", COSINE), module("A7B", COSINE)
    trainer(max_steps=3, accumulate_grad_batches=2).fit(parts, halved)
    trainer(max_steps=3).fit(one, data)

    moved = weights(parts.network)
    for name, expected in weights(one.network).items():
        torch.testing.assert_close(moved[name], expected, rtol=0, atol=1e-6)


def test_what_is_logged_is_what_a_pack_counts(data: HalfDataModule):
    """Means over the images of an epoch, the last batch counting for its size."""
    alone = module("A3B", COSINE)
    plain = trainer(max_epochs=1)
    plain.fit(alone, data)

    members = [Member(module("A3B", COSINE), trunk="A", view="B")]
    pack = PackModule(members, total_steps=STEPS, step=0, velocities=[{}])
    assert data.reader is not None
    stream = PackData(data.reader, data.views, start_step=0, total_steps=4, val_every=4)
    trainer(max_epochs=1, num_sanity_val_steps=0).fit(pack, stream)
    expected = {
        f"{subset}/{name}": value
        for subset, sums in (("train", pack.train_sums), ("val", pack.val_sums))
        for name, (value,) in zip(("loss", "accuracy"), means(sums), strict=True)
    }
    assert {k: v.item() for k, v in plain.callback_metrics.items()} == pytest.approx(expected)


# --- Lightning's own ----------------------------------------------------------------------------


@pytest.mark.parametrize("recipe", [COSINE, CAFFE], ids=["cosine", "caffe"])
@pytest.mark.parametrize("stopped_at", [4, 6])
def test_a_fit_resumed_with_ckpt_path_ends_with_the_same_bits(
    recipe: Recipe, stopped_at: int, data: HalfDataModule, tmp_path: Path
):
    """Within an epoch, and at its end."""
    expected = fit_alone("A3B+", recipe, data)
    first = trainer(max_steps=stopped_at, num_sanity_val_steps=0)
    first.fit(module("A3B+", recipe), data)
    first.save_checkpoint(tmp_path / "last.ckpt")
    resumed = module("A3B+", recipe)
    trainer(max_steps=STEPS).fit(resumed, data, ckpt_path=tmp_path / "last.ckpt")

    assert same_bits(weights(resumed.network), expected)


def test_callbacks_and_loggers_of_lightning_work_on_it(data: HalfDataModule, tmp_path: Path):
    best = ModelCheckpoint(tmp_path / "best", monitor="val/accuracy", mode="max", save_last=True)
    early = EarlyStopping(monitor="val/accuracy", mode="max", patience=1, min_delta=1.0)
    logger = CSVLogger(tmp_path / "logs")
    plain = trainer(
        best, early, LearningRateMonitor("step"), logger=logger, enable_checkpointing=True,
        max_epochs=5, log_every_n_steps=1,
    )  # fmt: skip
    trained = module("A3B", COSINE)
    plain.fit(trained, data)

    assert plain.current_epoch == 2  # no epoch is better than the first by 1.0
    with (Path(logger.log_dir) / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    accuracies = [float(row["val/accuracy"]) for row in rows if row["val/accuracy"]]
    assert len(accuracies) == 2 and best.best_model_score == pytest.approx(max(accuracies))
    rates = [float(row["lr-SGD/weights"]) for row in rows if row["lr-SGD/weights"]]
    assert rates == [COSINE.rate(STEPS)(step) for step in range(1, 9)]
    loaded = TransferModule.load_from_checkpoint(Path(best.last_model_path), network=network())
    assert same_bits(weights(loaded.network), weights(trained.network))
    assert loaded.hparams == trained.hparams and loaded.recipe == COSINE
    assert (loaded.label, loaded.frozen_stages) == ("A3B", 3)


def test_hyper_parameters_are_plain_values():
    assert dict(module("A2B-keep2", CAFFE).hparams) == {
        "n": 2, "frozen": True, "keep": 2, "seed": 0, "split": "", "label": "A2B-keep2",
        "recipe": {
            "lr": 0.02, "schedule": "step", "lr_step": 4, "lr_steps": None, "lr_factor": 0.1,
            "warmup": 0.0, "total_steps": 10, "momentum": 0.9, "nesterov": False,
            "rate_in_velocity": True, "weight_decay": 0.01, "bias_lr_factor": 2.0,
            "bias_decay_factor": 0.0, "norm_lr_factor": 1.0, "norm_decay_factor": 1.0,
            "loss": "cross_entropy",
        },
    }  # fmt: skip


def test_without_total_steps_the_schedule_is_as_long_as_the_trainers(data: HalfDataModule):
    rates: list[float] = []

    class Rates(Callback):
        def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
            rates.append(trainer.optimizers[0].param_groups[0]["lr"])

    recipe = Recipe(lr=0.1, schedule="cosine")
    trainer(Rates(), max_epochs=2).fit(TransferModule(network(), recipe=recipe), data)
    assert rates == [0.05 * (1 + math.cos(math.pi * step / 8)) for step in range(1, 9)]


def test_a_trainer_without_an_end_needs_total_steps(data: HalfDataModule):
    endless = TransferModule(network(), recipe=Recipe(lr=0.1, schedule="cosine"))
    with pytest.raises(UserError, match=r"recipe\.total_steps=None"):
        trainer(max_epochs=-1).fit(endless, data)


# --- the network --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["weights", "network", "file", "name of a file"])
def test_the_base_is_given_as_weights_as_a_network_or_as_a_file(kind: str, tmp_path: Path):
    base = network()
    base.initialise(lambda stage: len(stage))
    path = tmp_path / "base.safetensors"
    save_file(base.state_dict(), path)
    given: Mapping[str, Any] = {
        "weights": base.state_dict(), "network": base, "file": path, "name of a file": str(path),
    }  # fmt: skip
    grafted = TransferModule(network(), n=2, base=given[kind], frozen=True, recipe=COSINE)
    assert same_bits(weights(grafted.network.prefix(2)), weights(base.prefix(2)))
    assert not same_bits(weights(grafted.network.head(2)), weights(base.head(2)))


def test_a_cut_that_the_network_does_not_have_is_refused():
    with pytest.raises(UserError, match=r"n=8"):
        TransferModule(network(), n=8, recipe=COSINE)


def test_networks_with_other_labels_or_seeds_start_from_other_heads():
    heads = [
        TransferModule(network(), recipe=COSINE, **given).network[-1].fc.weight.detach().clone()
        for given in ({}, {"seed": 1}, {"n": 3}, {"n": 3, "frozen": True}, {"label": "B3B"}, {})
    ]  # fmt: skip
    assert torch.equal(heads[0], heads[5])
    assert len({head.sum().item() for head in heads}) == 5


def test_without_a_seed_the_network_keeps_its_values():
    built = network()
    before = weights(built)
    kept = TransferModule(built, n=2, frozen=True, recipe=COSINE, seed=None)
    assert same_bits(before, weights(kept.network))


def with_batch_norm() -> StagedNetwork:
    def stage(channels: int) -> Stage:
        layers = {"conv": nn.Conv2d(channels, 3, 3, bias=False), "norm": nn.BatchNorm2d(3)}
        return Stage(layers, gaussian(0.3, 0.1))

    last = {"flatten": nn.Flatten(), "fc": nn.Linear(3 * 12 * 12, 5)}
    stages = {"one": stage(3), "two": stage(3), "last": Stage(last, gaussian(0.01, 0.0))}
    return StagedNetwork(stages)


def test_frozen_stages_do_not_change_and_the_rest_does(data: HalfDataModule):
    frozen = TransferModule(with_batch_norm(), n=1, frozen=True, recipe=COSINE)
    frozen.train()  # as a user may say
    before = weights(frozen.network)
    plain = trainer(max_epochs=2)
    plain.fit(frozen, data)

    changed = {n for n, value in frozen.network.state_dict().items() if (value != before[n]).any()}
    assert changed == {name for name in before if not name.startswith("one.")}
    learning = {id(p) for group in plain.optimizers[0].param_groups for p in group["params"]}
    assert learning == {id(p) for p in frozen.network.head(1).parameters()}
    assert not any(p.requires_grad for p in frozen.network.prefix(1).parameters())


def test_dropout_masks_are_those_of_the_step(data: HalfDataModule):
    steps: list[int] = []

    class Steps(Callback):
        def on_train_batch_end(self, trainer: Trainer, pl_module: Any, *_: Any) -> None:
            steps.append(pl_module.network.fc7.dropout.step)

    trainer(Steps(), max_epochs=2).fit(module("baseB", COSINE), data)
    assert steps == list(range(8))
    assert len({module(label, COSINE).network.fc7.dropout.key for label in CUTS}) == len(CUTS)


# --- the recipe ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"schedule": "linear"}, r"recipe\.schedule=linear"),
        ({"schedule": "step"}, r"recipe\.lr_step"),
        ({"schedule": "cosine", "nesterov": True}, r"recipe\.nesterov"),
        ({"schedule": "cosine", "momentum": 1.0}, r"recipe\.momentum=1"),
        ({"schedule": "cosine", "warmup": "long"}, r"recipe\.warmup=.*long"),
    ],
)
def test_a_recipe_that_contradicts_itself_is_refused(settings: dict[str, Any], message: str):
    with pytest.raises(UserError, match=message):
        Recipe(lr=0.1, **settings)


def test_a_recipe_is_what_conf_train_says(config: Any):
    train = config("+split=random", "transfer.n=3").train
    assert Recipe.from_config(train, 345) == Recipe(
        lr=0.01, schedule="cosine", warmup=0.1, total_steps=345, momentum=0.9, nesterov=True,
        weight_decay=0.0005, bias_lr_factor=2.0, bias_decay_factor=0.0,
    )  # fmt: skip


# --- auxiliary classifiers ----------------------------------------------------------------------


def with_auxiliary() -> StagedNetwork:
    stages = {
        name: Stage({"conv": nn.Conv2d(3, 3, 3, padding=1)}, gaussian(0.3))
        for name in ("one", "two")
    }
    last = Stage({"flatten": nn.Flatten(), "fc": nn.Linear(3 * 256, 5)}, gaussian(0.01))
    heads = {
        name: Auxiliary(
            Stage({"flatten": nn.Flatten(), "fc": nn.Linear(3 * 256, 5)}, gaussian(0.01)),
            tap=tap,
            weight=weight,
        )
        for name, tap, weight in (("aux1", "one", 0.3), ("aux2", "two", 0.5))
    }
    return StagedNetwork({**stages, "last": last}, auxiliary=heads)


@pytest.mark.parametrize(
    ("n", "terms"), [(0, {"one": 0.3, "two": 0.5}), (1, {"two": 0.5}), (2, {})]
)
def test_the_loss_has_the_terms_of_auxiliary_classifiers_on_stages_that_learn(
    n: int, terms: dict[str, float]
):
    made = TransferModule(with_auxiliary(), n=n, frozen=True, recipe=COSINE)
    x, labels = torch.randn(6, 3, 16, 16), torch.arange(6) % 5
    one = made.network[0](x)
    two = made.network[1](one)
    heads = {"one": made.network.auxiliary.aux1(one), "two": made.network.auxiliary.aux2(two)}
    cross_entropy = nn.functional.cross_entropy
    plain = cross_entropy(made.network[2](two), labels)
    expected = plain + sum(w * cross_entropy(heads[name], labels) for name, w in terms.items())

    loss, _ = made.train().score(x, labels)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    assert made.eval().score(x, labels)[0].item() == pytest.approx(plain.item(), rel=1e-6)
    loss.backward()
    learned = {name for name, p in made.network.named_parameters() if p.grad is not None}
    assert {name.partition(".")[0] for name in learned} == {*("one", "two")[n:], "last"} | (
        {"auxiliary"} if terms else set()
    )
