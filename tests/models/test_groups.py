"""Stages inside stages, auxiliary classifiers, and stochastic depth."""

import hashlib

import pytest
import torch
from torch import Tensor, nn

from transferlab.errors import UserError
from transferlab.models import kinds, shapes, transfer
from transferlab.models.dropout import Dropout, StochasticDepth
from transferlab.models.facts import stage_number
from transferlab.models.initial import gaussian, he
from transferlab.models.stages import Auxiliary, Cuts, Group, Stage, StagedNetwork

FINE = ("block1.conv1_1", "block1.conv1_2", "block2.conv2_1", "fc")


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.dropout = Dropout(0.5, shared=2)
        self.depth = StochasticDepth(0.5, by="row", rescaled=True)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.depth(self.dropout(self.norm(self.conv(x)))))


def network(cuts: Cuts = "stage") -> StagedNetwork:
    def head(size: int) -> Stage:
        pool, flat = nn.AdaptiveAvgPool2d(1), nn.Flatten()
        return Stage({"pool": pool, "flatten": flat, "fc": nn.Linear(4, size)}, gaussian(0.3))

    first = Group(
        {
            "conv1_1": Stage({"conv": nn.Conv2d(3, 4, 3), "relu": nn.ReLU()}, he()),
            "conv1_2": Stage({"block": Residual()}, he()),
        }
    )
    second = Group({"conv2_1": Stage({"block": Residual()}, he())})
    built = StagedNetwork(
        {"block1": first, "block2": second, "fc": head(5)},
        auxiliary={"aux1": Auxiliary(head(5), tap="block1", weight=0.3)},
        cuts=cuts,
    )
    built.initialise(seed_of)
    built.key_dropout(seed_of)
    return built


def seed_of(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")


def images(count: int = 6) -> Tensor:
    return torch.randn(count, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def test_both_kinds_of_cut_are_one_network():
    coarse, fine = network(), network("fine")
    assert coarse.stage_names == ("block1", "block2", "fc") and fine.stage_names == FINE
    assert transfer.same_bits(coarse.state_dict(), fine.state_dict())
    assert "block1.conv1_2.block.norm.running_mean" in fine.state_dict()
    assert "auxiliary.aux1.fc.weight" in fine.state_dict()
    coarse.set_step(3)
    fine.set_step(3)
    assert torch.equal(coarse(images()), fine(images()))


@pytest.mark.parametrize("cuts", ["stage", "fine"])
@pytest.mark.parametrize("mode", [True, False])
def test_prefix_then_head_is_the_whole_at_every_cut(cuts: Cuts, mode: bool):
    for n in range(len(network(cuts)) + 1):
        whole, cut = network(cuts).train(mode), network(cuts).train(mode)
        whole.set_step(2)
        cut.set_step(2)
        assert torch.equal(cut.head(n)(cut.prefix(n)(images())), whole(images()))
        assert transfer.same_bits(cut.state_dict(), whole.state_dict())  # statistics too


def test_every_random_module_has_a_key_of_its_own():
    built = network()
    keys = [module.key for module in built.modules() if hasattr(module, "key")]
    names = [f"{name}{part}" for name in FINE[1:3] for part in ("", "/1")]
    assert keys == list(map(seed_of, names))


def test_a_prefix_with_random_modules_is_not_shared():
    assert network("fine").deterministic_stages() == 1
    assert network().deterministic_stages() == 0


@pytest.mark.parametrize(
    ("name", "number"),
    [("block1", 2), ("conv1_1", 1), ("block1.conv1_2", 2), ("block2", 3), ("fc", 4)],
)
def test_a_stage_has_a_number_by_its_name_or_the_end_of_it(name: str, number: int):
    assert stage_number(FINE, name) == number


def test_an_unknown_stage_is_refused_with_the_nearest():
    with pytest.raises(UserError) as error:
        stage_number(("conv1", "conv2", "fc"), "conv3")
    assert str(error.value) == (
        "transfer.n=conv3 is no stage: did you mean conv2? choose a number or one of conv1 conv2 fc"
    )
    with pytest.raises(UserError):
        stage_number(("a.1", "b.1", "fc"), "1")  # of two


@pytest.mark.parametrize(
    ("cuts", "n", "frozen"), [("stage", 1, True), ("fine", 1, False), ("fine", 2, True)]
)
def test_an_auxiliary_head_on_a_frozen_stage_is_frozen(cuts: Cuts, n: int, frozen: bool):
    built = network(cuts)
    transfer.graft(built, n=n, frozen=True, base=network().state_dict())
    assert all(p.requires_grad is not frozen for p in built.auxiliary.parameters())
    assert all(p.requires_grad for p in built.head(n).parameters())


def test_auxiliary_heads_and_the_classifier_are_fresh():
    base = network()
    built = network("fine")
    with torch.no_grad():
        for value in built.state_dict().values():
            value.fill_(9)
    transfer.graft(built, n=3, frozen=False, base=base.state_dict())
    copied = {name for name, value in built.state_dict().items() if (value != 9).any()}
    assert copied == {name for name in base.state_dict() if name.startswith("block")}


def test_parameters_and_memory_of_an_auxiliary_head_count_with_the_stage_that_it_is_on():
    with_head, without = network(), network()
    without.taps = {}
    found, bare = (shapes.stages(each, 8)[:2] for each in (with_head, without))
    assert [a.parameters - b.parameters for a, b in zip(found, bare, strict=True)] == [25, 0]
    assert found[0].float32.kept > bare[0].float32.kept
    assert [a.macs for a in found] == [b.macs for b in bare]


def test_frozen_batch_norm_uses_no_statistics_of_the_batch():
    built = network("fine")
    transfer.graft(built, n=2, frozen=True, base=network().state_dict())
    assert kinds.has_statistics(built)  # that of block2
    transfer.graft(built, n=3, frozen=True, base=network().state_dict())
    assert not kinds.has_statistics(built)


# --- random masks -------------------------------------------------------------------------------


def test_a_channel_is_dropped_as_a_whole():
    dropout = Dropout(0.5, shared=2)
    dropped = dropout(torch.ones(20, 30, 4, 4))
    assert set(dropped.unique().tolist()) == {0.0, 2.0}
    assert (dropped.amax((2, 3)) == dropped.amin((2, 3))).all()
    assert 0.4 < (dropped[:, :, 0, 0] == 0).float().mean().item() < 0.6


def test_a_branch_is_dropped_by_row_or_by_batch():
    by_row = StochasticDepth(0.25, by="row", rescaled=True)
    x = torch.ones(400, 3, 2, 2)
    rows = by_row(x).flatten(1)
    assert (rows.amax(1) == rows.amin(1)).all()
    assert 0.70 < (rows[:, 0] == 4 / 3).float().mean().item() < 0.80
    assert torch.equal(by_row.eval()(x), x)
    by_batch = StochasticDepth(0.25, by="batch", rescaled=False)
    kept = []
    for step in range(400):
        by_batch.step = step
        kept.append(by_batch(x[:2]).unique().tolist())
    assert set(map(tuple, kept)) == {(0.0,), (1.0,)}
    assert 0.70 < kept.count([1.0]) / 400 < 0.80
    assert torch.equal(by_batch.eval()(x), 0.75 * x)


def test_a_branch_of_a_batch_is_the_same_in_every_process():
    whole = StochasticDepth(0.5, by="batch", rescaled=False)
    for step in range(20):
        whole.step = step
        outputs = set()
        for whole.first, whole.stride in ((0, 1), (0, 2), (1, 2)):
            outputs.add(whole(torch.ones(3, 1)).sum().item())
        assert len(outputs) == 1
