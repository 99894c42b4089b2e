"""Surgery on networks: what is copied, what stays frozen to the bit, what learns."""

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transferlab import models
from transferlab.errors import UserError
from transferlab.experiment.variants import parse
from transferlab.models import transfer
from transferlab.models.dropout import Dropout
from transferlab.models.initial import gaussian
from transferlab.models.stages import Stage, StagedNetwork
from transferlab.training import Recipe, optimiser

NAMES = ("conv1", "conv2", "fc3", "fc4")


def cut(text: str) -> dict[str, Any]:
    """The arguments that a variant means to `graft`."""
    variant = parse(text)
    return {"n": variant.n, "frozen": variant.frozen}


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def network(seed: int, outputs: int = 4) -> StagedNetwork:
    """Four stages: two with batch norm, the last two opened by dropout."""
    built = StagedNetwork(
        {
            "conv1": Stage(
                {
                    "conv": nn.Conv2d(3, 6, 3, bias=False),
                    "norm": nn.BatchNorm2d(6),
                    "relu": nn.ReLU(),
                },
                gaussian(0.3, 0.1),
            ),
            "conv2": Stage(
                {
                    "conv": nn.Conv2d(6, 4, 3, bias=False),
                    "norm": nn.BatchNorm2d(4),
                    "relu": nn.ReLU(),
                },
                gaussian(0.3, 0.1),
            ),
            "fc3": Stage(
                {"flatten": nn.Flatten(), "dropout": Dropout(0.25), "fc": nn.Linear(16, 12)},
                gaussian(0.3, 0.1),
            ),
            "fc4": Stage(
                {"dropout": Dropout(0.25), "fc": nn.Linear(12, outputs)}, gaussian(0.3, 0.1)
            ),
        }
    )
    built.initialise(lambda name: 10 * seed + NAMES.index(name))
    built.key_dropout(lambda name: 10 * seed + NAMES.index(name))
    return built


def weights(chosen: StagedNetwork) -> dict[str, Tensor]:
    """A copy of everything that a network's record holds."""
    return {name: value.clone() for name, value in chosen.state_dict().items()}


def trained(seed: int = 1) -> dict[str, Tensor]:
    """The weights of a base network, with batch-norm statistics of its own."""
    built = network(seed)
    learn(built)
    return weights(built)


def grafted(variant: str, *, keep: int = 0, base: dict[str, Tensor] | None = None):
    built = network(2)
    given = trained() if base is None else base
    transfer.graft(built, **cut(variant), keep=keep, base=given, model="toy")
    return built


def learn(chosen: StagedNetwork, steps: int = 1) -> None:
    """Training steps as a run takes them: momentum, weight decay, dropout by step."""
    recipe = Recipe(
        lr=0.1, schedule="step", lr_step=1000, lr_factor=1.0, momentum=0.9, weight_decay=0.01,
        bias_lr_factor=2.0, bias_decay_factor=0.0,
    )  # fmt: skip
    optimizer, _ = optimiser.build([chosen], recipe, total_steps=steps)
    generator = torch.Generator().manual_seed(5)
    for step in range(steps):
        x = torch.randn(8, 3, 6, 6, generator=generator)
        labels = torch.randint(4, (8,), generator=generator)
        chosen.set_step(step)
        optimizer.zero_grad()
        F.cross_entropy(chosen(x), labels).backward()
        optimizer.step()


def moved_stages(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    """The stages of which every weight and every bias has changed."""
    found = set()
    for stage in NAMES:
        names = [n for n in before if n.startswith(f"{stage}.") and n.endswith(("weight", "bias"))]
        if all(not torch.equal(before[n], after[n]) for n in names):
            found.add(stage)
    return found


# --- copying ---------------------------------------------------------------------------------


@pytest.mark.parametrize("n", range(4))
def test_the_first_n_stages_are_the_bases_and_the_head_is_fresh(n: int):
    base, fresh = trained(), weights(network(2))
    found = weights(grafted(f"A{n}B", base=base))
    for name, value in found.items():
        copied = NAMES.index(name.partition(".")[0]) < n
        assert torch.equal(value, base[name] if copied else fresh[name])
    for stage in NAMES[n:]:
        name = next(name for name in base if name.startswith(f"{stage}.") and "weight" in name)
        assert not torch.equal(found[name], base[name])  # the head is not the base's


def test_batch_norm_statistics_are_copied_with_the_stage():
    base = trained()
    assert base["conv1.norm.running_mean"].abs().max() > 0
    found = weights(grafted("A1B", base=base))
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        assert torch.equal(found[f"conv1.norm.{name}"], base[f"conv1.norm.{name}"])
    assert found["conv2.norm.running_mean"].abs().max() == 0


def test_the_base_is_not_changed_by_copying_or_training():
    base = trained()
    before = {name: value.clone() for name, value in base.items()}
    learn(grafted("A2B+", base=base), steps=3)
    assert transfer.same_bits(base, before)


def test_stages_are_copied_by_name_and_not_by_place():
    base = trained()
    shuffled = dict(sorted(base.items(), reverse=True))
    assert transfer.same_bits(
        weights(grafted("A3B", base=shuffled)), weights(grafted("A3B", base=base))
    )


def test_a_head_of_another_shape_does_not_matter():
    other = weights(network(3, outputs=7))
    assert torch.equal(grafted("A3B", base=other).state_dict()["fc3.fc.bias"], other["fc3.fc.bias"])


def test_a_stage_whose_name_begins_like_another_is_not_taken_for_it():
    plain = {"fc": nn.Linear(2, 2)}
    built = StagedNetwork(
        {name: Stage(plain, gaussian(1.0)) for name in ("conv1", "conv10", "last")}
    )
    assert sorted(transfer.stage_weights(built, 1)) == ["conv1.fc.bias", "conv1.fc.weight"]


def test_all_weights_that_do_not_fit_are_listed():
    base = trained()
    del base["conv1.norm.bias"], base["conv2.norm.running_var"]
    base["conv1.scale"] = torch.ones(1)
    base["conv2.conv.weight"] = torch.zeros(4, 6, 5, 5)
    base["fc3.unused"] = torch.ones(1)  # above the cut, so of no interest
    built = network(2)
    before = weights(built)
    with pytest.raises(UserError) as error:
        transfer.copy_stages(built, base, 2)
    assert str(error.value) == (
        "the base network's weights do not fit: "
        "only in the model: conv1.norm.bias; "
        "only in the model: conv2.norm.running_var; "
        "only in the base: conv1.scale; "
        "conv2.conv.weight is (4, 6, 5, 5) in the base and (4, 6, 3, 3) here"
    )
    assert transfer.same_bits(weights(built), before)  # nothing was copied


def test_weights_above_the_cut_need_not_fit():
    base = {name: value for name, value in trained().items() if name.startswith("conv1.")}
    assert torch.equal(
        grafted("A1B", base=base).state_dict()["conv1.conv.weight"], base["conv1.conv.weight"]
    )


def test_without_a_base_nothing_is_copied():
    built = network(2)
    transfer.graft(built, **cut("R2A"), keep=0, base=None, model="toy")
    assert transfer.same_bits(weights(built), weights(network(2)))
    assert [p.requires_grad for p in built.prefix(2).parameters()] == 6 * [False]
    assert all(p.requires_grad for p in built.head(2).parameters())


def test_a_base_network_learns_all_over():
    built = network(2)
    transfer.graft(built, **cut("baseB"), keep=0, base=None, model="toy")
    assert all(p.requires_grad for p in built.parameters())
    assert all(module.training for module in built.modules())


# --- freezing --------------------------------------------------------------------------------


@pytest.mark.parametrize("n", range(1, 4))
def test_a_frozen_prefix_takes_no_gradient_and_the_head_does(n: int):
    built = grafted(f"A{n}B")
    assert not any(p.requires_grad for p in built.prefix(n).parameters())
    assert all(p.requires_grad for p in built.head(n).parameters())
    assert all(p.requires_grad for p in grafted(f"A{n}B+").parameters())


def test_batch_norm_of_a_frozen_prefix_is_in_evaluation_and_dropout_is_not():
    built = grafted("A3B")
    modes = {name: module.training for name, module in built.named_modules()}
    assert modes["conv1.norm"] is modes["conv2.norm"] is False
    assert modes["fc3.dropout"] is modes["fc4.dropout"] is modes["fc3"] is True
    assert built.get_submodule("fc3.dropout").p == 0.25


def test_batch_norm_above_the_cut_and_in_a_fine_tuned_prefix_keeps_learning():
    assert grafted("A1B").get_submodule("conv1.norm").training is False
    assert grafted("A1B").get_submodule("conv2.norm").training is True
    assert grafted("A2B+").get_submodule("conv1.norm").training is True


def test_dropout_in_a_frozen_prefix_still_draws():
    built = grafted("A3B")
    x = torch.randn(4, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    outputs = []
    for step in (0, 1, 0):
        built.set_step(step)
        outputs.append(built.prefix(3)(x))
    assert torch.equal(outputs[0], outputs[2])
    assert not torch.equal(outputs[0], outputs[1])


@pytest.mark.parametrize("n", range(1, 4))
def test_a_frozen_prefix_is_bit_identical_after_a_step_and_the_head_has_moved(n: int):
    built = grafted(f"A{n}B")
    before = weights(built)
    learn(built)
    after = weights(built)
    frozen = [name for name in before if name.partition(".")[0] in NAMES[:n]]
    assert any(name.endswith("running_var") for name in frozen)
    assert transfer.same_bits({k: before[k] for k in frozen}, {k: after[k] for k in frozen})
    assert moved_stages(before, after) == set(NAMES[n:])


@pytest.mark.parametrize("n", range(1, 4))
def test_a_fine_tuned_prefix_and_the_head_have_moved_after_a_step(n: int):
    built = grafted(f"A{n}B+")
    before = weights(built)
    learn(built)
    after = weights(built)
    assert moved_stages(before, after) == set(NAMES)
    assert not torch.equal(before["conv1.norm.running_mean"], after["conv1.norm.running_mean"])


def test_a_frozen_prefix_is_bit_identical_after_many_steps():
    built = grafted("B3B")
    before = {k: v.clone() for k, v in transfer.stage_weights(built, 3).items()}
    learn(built, steps=20)
    assert transfer.same_bits(before, transfer.stage_weights(built, 3))


@pytest.mark.parametrize("n", range(8))
def test_alexnet_small_learns_above_the_cut_only(n: int):
    def built(seed: int) -> StagedNetwork:
        made = models.build("alexnet_small", num_outputs=4, image_size=16)
        made.initialise(lambda name: seed + int(name[-1]))
        return made

    base, network = built(1), built(100)
    transfer.graft(network, n=n, frozen=True, keep=0, base=base.state_dict(), model="alexnet_small")
    before = weights(network)
    learn_from = torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.01)
    F.cross_entropy(network(learn_from), torch.arange(8) % 4).backward()
    optimizer.step()
    after = weights(network)
    moved = {name.partition(".")[0] for name in after if not torch.equal(before[name], after[name])}
    assert moved == set(network.stage_names[n:])


# --- kept stages -----------------------------------------------------------------------------


def test_keep_copies_the_next_stages_and_lets_them_learn():
    base, fresh = trained(), weights(network(2))
    built = grafted("A1B", keep=2, base=base)
    found = weights(built)
    assert torch.equal(found["conv2.conv.weight"], base["conv2.conv.weight"])
    assert torch.equal(found["fc3.fc.weight"], base["fc3.fc.weight"])
    assert torch.equal(found["fc4.fc.weight"], fresh["fc4.fc.weight"])
    assert [stage[0].weight.requires_grad for stage in built[:2]] == [False, True]
    assert built.get_submodule("conv2.norm").training is True
    learn(built)
    assert moved_stages(found, weights(built)) == {"conv2", "fc3", "fc4"}


# --- cut points ------------------------------------------------------------------------------


def test_surgery_refuses_a_wrong_cut_before_it_changes_anything():
    built = network(2)
    with pytest.raises(UserError, match=r"^transfer\.n=4 is not a cut point of toy \(4 stages\)"):
        transfer.graft(built, **cut("A4B"), keep=0, base=trained(), model="toy")
    with pytest.raises(UserError, match=r"^transfer\.keep=2 with"):
        transfer.graft(built, **cut("A2B"), keep=2, base=trained(), model="toy")
    assert transfer.same_bits(weights(built), weights(network(2)))


# --- bits ------------------------------------------------------------------------------------


def test_the_same_bits_are_the_same():
    first = {"a": torch.randn(3, 4), "count": torch.tensor(5), "empty": torch.zeros(0)}
    second = {name: value.clone() for name, value in first.items()}
    assert transfer.same_bits(first, second) is True
    second["a"] = second["a"].t().contiguous().t()  # laid out otherwise in memory
    assert transfer.same_bits(first, second) is True


def test_one_bit_makes_a_difference():
    first = torch.ones(5)
    second = first.clone()
    second.view(torch.int32)[3] ^= 1
    assert transfer.same_bits({"a": first}, {"a": second}) is False
    assert transfer.same_bits({"n": torch.tensor(5)}, {"n": torch.tensor(6)}) is False


def test_zero_and_minus_zero_differ():
    assert transfer.same_bits({"a": torch.tensor([0.0])}, {"a": torch.tensor([-0.0])}) is False


def test_a_nan_is_the_same_as_itself_and_no_other():
    first = torch.tensor([math.nan])
    other = first.clone()
    other.view(torch.int32)[0] ^= 1
    assert other.isnan().all()
    assert transfer.same_bits({"a": first}, {"a": first.clone()}) is True
    assert transfer.same_bits({"a": first}, {"a": other}) is False


def test_other_names_or_a_name_more_make_a_difference():
    a = {"a": torch.ones(1)}
    assert transfer.same_bits(a, {"b": torch.ones(1)}) is False
    assert transfer.same_bits(a, {**a, "b": torch.ones(1)}) is False
    assert transfer.same_bits({**a, "b": torch.ones(1)}, a) is False
    assert transfer.same_bits({}, {}) is True


def test_another_number_of_values_makes_a_difference():
    assert transfer.same_bits({"a": torch.ones(2)}, {"a": torch.ones(3)}) is False


def test_another_shape_of_the_same_bits_makes_a_difference():
    values = torch.arange(6.0)
    for shape in ((2, 3), (3, 2), (6, 1), (1, 6)):
        assert transfer.same_bits({"a": values}, {"a": values.reshape(shape)}) is False
    assert transfer.same_bits({"a": torch.zeros(0, 2)}, {"a": torch.zeros(0, 3)}) is False
    assert transfer.same_bits({"a": torch.tensor(1.0)}, {"a": torch.ones(1)}) is False


def test_another_type_of_the_same_bits_makes_a_difference():
    values = torch.arange(6.0)
    assert transfer.same_bits({"a": values}, {"a": values.view(torch.int32)}) is False
    assert transfer.same_bits({"a": torch.zeros(2)}, {"a": torch.zeros(2).int()}) is False
    assert transfer.same_bits({"a": values}, {"a": values.double()}) is False
