"""Shapes and costs of a network's stages, against numbers worked out elsewhere."""

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from transferlab import models
from transferlab.models import shapes
from transferlab.models.dropout import Dropout
from transferlab.models.facts import Footprint, NetworkFacts
from transferlab.models.initial import gaussian
from transferlab.models.shapes import StageShape
from transferlab.models.stages import Auxiliary, Stage, StagedNetwork
from transferlab.training.module import TransferModule
from transferlab.training.recipe import Recipe

RECIPE = Recipe(lr=0.1, schedule="cosine", momentum=0.9)
# Of Caffe's reference network, from BVLC/caffe models/bvlc_reference_caffenet/train_val.prototxt:
# taps x output units, for instance conv2: 48 channels a group x 5 x 5, times 256 x 27 x 27
ALEXNET = (
    ("conv1", (96, 27, 27), 34_944, 105_415_200),
    ("conv2", (256, 13, 13), 307_456, 223_948_800),
    ("conv3", (384, 13, 13), 885_120, 149_520_384),
    ("conv4", (384, 13, 13), 663_936, 112_140_288),
    ("conv5", (256, 6, 6), 442_624, 74_760_192),
    ("fc6", (4096,), 37_752_832, 37_748_736),
    ("fc7", (4096,), 16_781_312, 16_777_216),
    ("fc8", (1000,), 4_097_000, 4_096_000),
)


def toy() -> StagedNetwork:
    """A stage with groups, batch norm and no bias, and a classifier behind dropout."""
    built = StagedNetwork(
        {
            "conv1": Stage(
                {
                    "conv": nn.Conv2d(3, 6, 3, stride=2, groups=3, bias=False),
                    "norm": nn.BatchNorm2d(6),
                },
                gaussian(0.3, 0.0),
            ),
            "fc2": Stage(
                {"dropout": Dropout(0.5), "flatten": nn.Flatten(), "fc": nn.Linear(54, 4)},
                gaussian(0.3, 0.0),
            ),
        }
    )
    built.initialise(lambda name: 0)
    return built


def told(found: tuple[StageShape, ...]) -> tuple[tuple[object, ...], ...]:
    return tuple((stage.name, stage.output, stage.parameters, stage.macs) for stage in found)


def test_the_papers_network_has_the_published_parameters_and_multiply_accumulates():
    network = models.build("alexnet", num_outputs=1000, image_size=227)

    found = shapes.stages(network, 227)

    assert told(found) == ALEXNET
    assert sum(stage.parameters for stage in found) == 60_965_224
    assert sum(stage.macs for stage in found) == 724_406_816


def test_the_small_network_has_those_that_follow_from_its_layers():
    found = shapes.stages(models.build("alexnet_small", num_outputs=5, image_size=32), 32)

    assert [(stage.name, stage.output, stage.macs) for stage in found] == [
        ("conv1", (32, 16, 16), 2_457_600),  # 32 x 32 x 32 units of 3 x 5 x 5 taps
        ("conv2", (64, 8, 8), 4_718_592),  # 64 x 16 x 16 of 32 x 3 x 3
        ("conv3", (96, 8, 8), 3_538_944),  # 96 x 8 x 8 of 64 x 3 x 3
        ("conv4", (96, 8, 8), 5_308_416),  # 96 x 8 x 8 of 96 x 3 x 3
        ("conv5", (64, 4, 4), 3_538_944),  # 64 x 8 x 8 of 96 x 3 x 3
        ("fc6", (512,), 524_288),  # 512 of 64 x 4 x 4
        ("fc7", (512,), 262_144),
        ("fc8", (5,), 2_560),
    ]


def test_groups_strides_and_batch_norm_are_counted_as_they_are():
    assert told(shapes.stages(toy(), 7)) == (
        ("conv1", (6, 3, 3), 66, 486),  # 6 x 3 x 3 units of 1 x 3 x 3; 54 + 12 weights
        ("fc2", (4,), 220, 216),
    )


class Kernel(nn.Module):
    """A convolution as a function, of a kernel that no layer holds."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(4, 3, 3, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.conv2d(x, self.weight)


class Attention(nn.Module):
    """Pixels as tokens, in two heads; then their mean."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = x.flatten(2).transpose(1, 2)  # (B, 100, 4)
        return self.heads(tokens, tokens, tokens, need_weights=False)[0].mean(1)


@pytest.mark.parametrize("learning", [True, False])
def test_operations_are_counted_whatever_module_calls_them(learning: bool):
    layers: dict[str, nn.Module] = {
        "transposed": nn.ConvTranspose2d(3, 3, 2, stride=2),
        "function": Kernel(),
        "attention": Attention(),
        "fc": nn.Linear(4, 2),
    }
    network = StagedNetwork(
        {name: Stage({name: layer}, gaussian(1.0)) for name, layer in layers.items()}
    ).requires_grad_(learning)

    assert {stage.name: stage.macs for stage in shapes.stages(network, 6)} == {
        "transposed": 1_296,  # 3 x 6 x 6 inputs to 3 x 2 x 2 outputs each
        "function": 10_800,  # 4 x 10 x 10 units of 3 x 3 x 3 taps
        # Of 100 tokens: 12 x 4 for queries, keys and values; 100 x 4 for the scores; as many for
        # the weighted values; 4 x 4 for the output
        "attention": 100 * (48 + 400 + 400 + 16),
        "fc": 8,
    }


def with_auxiliary() -> StagedNetwork:
    """Two stages, batch norm at the entry of the second, which has an auxiliary classifier."""
    layers: dict[str, dict[str, nn.Module]] = {
        "one": {"conv": nn.Conv2d(3, 4, 3)},
        "two": {"norm": nn.BatchNorm2d(4), "conv": nn.Conv2d(4, 5, 3)},
        "three": {"flatten": nn.Flatten(), "fc": nn.Linear(5 * 28 * 28, 5)},
    }
    head = Stage({"flatten": nn.Flatten(), "fc": nn.Linear(5 * 28 * 28, 5)}, gaussian(1.0))
    return StagedNetwork(
        {name: Stage(inner, gaussian(1.0)) for name, inner in layers.items()},
        auxiliary={"head": Auxiliary(head, tap="two", weight=0.3)},
    )


def residual() -> StagedNetwork:
    """Two convolutions at the entry of a block."""
    return models.build("resnet_small", num_outputs=5, image_size=32)


@pytest.mark.parametrize(
    ("build", "cuts"), [(residual, (0, 2)), (with_auxiliary, (0, 1, 2))], ids=["residual", "other"]
)
def test_a_training_step_takes_what_torch_counts_in_one(
    build: Callable[[], StagedNetwork], cuts: tuple[int, ...]
):
    stages = tuple(stage.facts for stage in shapes.stages(build(), 32))
    facts, counted, learning = NetworkFacts(stages, None, None, None), {}, {}
    with FakeTensorMode():
        x, labels = torch.zeros(2, 3, 32, 32), torch.zeros(2, dtype=torch.long)
        for n in cuts:
            module = TransferModule(build(), n=n, frozen=n > 0, seed=None, recipe=RECIPE)
            with FlopCounterMode(display=False) as counter:
                module.score(x, labels)[0].backward()
            counted[n] = counter.get_total_flops() // 2 // 2  # of a product, of two images
            learning[n] = sum(p.numel() for p in module.parameters() if p.requires_grad)

    assert {n: facts.training_macs(n) for n in cuts} == counted
    assert {n: facts.learning_parameters(n) for n in cuts} == learning


def test_the_network_is_unchanged():
    network = toy()
    network.prefix(1).eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    modes = [module.training for module in network.modules()]

    shapes.stages(network, 7)

    after = network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert before.keys() == after.keys()
    assert [module.training for module in network.modules()] == modes
    assert not any(module._forward_hooks for module in network.modules())


def test_a_network_larger_than_memory_is_examined():
    with torch.device("meta"):
        network = models.build("alexnet", num_outputs=10**9, image_size=227)

    assert told(shapes.stages(network, 227))[-1] == (
        "fc8",
        (10**9,),
        4_097_000_000_000,
        4_096_000_000_000,
    )


# --- memory, of one image in bytes ---------------------------------------------------------------


def test_a_stage_keeps_its_output_and_what_its_layers_save():
    """Worked out by hand, for 7 pixels: conv1 is 6 x 3 x 3 values, its input 3 x 7 x 7."""
    conv1, fc2 = shapes.stages(toy(), 7)

    # The convolution's output, for batch norm, and batch norm's; 216 bytes each
    assert conv1.float32 == Footprint(kept=216 + 216, output=216, widest=588 + 216)
    # The mask of 54 and what it leaves; logits, their log-probabilities, the loss's label
    assert fc2.float32 == Footprint(kept=54 + 216 + 16 + 16 + 8, output=16, widest=216 + 216)


def test_pooling_keeps_wide_indices_and_bfloat16_half_of_the_rest():
    conv1, *_ = shapes.stages(models.build("alexnet_small", num_outputs=5, image_size=32), 32)

    relu, pool, image = 32 * 32 * 32, 32 * 16 * 16, 3 * 32 * 32
    assert conv1.float32 == Footprint(4 * relu + (8 + 4) * pool, 4 * pool, 2 * 4 * relu)
    # A copy of the image in bfloat16 is the stage's own
    assert conv1.bfloat16 == Footprint(
        2 * image + 2 * relu + (8 + 2) * pool, 2 * pool, 2 * 2 * relu
    )


def test_frozen_stages_count_as_if_they_learned():
    """A plan cuts the same network anywhere."""
    network = toy()
    whole = shapes.stages(network, 7)
    network.requires_grad_(False)

    assert shapes.stages(network, 7) == whole
