"""Staged networks: cutting, dropout by key and step, and initial values by stage."""

import hashlib
import sys
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from transferlab import models
from transferlab.errors import UserError
from transferlab.models.dropout import Dropout, row_numbers
from transferlab.models.initial import gaussian
from transferlab.models.stages import Stage, StagedNetwork

NAMES = ("first", "second", "third", "last")


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def network() -> StagedNetwork:
    """Four stages, the third and the last with dropout."""
    return StagedNetwork(
        {
            "first": Stage(
                {"conv": nn.Conv2d(3, 8, 3, padding=1), "norm": nn.BatchNorm2d(8)},
                gaussian(0.2, 0.0),
            ),
            "second": Stage({"conv": nn.Conv2d(8, 4, 3), "relu": nn.ReLU()}, gaussian(0.3, 0.5)),
            "third": Stage(
                {"flatten": nn.Flatten(), "dropout": Dropout(0.5), "fc": nn.Linear(64, 64)},
                gaussian(0.1, 0.25),
            ),
            "last": Stage({"dropout": Dropout(0.25), "fc": nn.Linear(64, 5)}, gaussian(0.2, 0.0)),
        }
    )


def seed_of(name: str) -> int:
    return 100 + NAMES.index(name)


def ready() -> StagedNetwork:
    built = network()
    built.initialise(seed_of)
    built.key_dropout(seed_of)
    return built


def images(count: int = 6) -> Tensor:
    return torch.randn(count, 3, 6, 6, generator=torch.Generator().manual_seed(0))


def mask(*, p: float = 0.5, key: int = 0, step: int = 0, count: int = 4096) -> Tensor:
    dropout = Dropout(p)
    dropout.key, dropout.step = key, step
    return dropout(torch.ones(count))


# --- cutting ---------------------------------------------------------------------------------


def test_stages_have_the_names_they_were_given_in_order():
    assert network().stage_names == NAMES
    assert len(network()) == 4


@pytest.mark.parametrize("n", range(5))
def test_prefix_then_head_is_the_whole_in_evaluation(n: int):
    built = ready().eval()
    whole = built(images())
    assert whole.shape == (6, 5)
    assert torch.equal(built.head(n)(built.prefix(n)(images())), whole)


@pytest.mark.parametrize("n", range(5))
def test_prefix_then_head_is_the_whole_in_training_with_the_same_masks(n: int):
    built = ready().train()
    built.set_step(17)
    whole = built(images())
    assert torch.equal(built.head(n)(built.prefix(n)(images())), whole)
    assert not torch.equal(whole, built.eval()(images()))


def test_prefix_and_head_have_n_and_the_other_stages():
    built = network()
    assert [len(built.prefix(n)) for n in range(5)] == [0, 1, 2, 3, 4]
    assert [len(built.head(n)) for n in range(5)] == [4, 3, 2, 1, 0]
    assert built.prefix(2)[1] is built.get_submodule("second")
    assert built.head(2)[0] is built.get_submodule("third")


def test_prefix_and_head_share_their_weights_with_the_network():
    built = ready()
    with torch.no_grad():
        built.prefix(1)[0].conv.weight.fill_(7.0)
        built.head(3)[0].fc.bias.fill_(8.0)
    assert built.state_dict()["first.conv.weight"].unique().tolist() == [7.0]
    assert built.state_dict()["last.fc.bias"].unique().tolist() == [8.0]


def test_weights_are_named_by_stage_and_layer():
    assert list(network().state_dict()) == [
        *("first.conv.weight", "first.conv.bias", "first.norm.weight", "first.norm.bias"),
        *("first.norm.running_mean", "first.norm.running_var", "first.norm.num_batches_tracked"),
        *("second.conv.weight", "second.conv.bias"),
        *("third.fc.weight", "third.fc.bias", "last.fc.weight", "last.fc.bias"),
    ]


def test_stages_before_the_first_dropout_are_deterministic():
    assert network().deterministic_stages() == 2
    plain = Stage({"fc": nn.Linear(2, 2)}, gaussian(1.0))
    assert StagedNetwork({"one": plain}).deterministic_stages() == 1
    thinned = Stage({"dropout": Dropout(0.5)}, gaussian(1.0))
    assert StagedNetwork({"one": thinned, "two": plain}).deterministic_stages() == 0


# --- dropout ---------------------------------------------------------------------------------


def test_the_mask_is_a_function_of_key_and_step():
    assert torch.equal(mask(key=3, step=5), mask(key=3, step=5))
    assert not torch.equal(mask(key=3, step=5), mask(key=3, step=6))
    assert not torch.equal(mask(key=3, step=5), mask(key=4000, step=5))


def test_the_mask_does_not_depend_on_what_else_was_drawn():
    torch.manual_seed(1)
    first = mask(key=3, step=5)
    torch.manual_seed(2)
    torch.rand(100)
    assert torch.equal(first, mask(key=3, step=5))


def test_dropout_leaves_the_ambient_generator_alone():
    torch.manual_seed(1)
    expected = torch.rand(4)
    torch.manual_seed(1)
    mask()
    assert torch.equal(torch.rand(4), expected)


def test_half_of_the_values_are_dropped_and_the_rest_doubled():
    found = mask(p=0.5)
    assert found.unique().tolist() == [0.0, 2.0]
    assert 0.46 < (found == 0).float().mean() < 0.54  # five standard deviations of 0.0078


def test_a_quarter_of_the_values_are_dropped_and_the_rest_scaled_by_four_thirds():
    found = mask(p=0.25)
    assert found.unique().tolist() == [0.0, pytest.approx(4 / 3)]
    assert 0.21 < (found == 0).float().mean() < 0.29


def test_masks_of_consecutive_steps_are_unrelated():
    first, second = mask(step=1) > 0, mask(step=2) > 0
    assert 0.46 < (first == second).float().mean() < 0.54


def test_every_image_of_a_batch_has_a_mask_of_its_own():
    found = Dropout(0.5)(torch.ones(40, 64))
    assert len(found.unique(dim=0)) == 40


@pytest.mark.parametrize("processes", [2, 3, 6])
@pytest.mark.parametrize("shape", [(6, 5), (6, 3, 2, 2)])
def test_processes_that_share_a_batch_have_the_masks_of_one(processes: int, shape: tuple[int, ...]):
    built = StagedNetwork({"only": Stage({"dropout": Dropout(0.5)}, gaussian(1.0))})
    built.set_step(7)
    alone = built(torch.ones(shape))
    for rank in range(processes):
        built.set_step(7, first=rank, stride=processes)
        assert torch.equal(built(torch.ones(shape)[rank::processes]), alone[rank::processes])
    built.set_step(7, first=4)
    assert torch.equal(built(torch.ones(2, *shape[1:])), alone[4:])


def test_the_numbers_of_a_mask_are_golden():
    numbers = row_numbers(5, 9, torch.tensor([0, 1, 7]), 5)
    assert numbers.dtype == torch.int16
    assert numbers.tolist() == [
        [-25229, 2566, 32648, -18364, -24285],
        [-30327, 23995, 25865, 30290, 28387],
        [-7684, 21080, 32711, 16495, -30001],
    ]


def test_the_numbers_are_those_of_splitmix64():
    start = int.from_bytes(hashlib.sha256(b"5/9").digest()[:8], "big")
    outputs = [split_mix(start + index * 0x9E3779B97F4A7C15) for index in range(2 * 7)]
    expected = np.array(outputs, dtype=np.uint64).view(np.int16).reshape(7, 8)[:, :5]
    assert row_numbers(5, 9, torch.arange(7), 5).tolist() == expected.tolist()


def split_mix(state: int) -> int:
    state %= 2**64
    state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    state = (state ^ (state >> 27)) * 0x94D049BB133111EB % 2**64
    return state ^ (state >> 31)


def test_dropout_does_nothing_in_evaluation():
    x = torch.randn(4, 5)
    assert torch.equal(Dropout(0.5).eval()(x), x)
    assert torch.equal(Dropout(0.0)(x), x)


def test_the_gradient_passes_where_the_value_did():
    dropout = Dropout(0.5)
    x = torch.ones(64, requires_grad=True)
    dropout(x).sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, dropout(torch.ones(64)))
    assert x.grad.unique().tolist() == [0.0, 2.0]


def test_the_largest_key_and_step_are_taken():
    assert mask(key=2**63 - 1, step=450_000).unique().tolist() == [0.0, 2.0]


def test_every_stage_gets_its_own_key_and_all_the_same_step():
    built = network()
    built.key_dropout(seed_of)
    built.set_step(9, first=1, stride=2)
    found = [(m.key, m.step, m.first, m.stride) for m in built.modules() if isinstance(m, Dropout)]
    assert found == [(102, 9, 1, 2), (103, 9, 1, 2)]


# --- initial values --------------------------------------------------------------------------


def test_initial_weights_are_gaussian_and_biases_constant():
    built = ready()
    weights = built.state_dict()
    assert weights["third.fc.weight"].std().item() == pytest.approx(0.1, rel=0.05)
    assert abs(weights["third.fc.weight"].mean().item()) < 0.008  # five standard errors
    assert weights["third.fc.bias"].unique().tolist() == [0.25]
    assert weights["second.conv.bias"].unique().tolist() == [0.5]
    assert weights["first.conv.bias"].unique().tolist() == [0.0]


def test_initial_values_are_a_function_of_the_seeds():
    torch.manual_seed(1)
    first = ready().state_dict()
    torch.manual_seed(2)
    second = ready().state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_initial_values_are_the_golden_ones():
    weights = ready().state_dict()["last.fc.weight"]
    drawn = torch.randn(5 * 64, generator=torch.Generator().manual_seed(103))
    assert torch.equal(weights, (drawn * 0.2).reshape(5, 64))


@pytest.mark.parametrize("changed", NAMES)
def test_the_seed_of_a_stage_changes_that_stage_only(changed: str):
    first, second = ready().state_dict(), network()
    second.initialise(lambda name: 999 if name == changed else seed_of(name))
    moved = {
        name.partition(".")[0]
        for name, value in second.state_dict().items()
        if not torch.equal(value, first[name])
    }
    assert moved == {changed}


def test_initialise_leaves_the_ambient_generator_alone():
    torch.manual_seed(1)
    expected = torch.rand(4)
    built = network()
    torch.manual_seed(1)
    built.initialise(seed_of)
    assert torch.equal(torch.rand(4), expected)


# --- by name ---------------------------------------------------------------------------------


def test_models_are_built_by_name():
    built = models.build("alexnet_small", num_outputs=5, image_size=32)
    assert built(torch.zeros(2, 3, 32, 32)).shape == (2, 5)
    with torch.device("meta"):
        assert len(models.build("alexnet", num_outputs=500, image_size=227)) == 8


def test_an_unknown_model_is_refused_with_the_known_ones():
    with pytest.raises(UserError) as error:
        models.build("vgg", num_outputs=5, image_size=32)
    assert str(error.value).startswith(
        "model.name=vgg is unknown: choose one of alexnet alexnet_small"
    )


def test_a_model_of_ones_own_is_built(monkeypatch: pytest.MonkeyPatch):
    own = ModuleType("own_models")
    own.build = lambda *, num_outputs, image_size: network()  # type: ignore[attr-defined]
    own.linear = lambda **_: nn.Linear(2, 2)  # type: ignore[attr-defined]
    own.other = lambda **_: StagedNetwork({"a": nn.Linear(2, 2)})  # type: ignore[attr-defined, dict-item]
    own.wide = lambda **_: network()  # type: ignore[attr-defined]
    own.raising = lambda **_: 1 / 0  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "own_models", own)
    assert models.build("own_models:build", num_outputs=5, image_size=6).stage_names == NAMES
    for name, size, reason in (
        ("linear", 6, "returned Linear: it must return StagedNetwork"),
        ("other", 6, "returned a network of something else than stages"),
        ("wide", 6, "has outputs of shape (1, 5) for an image of 6 pixels: need (1, 7)"),
        ("wide", 7, "raised RuntimeError: "),
        ("raising", 6, "raised ZeroDivisionError: division by zero"),
    ):
        with pytest.raises(UserError) as error:
            models.build(f"own_models:{name}", num_outputs=7, image_size=size)
        assert str(error.value).startswith(f"model.name=own_models:{name} {reason}")


@pytest.mark.parametrize("name", ["no_such_module:build", "transferlab.models:no_such_function"])
def test_a_model_that_cannot_be_imported_is_refused(name: str):
    with pytest.raises(UserError, match=f"^model.name={name} cannot be imported: .*no_such"):
        models.build(name, num_outputs=5, image_size=6)
