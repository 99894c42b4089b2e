"""The arithmetic of a pack, on networks small enough to follow by hand."""

import pytest
import torch
from torch import Tensor, nn

from transferlab.models.dropout import Dropout
from transferlab.models.initial import gaussian
from transferlab.models.stages import Stage, StagedNetwork
from transferlab.training.module import TransferModule
from transferlab.training.pack_module import Member, PackModule, means
from transferlab.training.recipe import Recipe

RECIPE = Recipe(
    lr=0.1, schedule="step", lr_step=1000, lr_factor=0.1, momentum=0.9, bias_lr_factor=2.0,
    bias_decay_factor=0.0,
)  # fmt: skip


class Counting(nn.Module):
    """Passes its input on and counts how often."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x


def network(seed: int) -> StagedNetwork:
    """Four stages on (B, 3), the third of them with dropout, two classes."""
    built = StagedNetwork(
        {
            "one": Stage({"count": Counting(), "fc": nn.Linear(3, 4)}, gaussian(1.0, 0.5)),
            "two": Stage({"count": Counting(), "fc": nn.Linear(4, 4)}, gaussian(1.0, 0.5)),
            "three": Stage(
                {"dropout": Dropout(0.5), "count": Counting(), "fc": nn.Linear(4, 4)},
                gaussian(1.0, 0.5),
            ),
            "four": Stage({"count": Counting(), "fc": nn.Linear(4, 2)}, gaussian(1.0)),
        }
    )
    built.initialise(lambda stage: seed)
    return built


def member(name: str, *, frozen: int, trunk: str, view: str = "A", seed: int = 0) -> Member:
    module = TransferModule(
        network(seed), n=frozen, frozen=frozen > 0, recipe=RECIPE, seed=None, label=name
    )
    return Member(module, trunk=trunk, view=view)


def pack(members: list[Member]) -> PackModule:
    return PackModule(members, total_steps=1000, step=0, velocities=[{} for _ in members])


INPUTS = torch.tensor([[1.0, 2.0, 3.0], [0.0, 1.0, 0.0]])
BATCH = {
    "inputs": {"A": INPUTS, "B": INPUTS + 1},
    "labels": torch.tensor([0, 1]),
    "skipped": {},
}


def calls(single: Member) -> list[int]:
    return [stage.count.calls for stage in single.network]  # type: ignore[union-attr]


def test_frozen_members_of_one_base_share_one_pass_of_its_stages():
    members = [
        member("A1B", frozen=1, trunk="a"),
        member("A2B", frozen=2, trunk="a"),
        member("A3B", frozen=3, trunk="a"),
        member("B2B", frozen=2, trunk="b"),
        member("A2B+", frozen=0, trunk="a"),
    ]
    module = pack(members)
    module._losses(BATCH)
    shared = [sum(calls(m)[depth] for m in members[:3]) for depth in range(2)]
    assert shared == [1, 1 + 1]  # stage two: once for the trunk, once for A1B, where it learns
    assert [calls(m)[2] for m in members[:3]] == [1, 1, 1]  # behind dropout each has its own
    assert calls(members[3]) == [1, 1, 1, 1] and calls(members[4]) == [1, 1, 1, 1]
    with torch.no_grad():
        module.eval()
        module._losses(BATCH)
    assert [sum(calls(m)[depth] for m in members[:3]) for depth in range(2)] == [2, 4]


def test_members_with_one_trunk_but_other_inputs_are_told_apart():
    same = pack([member("x", frozen=2, trunk="a/A"), member("y", frozen=2, trunk="a/A")])
    other = pack([member("x", frozen=2, trunk="a/A"), member("y", frozen=2, trunk="a/B", view="B")])
    losses = [module.eval()._losses(BATCH)[0].tolist() for module in (same, other)]
    assert losses[0][0] == losses[0][1] == losses[1][0] != losses[1][1]


def test_batch_norm_of_frozen_stages_stays_in_evaluation():
    stage = Stage({"fc": nn.Linear(3, 3), "norm": nn.BatchNorm1d(3)}, gaussian(1.0))
    last = Stage({"fc": nn.Linear(3, 2)}, gaussian(1.0))
    built = StagedNetwork({"one": stage, "last": last})
    module = TransferModule(built, n=1, frozen=True, recipe=RECIPE, label="x")
    trained = pack([Member(module, trunk="x", view="A")]).train()
    assert trained.networks[0].last.training and not stage.norm.training
    assert not trained.eval().networks[0].last.training


def test_losses_are_means_over_the_batch_and_hits_are_counted():
    single = member("x", frozen=0, trunk="x")
    module = pack([single]).eval()
    logits = single.network(INPUTS)
    expected = -torch.log_softmax(logits, 1)[[0, 1], [0, 1]].mean()
    losses, hits, _ = module._losses(BATCH)
    assert losses.tolist() == pytest.approx([expected.item()])
    assert hits.tolist() == [(logits.argmax(1) == BATCH["labels"]).sum().item()]


def test_frozen_stages_get_no_gradient_and_the_rest_does():
    single = member("x", frozen=2, trunk="x")
    pack([single])._losses(BATCH)[0].sum().backward()
    with_gradient = {n for n, p in single.network.named_parameters() if p.grad is not None}
    assert with_gradient == {"three.fc.weight", "three.fc.bias", "four.fc.weight", "four.fc.bias"}


def test_a_member_whose_loss_was_not_finite_leaves_with_its_step():
    members = [member("x", frozen=0, trunk="x"), member("y", frozen=0, trunk="y", seed=1)]
    module = pack(members)
    module.first_bad[1] = 7
    assert module.drop_failed() == {"y": 7}
    assert module.drop_failed() == {}
    assert module.active == [0]
    losses, _, _ = module._losses(BATCH)
    assert losses[1].item() == 0.0 and calls(members[1]) == [0, 0, 0, 0]


def test_means_of_sums():
    sums = torch.tensor([[6.0, 0.0], [3.0, 0.0], [12.0, 0.0]], dtype=torch.float64)
    assert means(sums) == ([0.5, 0.0], [0.25, 0.0])
