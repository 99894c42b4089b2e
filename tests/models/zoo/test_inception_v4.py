"""Inception-v4 and both Inception-ResNet-v2 against Szegedy et al. 2016, slim and timm."""

import functools
import math
import sys
from collections import Counter

import pytest
import torch
from support.cuts import assert_cuts_compose
from torch import nn

from transferlab import models
from transferlab.errors import UserError
from transferlab.models.dropout import Dropout
from transferlab.models.stages import StagedNetwork
from transferlab.models.zoo.inception_v3 import tap_side

# stage -> parameters, its output for one image of 299 pixels
V4 = {
    "Conv2d_1a_3x3": (928, (32, 149, 149)),
    "Conv2d_2a_3x3": (9_280, (32, 147, 147)),
    "Conv2d_2b_3x3": (18_560, (64, 147, 147)),
    "Mixed_3a": (55_488, (160, 73, 73)),
    "Mixed_4a": (189_312, (192, 71, 71)),
    "Mixed_5a": (332_160, (384, 35, 35)),
    **{f"Mixed_5{letter}": (317_632, (384, 35, 35)) for letter in "bcde"},
    "Mixed_6a": (2_306_112, (1024, 17, 17)),
    **{f"Mixed_6{letter}": (2_936_256, (1024, 17, 17)) for letter in "bcdefgh"},
    "Mixed_7a": (2_747_392, (1536, 8, 8)),
    **{f"Mixed_7{letter}": (4_553_088, (1536, 8, 8)) for letter in "bcd"},
    "logits": (1_537_000, (1000,)),
}
RELEASED = {
    "Conv2d_1a_3x3": (928, (32, 149, 149)),
    "Conv2d_2a_3x3": (9_280, (32, 147, 147)),
    "Conv2d_2b_3x3": (18_560, (64, 73, 73)),
    "Conv2d_3b_1x1": (5_280, (80, 73, 73)),
    "Conv2d_4a_3x3": (138_624, (192, 35, 35)),
    "Mixed_5b": (268_320, (320, 35, 35)),
    "repeat_block35": (1_231_680, (320, 35, 35)),
    "Mixed_6a": (2_664_960, (1088, 17, 17)),
    "repeat_block17": (22_535_680, (1088, 17, 17)),
    "Mixed_7a": (3_880_960, (2080, 8, 8)),
    "repeat_block8": (20_354_240, (2080, 8, 8)),
    "Conv2d_7b_1x1": (3_197_952, (1536, 8, 8)),
    "logits": (1_537_000, (1000,)),
}
FIGURES = {
    **{name: V4[name] for name in list(V4)[:6]},
    "repeat_block35": (687_840, (384, 35, 35)),
    "Mixed_6a": (2_902_528, (1152, 17, 17)),
    "repeat_block17": (11_719_040, (1152, 17, 17)),
    "Mixed_7a": (3_930_112, (2144, 8, 8)),
    "repeat_block8": (10_443_680, (2144, 8, 8)),
    "logits": (2_145_000, (1000,)),
}
# network -> its stages, parameters without and with the auxiliary classifier, its tap, the stages
# with cuts inside of them
NETWORKS = {
    "inception_v4": (V4, 42_679_816, 46_039_280, "Mixed_6h", 23),
    "inception_resnet_v2": (RELEASED, 55_843_464, 59_211_120, "repeat_block17", 50),
    "inception_resnet_v2_paper": (FIGURES, 32_433_928, 35_809_776, "repeat_block17", 29),
}


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)
    pytest.importorskip("timm")


@pytest.fixture(scope="module")
def released() -> StagedNetwork:
    """With torch's initial values: the papers' take seconds to draw."""
    return models.build("inception_resnet_v2", num_outputs=5, image_size=75)


def weightless(name: str, image_size: int = 299) -> StagedNetwork:
    with torch.device("meta"):
        return models.build(name, num_outputs=1000, image_size=image_size)


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("name", NETWORKS)
def test_stages_have_the_names_parameters_and_maps_of_the_paper_or_the_release(name: str):
    facts, total, with_auxiliary, tap, fine = NETWORKS[name]
    built, x, found = weightless(name), torch.empty(2, 3, 299, 299, device="meta"), {}
    for stage_name, stage in built.stages.items():
        x = stage(x)
        found[stage_name] = (parameters(stage), tuple(x.shape[1:]))
        if stage_name == tap:
            assert built.get_submodule("auxiliary.AuxLogits")(x).shape == (2, 1000)
            assert x.shape[2] == tap_side(299)
    assert found == facts
    assert tuple(found) == tuple(facts)
    assert sum(parameters(stage) for stage in built) == total
    assert parameters(built) == with_auxiliary
    assert built.taps == {"AuxLogits": (tap, 0.4)}
    built.cuts = "fine"
    assert len(built) == fine


def test_fine_cuts_part_the_blocks():
    built = weightless("inception_resnet_v2")
    built.cuts = "fine"
    assert built.stage_names[5:8] == (
        "Mixed_5b", "repeat_block35.block35_1", "repeat_block35.block35_2"
    )  # fmt: skip
    assert built.stage_names[36] == "repeat_block17.block17_20"
    assert built.stage_names[47:] == ("repeat_block8.block8_10", "Conv2d_7b_1x1", "logits")


def test_auxiliary_classifiers_fit_the_maps_of_every_image():
    for name, stages in (("inception_v4", 11), ("inception_resnet_v2", 8)):
        prefix = weightless(name).prefix(stages)  # with Mixed_6a
        for size in (75, 76, 128, 512):
            assert prefix(torch.empty(2, 3, size, size, device="meta")).shape[2] == tap_side(size)


def test_dropout_of_a_fifth_is_before_the_classifier():
    for name in ("inception_v4", "inception_resnet_v2_paper"):
        built = weightless(name)
        found = {n: layer.p for n, layer in built.named_modules() if isinstance(layer, Dropout)}
        assert found == {"logits.dropout": 0.2}
        assert built.deterministic_stages() == len(built) - 1


def test_residuals_are_scaled_and_the_last_of_the_release_is_linear(released: StagedNetwork):
    blocks = {
        name: list(released.get_submodule(f"repeat_{name}"))
        for name in ("block35", "block17", "block8")
    }
    scales = {name: {stage.block.scale for stage in stages[:-1]} for name, stages in blocks.items()}
    assert scales == {"block35": {0.17}, "block17": {0.1}, "block8": {0.2}}
    last = blocks["block8"][-1].block
    assert last.scale == 1.0 and last.relu is None


def test_the_blocks_of_the_figures_add_what_they_scale():
    built = weightless("inception_resnet_v2_paper")
    for name, channels, scale in (("35_1", 384, 0.17), ("17_10", 1152, 0.1), ("8_5", 2144, 0.2)):
        stage = built.get_submodule(f"repeat_block{name.partition('_')[0]}.block{name}")
        initialised(stage).eval()
        x = torch.randn(1, channels, 3, 3).abs()
        with torch.no_grad():
            added = stage.block.up(stage.block.branches(x))
            assert added.std() > 0.1
            assert torch.allclose(stage(x), torch.relu(x + scale * added))


def initialised(stage: nn.Module) -> nn.Module:
    """A stage without weights, with its initial values."""
    stage.to_empty(device="cpu").initialise(torch.Generator().manual_seed(0))
    return stage


def test_initial_values_are_slims():
    v4, paper = weightless("inception_v4"), weightless("inception_resnet_v2_paper")
    stages = [v4.get_submodule(name) for name in ("Conv2d_2b_3x3", "Mixed_6a", "logits")]
    stages += [paper.get_submodule("repeat_block17.block17_1"), v4.auxiliary["AuxLogits"]]
    kinds: Counter[type] = Counter()
    for stage in stages:
        for module in initialised(stage).modules():
            if isinstance(module, nn.BatchNorm2d):
                assert module.eps == 1e-3
                assert module.weight.unique().tolist() == [1.0]
                assert module.bias.unique().tolist() == [0.0]
                assert module.running_var.unique().tolist() == [1.0]
            elif isinstance(module, nn.Conv2d | nn.Linear):
                kinds[nn.Linear if isinstance(module, nn.Linear) else nn.Conv2d] += 1
                outputs, fan_in = len(module.weight), math.prod(module.weight.shape[1:])
                std, largest = math.sqrt(2 / fan_in), 2 * math.sqrt(1.3)  # cut at two deviations
                if isinstance(module, nn.Linear):
                    std, largest = math.sqrt(2 / (fan_in + outputs)), math.sqrt(3)  # uniform
                assert 0.9 * largest * std < module.weight.abs().max() <= 1.0001 * largest * std
                within = 0.003 + 4 / math.sqrt(2 * module.weight.numel())
                assert module.weight.std().item() == pytest.approx(std, rel=within)
                assert module.bias is None or module.bias.unique().tolist() == [0.0]
    assert kinds == {nn.Conv2d: 1 + 4 + 5 + 2, nn.Linear: 2}


@pytest.mark.parametrize("name", ["inception_v4", "inception_resnet_v2"])
def test_it_computes_what_timms_network_computes(name: str, request: pytest.FixtureRequest):
    timm = pytest.importorskip("timm")
    build = functools.partial(models.build, num_outputs=5, image_size=75)
    own = request.getfixturevalue("released") if name == "inception_resnet_v2" else build(name)
    with torch.device("meta"):
        library = timm.create_model(name, num_classes=5).eval()
    values = [value for key, value in own.state_dict().items() if "auxiliary" not in key]
    library.load_state_dict(dict(zip(library.state_dict(), values, strict=True)), assign=True)
    x = torch.randn(1, 3, 75, 75)
    with torch.no_grad():
        logits = own.eval()(x)
        assert logits.std() > 1e-4
        assert torch.equal(logits, library(x))


def test_every_cut_is_one(released: StagedNetwork):
    released.key_dropout(hash)
    assert_cuts_compose(released, torch.randn(2, 3, 75, 75))


def test_without_timm_the_message_names_the_extra(monkeypatch: pytest.MonkeyPatch):
    for name in ("timm", "timm.models"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(sys, "path", [])
    for name in ("inception_v4", "inception_resnet_v2"):
        with pytest.raises(UserError, match=rf"^model.name={name} needs timm: .*lab\[timm\]$"):
            models.build(name, num_outputs=5, image_size=75)
