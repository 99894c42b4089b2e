"""Small networks written here, taken for those of a library: where they are cut, and where not."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transferlab.models.dropout import Dropout
from transferlab.models.libraries import structure
from transferlab.models.libraries.network import Library, LibraryNetwork, staged
from transferlab.models.libraries.tracing import Unfit, Untraceable


class Plain(nn.Module):
    """Two convolutions, global pooling, a classifier; `middle` runs between the convolutions."""

    def __init__(self, middle: Callable[[Tensor], Tensor] = F.relu) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(4)
        self.conv2 = nn.Conv2d(4, 4, 3, padding=1)
        self.fc = nn.Linear(4, 3)
        self.middle = middle

    def forward(self, x: Tensor) -> Tensor:
        x = self.middle(self.bn1(self.conv1(x)))
        return self.fc(self.conv2(x).mean((2, 3)))


def build(network: Callable[[], nn.Module], image_size: int = 8) -> LibraryNetwork:
    library = Library(("own",), lambda name, outputs, size: network(), structure.groups, {})
    return staged(library, "own", 3, image_size)


def test_stage_has_a_weight_layer_and_what_follows_it_and_the_last_one_the_pooling():
    network = build(Plain)

    assert network.stage_names == ("conv1", "conv2", "classifier")
    features = network.prefix(2)(torch.zeros(2, 3, 8, 8))
    assert features.shape == (2, 4, 8, 8)
    assert [name for name, _ in network.named_parameters()] == [
        "conv1.conv1.weight", "conv1.conv1.bias", "conv1.bn1.weight", "conv1.bn1.bias",
        "conv2.conv2.weight", "conv2.conv2.bias", "classifier.fc.weight", "classifier.fc.bias",
    ]  # fmt: skip


class Skipping(Plain):
    """What enters conv2 is used after conv3 as well."""

    def __init__(self) -> None:
        super().__init__()
        self.conv3 = nn.Conv2d(4, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn1(self.conv1(x))
        return self.fc((self.conv3(self.conv2(x)) + x).mean((2, 3)))


class Tied(Plain):
    """conv2 is used twice, with conv1 between."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv2(self.bn1(self.conv1(x)))
        return self.fc(self.conv2(x * 2).mean((2, 3)))


def test_no_cut_where_a_second_tensor_crosses():
    network = build(Skipping)

    assert network.stage_names == ("conv1", "conv2", "classifier")
    assert "conv3" in dict(network.conv2.named_children())


def test_no_cut_between_two_uses_of_a_parameter():
    network = build(Tied)

    assert network.stage_names == ("conv1", "conv2", "classifier")
    assert len(list(network.parameters())) == 8


class Sizes(Plain):
    """Height and batch of the images are used after the cuts, and the height decides the way."""

    def forward(self, x: Tensor) -> Tensor:
        batch, _, height, width = x.shape
        x = self.bn1(self.conv1(x))
        x = x.flatten(2) if height == 8 else x[:, :0]
        x = self.conv2(x.view(batch, 4, height, width))
        x = x.reshape(batch, 4, -1).mean(2) * torch.ones(4, device=x.device)
        return self.fc(x) + torch.arange(3)


def test_sizes_of_the_images_cross_no_cut():
    network = build(Sizes)
    network.initialise(lambda name: 0)

    assert network.stage_names == ("conv1", "conv2", "classifier")
    images = torch.randn(5, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        whole = Sizes()
    assert torch.equal(network.eval()(images), whole.eval()(images))


class Shared(Plain):
    """A buffer is used on both sides of the cuts: a constant, which each stage has."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.tensor(3.0), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn1(self.conv1(x)) * self.scale
        return self.fc((self.conv2(x) * self.scale.exp()).mean((2, 3)))


def test_constants_belong_to_each_stage_that_uses_them():
    network = build(Shared)
    network.initialise(lambda name: 0)

    assert network.stage_names == ("conv1", "conv2", "classifier")
    assert [name for name, _ in network.named_buffers() if "scale" in name] == [
        "conv1.scale", "conv2.scale",
    ]  # fmt: skip
    assert not any("scale" in name for name in network.state_dict())


class Dropping(Plain):
    """Dropout as a function, and as one module that is called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.dropout(self.bn1(self.conv1(x)), 0.25, self.training)
        x = self.drop(self.drop(self.conv2(x)).mean((2, 3)))
        return self.fc(x)


def test_every_call_of_dropout_has_a_mask_of_its_own_in_the_stage_whose_input_it_drops():
    network = build(Dropping)

    masks = {name: each for name, each in network.named_modules() if isinstance(each, Dropout)}
    assert {name: mask.p for name, mask in masks.items()} == {
        "conv2.dropout": 0.25, "classifier.drop": 0.5, "classifier.drop_2": 0.5,
    }  # fmt: skip
    network.key_dropout(len)
    assert len({mask.key for mask in masks.values()}) == 3
    assert network.deterministic_stages() == 1


class Repeating(nn.Module):
    """A block that calls one dropout twice."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.drop = nn.Linear(4, 4), nn.Linear(4, 4), nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop(self.fc1(x))
        return x + self.drop(self.fc2(x))


class Blocks(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(3 * 8 * 8, 4)
        self.blocks = nn.Sequential(Repeating(), Repeating())
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.blocks(self.stem(x.flatten(1))))


def test_a_block_that_drops_twice_has_two_masks():
    network = build(Blocks)

    assert network.stage_names == ("stem", "blocks_0", "blocks_1", "classifier")
    first = [each for each in network.blocks_0.modules() if isinstance(each, Dropout)]
    assert len(first) == 2


def noisy(x: Tensor) -> Tensor:
    return x + torch.randn_like(x)


def windows(x: Tensor) -> Tensor:
    return F.relu(x).view(len(x) * 2, -1)


class Windowed(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn1(self.conv1(x))
        x = self.drop(x.reshape(2 * len(x), -1)).view(x.shape)
        return self.fc(self.conv2(x).mean((2, 3)))


class Positions(Plain):
    """Dropout of a table that all images share."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.ones(4))
        self.drop = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn1(self.conv1(x)) * self.drop(self.table)[:, None, None]
        return self.fc(self.conv2(x).mean((2, 3)))


def test_a_table_that_all_images_share_has_one_mask_on_every_device():
    network = build(Positions)
    table = network.conv1.drop
    table.key = 1

    masks = []
    for first, stride in ((0, 1), (1, 2)):
        network.set_step(2, first=first, stride=stride)
        masks.append(table(torch.ones(1000)))
    assert torch.equal(*masks)
    assert masks[0].unique().tolist() == [0.0, 2.0]
    network.set_step(3)
    assert not torch.equal(table(torch.ones(1000)), masks[0])


class Unused(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.other = nn.Linear(2, 2)


class Pair(Plain):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean(), super().forward(x)  # type: ignore[return-value]


class ByValue(Plain):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x if x.sum() > 0 else -x)


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (lambda: Plain(noisy), "draws random numbers with aten::randn_like"),
        (Windowed, "drop drops parts of images, in rows that are no images"),
        (Unused, "does not use other.weight"),
        (Pair, "does not return one tensor"),
        (ByValue, "meta tensors"),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 3)), "exactly one tensor cross"),
    ],
)
def test_what_cannot_be_cut_is_refused(network: Callable[[], nn.Module], reason: str):
    with pytest.raises(Untraceable, match=reason):
        build(network)


def test_images_that_are_too_small_are_refused():
    def pooled() -> nn.Module:
        return Plain(lambda x: F.max_pool2d(x, 16))

    def in_patches() -> nn.Module:
        raise AssertionError("8 pixels are no patches of 14")

    with pytest.raises(Unfit, match="map has 8x8 pixels and the window 16x16"):
        build(pooled)
    with pytest.raises(Unfit, match="AssertionError: 8 pixels are no patches of 14"):
        build(in_patches)


class Activated(nn.Module):
    """A block that begins with its activation."""

    def __init__(self, activation: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.activation, self.fc = activation, nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.activation(x))


def test_no_stage_overwrites_its_input():
    def activated(activation: Callable[[Tensor], Tensor]) -> nn.Module:
        network = Blocks()
        network.blocks = nn.Sequential(Activated(activation), Activated(activation))
        return network

    network = build(lambda: activated(nn.ReLU(inplace=True)))
    features = network.prefix(1)(torch.ones(2, 3, 8, 8))
    before = features.clone()
    network.head(1)(features)
    assert torch.equal(features, before)
    with pytest.raises(Untraceable, match="stage blocks_0 overwrites its input"):
        build(lambda: activated(lambda x: x.mul_(2)))


def test_wrong_stages_are_found_out(monkeypatch: pytest.MonkeyPatch):
    class Secret(Plain):
        """In evaluation it computes something else, which the trace of training does not show."""

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x if self.training else x + 1)

    with pytest.raises(Untraceable, match="do not compute what the whole computes"):
        build(Secret)
