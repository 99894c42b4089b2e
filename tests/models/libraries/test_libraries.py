"""Networks of torchvision and timm: their stages, values, and what is refused."""

import sys

import pytest
import torch
from timm.layers import DropPath
from torch import nn
from torchvision.ops import StochasticDepth as TorchvisionDepth

from transferlab import models
from transferlab.errors import UserError
from transferlab.models import libraries, shapes
from transferlab.models.dropout import Masked, StochasticDepth
from transferlab.models.libraries import network, timm, torchvision
from transferlab.models.libraries.masks import replace
from transferlab.models.stages import StagedNetwork
from transferlab.models.transfer import same_bits

LIBRARY = {"timm": timm.LIBRARY, "torchvision": torchvision.LIBRARY}
# The smallest images of 32, 64 that each takes, and its stages with cuts=stage and cuts=fine
NETWORKS = {
    "torchvision:resnet18": (32, 6, 10),
    "torchvision:squeezenet1_1": (32, 10, 10),
    "torchvision:shufflenet_v2_x0_5": (32, 6, 19),
    "timm:test_vit": (32, 8, 8),
    "timm:test_resnet": (32, 6, 6),
    "timm:test_convnext": (32, 6, 11),
    "timm:test_efficientnet": (32, 7, 8),
    "timm:test_vit_relpos": (32, 11, 11),
}
OUTPUTS = 5


def build(name: str, cuts: str = "stage") -> StagedNetwork:
    return models.build(
        name,
        num_outputs=OUTPUTS,
        image_size=NETWORKS[name][0],
        cuts=cuts,  # type: ignore[arg-type]
    )


def whole(name: str, seed: int) -> nn.Module:
    """The library's own network, with its own code, and our masks in place of its dropout."""
    library, _, own = name.partition(":")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return network._constructed(LIBRARY[library], own, OUTPUTS, NETWORKS[name][0])


@pytest.mark.parametrize("name", NETWORKS)
def test_prefix_then_head_computes_what_the_library_computes_at_every_cut(name: str):
    size, stages, fine = NETWORKS[name]
    staged, own = build(name, "fine"), whole(name, 3)
    staged.initialise(lambda stage: 3)
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))

    assert (len(staged), len(build(name))) == (fine, stages)
    for training in (False, True):
        with torch.no_grad():
            expected = own.train(training)(images)
            assert torch.equal(staged.train(training)(images), expected)
            assert same_values(staged, own)  # batch-norm statistics, too
            for n in range(fine):
                features = staged.prefix(n)(images)
                assert torch.equal(staged.head(n)(features), expected), (training, n)


def same_values(staged: StagedNetwork, own: nn.Module) -> bool:
    """Whether all parameters and buffers, by the library's names, have the same bits."""
    stages = [stage.state_dict() for stage in staged]
    found = {name: value for state in stages for name, value in state.items()}
    values = own.state_dict()
    return found.keys() == values.keys() and all(torch.equal(found[k], values[k]) for k in found)


def test_initial_values_are_the_librarys_under_one_seed():
    staged, again, other = (build("timm:test_resnet") for _ in range(3))
    fine = build("timm:test_resnet", "fine")
    staged(torch.randn(2, 3, 32, 32))  # changes batch-norm statistics
    torch.manual_seed(1)
    before = torch.get_rng_state()

    staged.initialise({"network": 7}.__getitem__)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    again.initialise({"network": 7}.__getitem__)
    fine.initialise({"network": 7}.__getitem__)
    other.initialise({"network": 8}.__getitem__)

    assert same_values(staged, whole("timm:test_resnet", 7))
    assert same_bits(staged.state_dict(), again.state_dict())
    assert same_bits(staged.state_dict(), fine.state_dict())
    assert not torch.equal(staged.conv1.conv1[0].weight, other.conv1.conv1[0].weight)


def test_stages_are_the_same_without_values_and_have_facts():
    with torch.device("meta"):
        empty = build("timm:test_vit", "fine")

    assert empty.stage_names == ("patch_embed", *(f"blocks_{i}" for i in range(6)), "classifier")
    assert [stage.output for stage in shapes.stages(empty, 32)] == [(5, 64)] * 7 + [(5,)]
    assert {parameter.device.type for parameter in empty.parameters()} == {"meta"}


def test_dropout_of_a_library_is_ours():
    staged = build("torchvision:squeezenet1_1")
    masks = [(name, each.p) for name, each in staged.named_modules() if isinstance(each, Masked)]
    assert masks == [("classifier.classifier.0", 0.5)]

    library = nn.ModuleDict({"own": DropPath(0.25), "other": TorchvisionDepth(0.5, "batch")})
    replace(library, {**timm.LIBRARY.replacements, **torchvision.LIBRARY.replacements})
    own, other = library["own"], library["other"]
    assert isinstance(own, StochasticDepth) and isinstance(other, StochasticDepth)
    assert (own.p, own.by, own.rescaled) == (0.25, "row", True)
    assert (other.p, other.by, other.rescaled) == (0.5, "batch", True)


def test_every_network_is_listed():
    assert len(libraries.names("torchvision")) == 80
    assert "timm:convnext_tiny" in libraries.names("timm")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "torchvision:resnet19",
            "model.name=torchvision:resnet19 is unknown: torchvision has torchvision:resnet18 "
            "torchvision:resnet152 torchvision:resnet101 and 77 more",
        ),
        ("torchvision:alexnet", "model.name=torchvision:alexnet does not take images of 32 pixels"),
        ("timm:hub", "model.name=timm:hub is unknown: timm has timm:"),
    ],
)
def test_what_no_library_has_is_refused(name: str, message: str):
    with pytest.raises(UserError) as error:
        models.build(name, num_outputs=OUTPUTS, image_size=32)

    assert str(error.value).startswith(message)


def test_a_library_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delitem(sys.modules, "transferlab.models.libraries.timm")
    monkeypatch.delitem(sys.modules, "timm")
    monkeypatch.setattr(sys, "path", [])

    with pytest.raises(UserError) as error:
        models.build("timm:test_vit", num_outputs=OUTPUTS, image_size=32)

    assert str(error.value) == (
        "model.name=timm:test_vit needs timm: install it with pip install transferlab[timm]"
    )


def test_a_library_is_not_code_of_the_users():
    names = ("timm:test_vit", "torchvision:resnet18", "package.module:function", "alexnet")
    assert [models.is_own(name) for name in names] == [False, False, True, False]
