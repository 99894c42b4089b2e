"""The paper's network against the facts of yosinski/convnet_transfer, half0A/train_val.prototxt."""

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from transferlab import models
from transferlab.errors import UserError
from transferlab.models.dropout import Dropout
from transferlab.models.stages import StagedNetwork
from transferlab.models.zoo import alexnet

NAMES = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8")
# stage -> parameters, std of the initial weights, initial bias
FACTS = {
    "conv1": (34_944, 0.01, 0.0),
    "conv2": (307_456, 0.01, 1.0),
    "conv3": (885_120, 0.01, 0.0),
    "conv4": (663_936, 0.01, 1.0),
    "conv5": (442_624, 0.01, 1.0),
    "fc6": (37_752_832, 0.005, 1.0),
    "fc7": (16_781_312, 0.005, 1.0),
    "fc8": (4_097_000, 0.01, 0.0),
}
# layer -> its output for one image
SHAPES = {
    "conv1.conv": (96, 55, 55),
    "conv1.pool": (96, 27, 27),
    "conv1.norm": (96, 27, 27),
    "conv2.conv": (256, 27, 27),
    "conv2.pool": (256, 13, 13),
    "conv2.norm": (256, 13, 13),
    "conv3.conv": (384, 13, 13),
    "conv4.conv": (384, 13, 13),
    "conv5.conv": (256, 13, 13),
    "conv5.pool": (256, 6, 6),
    "fc6.flatten": (9216,),
    "fc6.fc": (4096,),
    "fc7.fc": (4096,),
    "fc8.fc": (1000,),
}
# stage -> out, in per group, kernel, stride, pad, groups
CONVOLUTIONS = {
    "conv1": (96, 3, 11, 4, 0, 1),
    "conv2": (256, 48, 5, 1, 2, 2),
    "conv3": (384, 256, 3, 1, 1, 1),
    "conv4": (384, 192, 3, 1, 1, 2),
    "conv5": (256, 192, 3, 1, 1, 2),
}


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def network() -> StagedNetwork:
    """The network with 1000 outputs, drawn once: 61 million numbers."""
    built = alexnet.build(num_outputs=1000, image_size=227)
    built.initialise(lambda name: 50 + NAMES.index(name))
    built.key_dropout(lambda name: 70 + NAMES.index(name))
    return built


def weightless(num_outputs: int = 1000) -> StagedNetwork:
    with torch.device("meta"):
        return alexnet.build(num_outputs=num_outputs, image_size=227)


def image() -> Tensor:
    """One image of grey levels about their mean."""
    noise = torch.rand(1, 3, 227, 227, generator=torch.Generator().manual_seed(0))
    return (noise - 0.5) * 255


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_the_eight_stages_have_the_papers_names():
    assert weightless().stage_names == NAMES


def test_there_are_60965224_parameters_with_1000_outputs():
    assert parameters(weightless()) == 60_965_224
    found = {name: parameters(stage) for name, stage in weightless().named_children()}
    assert found == {name: facts[0] for name, facts in FACTS.items()}


def test_500_outputs_change_the_classifier_only():
    found = {name: parameters(stage) for name, stage in weightless(500).named_children()}
    assert found.pop("fc8") == 2_048_500  # 4096 x 500 + 500
    assert found == {name: FACTS[name][0] for name in NAMES[:-1]}
    assert parameters(weightless(500)) == 58_916_724


def test_every_map_has_its_size():
    built, found = weightless().eval(), {}
    for name, layer in built.named_modules():
        layer.register_forward_hook(
            lambda module, args, output, name=name: found.update({name: tuple(output.shape)})
        )
    built(torch.empty(1, 3, 227, 227, device="meta"))
    assert {name: found[name] for name in SHAPES} == {
        name: (1, *shape) for name, shape in SHAPES.items()
    }


def test_the_convolutions_have_their_kernels_strides_and_groups():
    for name, stage in weightless().named_children():
        convolutions = [layer for layer in stage if isinstance(layer, nn.Conv2d)]
        assert len(convolutions) == (name in CONVOLUTIONS)
        for layer in convolutions:
            out, per_group, kernel, stride, pad, groups = CONVOLUTIONS[name]
            assert layer.weight.shape == (out, per_group, kernel, kernel)
            assert (layer.stride, layer.padding) == ((stride, stride), (pad, pad))
            assert layer.groups == groups
            assert layer.bias is not None


def test_the_layers_follow_one_another_as_in_caffes_reference_network():
    found = {
        name: [type(layer).__name__ for layer in stage]
        for name, stage in weightless().named_children()
    }
    block = ["Conv2d", "ReLU", "MaxPool2d", "LocalResponseNorm"]  # pooling before LRN
    assert found == {
        "conv1": block,
        "conv2": block,
        "conv3": block[:2],
        "conv4": block[:2],
        "conv5": block[:3],
        "fc6": ["Flatten", "Linear", "ReLU"],
        "fc7": ["Dropout", "Linear", "ReLU"],
        "fc8": ["Dropout", "Linear"],
    }


def test_pooling_takes_3_pixels_every_2():
    pools = [layer for layer in weightless().modules() if isinstance(layer, nn.MaxPool2d)]
    assert [(p.kernel_size, p.stride, p.padding, p.ceil_mode) for p in pools] == 3 * [
        (3, 2, 0, True)
    ]


def test_dropout_of_a_half_thins_the_inputs_of_fc7_and_fc8():
    found = {
        name: layer.p for name, layer in weightless().named_modules() if isinstance(layer, Dropout)
    }
    assert found == {"fc7.dropout": 0.5, "fc8.dropout": 0.5}
    assert weightless().deterministic_stages() == 6


@pytest.mark.parametrize("name", NAMES)
def test_initial_weights_and_biases_are_the_releases(name: str, network: StagedNetwork):
    _, std, bias = FACTS[name]
    for key, value in network.get_submodule(name).named_parameters():
        if key.endswith("bias"):
            assert value.unique().tolist() == [bias]
        else:
            assert value.std().item() == pytest.approx(std, rel=0.02)
            assert abs(value.mean().item()) < 5 * std / value.numel() ** 0.5  # standard errors


def test_the_input_of_conv2_is_normalised_across_five_channels(network: StagedNetwork):
    a = 300 * torch.rand(1, 96, 3, 3, generator=torch.Generator().manual_seed(1))
    values = a.double().numpy()
    expected = np.empty_like(values)
    for channel in range(96):
        window = (values[:, max(channel - 2, 0) : channel + 3] ** 2).sum(axis=1)
        expected[:, channel] = values[:, channel] / (1 + 1e-4 / 5 * window) ** 0.75
    for stage in ("conv1", "conv2"):
        found = network.get_submodule(f"{stage}.norm")(a).numpy()
        assert np.allclose(found, expected, rtol=1e-5)
        assert found.max() < 0.6 * a.max()  # so that the constants count


def test_the_output_of_conv1_is_that_of_the_formula(network: StagedNetwork):
    stage = network.get_submodule("conv1")
    x = 20 * image()
    weight, bias = stage.conv.weight, stage.conv.bias
    with torch.no_grad():
        found = stage(x)[0, :, 5, 7]
        # rows 10..12 and columns 14..16 of the convolution meet in pixel (5, 7) of the pool
        patches = [x[0, :, 4 * r : 4 * r + 11, 4 * c : 4 * c + 11]
                   for r in (10, 11, 12) for c in (14, 15, 16)]  # fmt: skip
        values = torch.stack([(weight * patch).sum(dim=(1, 2, 3)) + bias for patch in patches])
        pooled = values.clamp(min=0).amax(dim=0)  # (96,)
        padded = torch.cat([torch.zeros(2), pooled**2, torch.zeros(2)])
        window = padded.unfold(0, 5, 1).sum(dim=1)
        expected = pooled / (1 + 2e-5 * window) ** 0.75
    assert window.max() > 10_000
    assert torch.allclose(found, expected, rtol=1e-3)


@pytest.mark.parametrize("name", ["conv2", "conv4", "conv5"])
def test_each_half_of_a_grouped_layer_sees_its_half_of_the_channels(
    name: str, network: StagedNetwork
):
    layer = network.get_submodule(f"{name}.conv")
    channels, outputs = layer.in_channels, layer.out_channels
    x = torch.randn(1, channels, 3, 3, generator=torch.Generator().manual_seed(2))
    other = x.clone()
    other[:, channels // 2 :] += 1.0
    with torch.no_grad():
        moved = (layer(x) != layer(other)).any(dim=3).any(dim=2)[0]
    assert not moved[: outputs // 2].any()
    assert moved[outputs // 2 :].all()


def test_conv3_sees_all_channels(network: StagedNetwork):
    layer = network.get_submodule("conv3.conv")
    x = torch.zeros(1, 256, 3, 3)
    other = x.clone()
    other[:, 255] = 1.0
    with torch.no_grad():
        assert (layer(x) != layer(other)).any(dim=3).any(dim=2).all()


def test_prefix_then_head_is_the_whole_at_every_cut(network: StagedNetwork):
    x = image()
    with torch.no_grad():
        network.eval()
        whole = network(x)
        assert whole.shape == (1, 1000) and whole.std() > 0
        prefixes = [x] + [network.prefix(n)(x) for n in range(1, 8)]
        for n, features in enumerate(prefixes):
            assert torch.equal(network.head(n)(features), whole)
        network.train()
        network.set_step(3)
        thinned = network(x)
        assert not torch.equal(thinned, whole)
        for n in (5, 6, 7):
            features = prefixes[n] if n < 7 else network.prefix(7)(x)
            assert torch.equal(network.head(n)(features), thinned)


@pytest.mark.parametrize("autocast", [False, True])
def test_channels_last_is_another_way_to_lie_in_memory_and_nothing_else(
    autocast: bool, network: StagedNetwork
):
    built = copy.deepcopy(network).eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x, flattened = image(), {}
    for chosen in (network.eval(), built):
        chosen.fc6.flatten.register_forward_hook(
            lambda module, args, output, key=chosen: flattened.update({key: (*args, output)})
        )
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        expected = network(x)
        found = built(x.contiguous(memory_format=torch.channels_last))
    maps, rows = flattened[built]
    assert maps.is_contiguous(memory_format=torch.channels_last) and not maps.is_contiguous()
    assert torch.equal(rows[0].reshape(256, 6, 6), maps[0])  # channel, row, column
    limit = 0.03 if autocast else 1e-5
    assert (found - expected).float().norm() < limit * expected.float().norm()


@pytest.mark.parametrize("size", [224, 226, 228, 64])
def test_another_image_size_is_refused(size: int):
    with pytest.raises(UserError) as error:
        models.build("alexnet", num_outputs=10, image_size=size)
    assert str(error.value) == (
        f"data.crop={size} does not fit model=alexnet, which takes 227 pixels"
    )
