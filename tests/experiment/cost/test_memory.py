"""The estimated memory of a pack, by hand and against the memory of a real training."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from support.records import made_run
from torch import Tensor

from transferlab import models
from transferlab.data import ring
from transferlab.data.transforms import InputTransform
from transferlab.experiment.cost import memory
from transferlab.experiment.cost.memory import RESERVE, Room, training_bytes
from transferlab.experiment.cost.networks import network_of
from transferlab.experiment.run import Run
from transferlab.models import shapes
from transferlab.models.facts import Footprint, NetworkFacts, NetworkShape, StageFacts
from transferlab.training import Recipe, TransferModule
from transferlab.training.pack_module import Member, PackModule

# Of each image in bytes. Parameters: 10 + 200 + 3,000
STAGES = (
    StageFacts("conv1", 10, 1, Footprint(7_000, 1_000, 5_000), Footprint(4_000, 500, 2_500)),
    StageFacts("conv2", 200, 1, Footprint(600, 300, 900), Footprint(400, 150, 450)),
    StageFacts("fc3", 3_000, 1, Footprint(50, 20, 70), Footprint(30, 10, 35)),
)
INPUTS = 3 * 32 * 32 * 4 * 2  # of each image, in float32: the view, and one in the making
RING = 3 * 32 * 32 * 4  # of each image: four batches of bytes
RECIPE = {"train.batch_size": 10, "train.val_batch_size": 1}


def facts(*runs: Run, device_bytes: int | None = None) -> dict[NetworkShape, NetworkFacts]:
    return {network_of(run): NetworkFacts(STAGES, device_bytes, None, None) for run in runs}


def need(*runs: Run) -> int:
    return training_bytes(runs, facts(*runs))


def base(**changes: Any) -> Run:
    return made_run({**RECIPE, **changes, "transfer.variant": "base", "transfer.n": 0})


def frozen(n: int, **changes: Any) -> Run:
    return made_run({**RECIPE, **changes}, n=n)


# --- the formula --------------------------------------------------------------------------------


def test_a_base_network_has_weights_gradients_momentum_and_what_it_keeps_for_backward():
    """The peak is in conv1's backward pass: later stages have been freed."""
    assert need(base()) == 3_210 * 12 + 10 * (RING + INPUTS + 7_000 + 5_000)


def test_frozen_stages_have_weights_only_and_keep_nothing_but_their_output():
    """The peak is in conv1's forward pass, which keeps nothing."""
    assert need(frozen(1)) == 3_210 * 4 + 3_200 * 8 + 10 * (RING + INPUTS + 1_000 + 5_000)
    assert need(frozen(2)) == 3_210 * 4 + 3_000 * 8 + 10 * (RING + INPUTS + 300 + 5_000)


def test_members_add_up_but_for_their_inputs_and_the_layer_being_computed():
    several = [frozen(n) for n in (1, 2) for _ in range(10)]
    tuned = [made_run(RECIPE, variant="AnB+", n=n) for n in (1, 2)]

    weights = 20 * 3_210 * 4 + 10 * (3_200 + 3_000) * 8
    kept, tapped = 10 * (650 + 50), 10 * (1_000 + 300)
    assert need(*several) == weights + 10 * (RING + INPUTS + tapped + kept + 900 - 50)
    assert need(*tuned) == 2 * 3_210 * 12 + 10 * (RING + INPUTS + 7_650 + 7_000 + 5_000)


def test_two_mean_images_are_two_inputs():
    other = made_run(RECIPE, variant="BnB", n=1)

    more = need(frozen(1), other) - need(frozen(1), frozen(1))
    assert more == 10 * 3 * 32 * 32 * 4


def test_a_large_validation_batch_counts_without_what_is_kept():
    tuned = need(made_run({**RECIPE, "train.val_batch_size": 1_000}, variant="AnB+", n=1))

    assert tuned == 3_210 * 12 + 10 * RING + 1_000 * (RING + INPUTS + 5_000)


def test_an_update_of_many_weights_counts_instead_of_few_images():
    """One of 16 pixels; on the processor two copies of the gradient of the largest stage."""
    one = {"train.batch_size": 1, "data.size": 4, "data.crop": 4}
    wide = (*STAGES[:2], StageFacts("fc3", 10**6, 1, *[Footprint(0, 0, 0)] * 2))
    found = {NetworkShape("alexnet_small", 5, 4): NetworkFacts(wide, None, None, None)}
    tuned = [made_run({**RECIPE, **one}, variant="AnB+", n=n) for n in (1, 2, 3)]

    assert training_bytes(tuned[:1], found) == 1_000_210 * 12 + 16 * 3 * 4 + 2 * 10**6 * 4
    assert training_bytes(tuned, found) == 3 * 1_000_210 * 12 + 16 * 3 * 4 + 3 * 1_000_210 * 4


def test_bfloat16_has_copies_of_the_weights_and_smaller_activations():
    found = need(frozen(1, **{"train.precision": "bfloat16"}))

    weights = 3_210 * (4 + 2) + 3_200 * 8
    assert found == weights + 10 * (RING + INPUTS + 500 + 2_500)


def test_devices_share_the_training_batch_out():
    assert need(base(**{"runtime.devices": 5})) == 3_210 * 12 + 2 * (RING + INPUTS + 7_000 + 5_000)


def test_batches_are_those_of_the_ring():
    assert memory.BATCHES == ring.LIVE + ring.AHEAD


# --- what there is ------------------------------------------------------------------------------


def test_room_is_what_is_given_or_what_the_device_has_or_unknown():
    told, mute = frozen(1, **{"runtime.memory_gb": 2.5}), frozen(1)

    assert Room({}, 7).limit(told) == 2_500_000_000
    assert [Room({}, most).limit(mute) for most in (7, None)] == [7, None]


def test_runs_fit_up_to_the_last_byte():
    pack = [frozen(1), frozen(2)]
    exact = RESERVE + need(*pack)

    assert Room(facts(*pack), exact).need(pack) == exact
    assert Room(facts(*pack), exact).fits(pack)
    assert not Room(facts(*pack), exact - 1).fits(pack)
    assert Room({}, None).fits(pack)  # nobody knows


def test_a_room_knows_the_need_of_each_pack_of_a_study():
    large, tuned = {"train.batch_size": 20}, {"transfer.variant": "AnB+"}
    packs = [[frozen(1)], [frozen(2)], [frozen(1), frozen(2)], [frozen(1, **large)],
             [frozen(1, **tuned)], [frozen(1, **{"train.precision": "bfloat16"})],
             [frozen(1, **{"data.crop": 16})], [frozen(1, **{"runtime.devices": 2})],
             [frozen(1)] * 2, [frozen(1), frozen(1, **{"transfer.variant": "BnB"})]]  # fmt: skip
    room = Room(facts(*(run for pack in packs for run in pack)), None)

    needs = [room.need(pack) for pack in packs]

    assert needs == [room.need(pack) for pack in packs] == [RESERVE + need(*p) for p in packs]
    assert len({*needs}) == len(packs)


def test_memory_is_reported_in_gigabytes():
    assert memory.used_of(38_240_000_000, 40_000_000_000) == "38.2 GB of 40 GB"


# --- against what a training has ----------------------------------------------------------------


RATE_ZERO = Recipe(
    lr=0.0, schedule="cosine", momentum=0.9, nesterov=True, weight_decay=0.0005,
    bias_lr_factor=2.0, bias_decay_factor=0.0,
)  # fmt: skip


def trained(runs: Sequence[Run]) -> tuple[int, dict[NetworkShape, NetworkFacts]]:
    """The measured bytes of one step of these runs, and the facts of their networks."""
    found, members, size = {}, [], runs[0].config.data.crop
    for run in runs:
        network, n = network_of(run), run.config.variant.n
        built = models.build(network.model, num_outputs=network.num_outputs, image_size=size)
        stages = tuple(stage.facts for stage in shapes.stages(built, size))
        found[network] = NetworkFacts(stages, None, None, None)
        module = TransferModule(built, n=n, frozen=n > 0, recipe=RATE_ZERO, label=run.label)
        members.append(Member(module, trunk="A", view="A"))
    pack = PackModule(members, total_steps=1, step=0, velocities=[{} for _ in members])
    ([optimizer], _) = pack.configure_optimizers()
    views = InputTransform({"A": np.zeros((size, size, 3), np.float32)}, scale=1.0, mirror=False,
                  channels_last=False)  # fmt: skip
    count = runs[0].config.train.batch_size
    pixels = torch.zeros(count, size, size, 3, dtype=torch.uint8)
    held: dict[int, Tensor] = {}  # by place, as long as they are: places are used again

    def save(tensor: Tensor) -> Tensor:
        held[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(save, lambda tensor: tensor):
        inputs = views({"pixels": pixels})
        losses, *_ = pack._losses({"inputs": inputs, "labels": torch.zeros(count).long()})
    losses.sum().backward()
    optimizer.step()
    lasting = [*pack.networks.parameters()]
    lasting += [p.grad for p in lasting if p.grad is not None]
    lasting += [state["momentum_buffer"] for state in optimizer.state.values()]
    held |= {tensor.untyped_storage().data_ptr(): tensor for tensor in lasting}
    return sum(tensor.untyped_storage().nbytes() for tensor in held.values()), found


SMALL = {"train.val_batch_size": 32}
LARGE = {"model.name": "alexnet", "data.size": 227, "data.crop": 227, "train.val_batch_size": 4}


@pytest.mark.parametrize(
    ("changes", "cuts", "ratio"),
    [
        ({**SMALL, "train.batch_size": 32}, [0], 1.10),
        ({**SMALL, "train.batch_size": 128}, [0], 1.16),
        ({**SMALL, "train.batch_size": 32}, [1, 2, 3, 4, 5, 6, 7], 1.04),
        ({**LARGE, "train.batch_size": 4}, [0], 1.40),
    ],
)
def test_the_estimate_is_not_below_what_a_step_holds_and_not_half_above(
    changes: dict[str, Any], cuts: list[int], ratio: float
):
    """Without what a layer or the update has on the way, which is in the estimate."""
    torch.set_num_threads(1)
    runs = [made_run(changes, variant="AnB" if n else "base", n=n) for n in cuts]

    held, found = trained(runs)
    estimate = training_bytes(runs, found)

    assert 1 <= estimate / held <= 1.5
    assert math.isclose(estimate / held, ratio, abs_tol=0.01)
