"""A network as a table: what is fused to what, what each operation costs and sees."""

import copy
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from transferlab import models
from transferlab.errors import UserError
from transferlab.models import operations
from transferlab.models.operations import Operation
from transferlab.models.recording import MapVanished
from transferlab.models.stages import Auxiliary, Stage, StagedNetwork


class Function(nn.Module):
    """A network that is a function, of the modules that it is given."""

    def __init__(self, function: Callable[..., Tensor], **layers: nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, **dict(self.named_children()))


def rows(network: nn.Module, size: int = 16, channels: int = 3) -> tuple[Operation, ...]:
    return operations.table(network, size, channels=channels).operations


def ops(network: nn.Module, size: int = 16) -> list[str]:
    return [row.op for row in rows(network, size)]


def test_normalisation_and_activation_belong_to_the_weights_before_them():
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
        nn.MaxPool2d(2, ceil_mode=True), nn.Flatten(), nn.Linear(392, 5), nn.ReLU(),
        nn.Dropout(0.4), nn.Linear(5, 2),
    )  # fmt: skip
    table = rows(network)

    assert [row.op for row in table] == [
        "conv+bn+relu", "maxpool(ceil)", "fc+relu", "dropout(0.4)", "fc",
    ]  # fmt: skip
    conv, _, fc, _, last = table
    assert (conv.kernel, conv.stride, conv.pad, conv.groups) == ("3", "1", "0", 1)
    assert (conv.parameters, conv.macs, conv.neurons) == (
        27 * 8 + 16,
        14 * 14 * 8 * 27,
        14 * 14 * 8,
    )
    assert (fc.kernel, fc.in_channels, fc.out_channels) == ("7", 8, 5)  # of the map that it takes
    assert (fc.parameters, fc.macs, fc.neurons) == (392 * 5 + 5, 392 * 5, 5)
    assert (last.kernel, last.field_text) == ("1", fc.field_text)
    assert [conv.bias, fc.bias] == [False, True]


def test_before_activation_they_belong_to_the_weights_after_them():
    layers = [nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8), nn.ReLU()]

    def residual(x: Tensor, **m: nn.Module) -> Tensor:
        x = m["stem"](x)
        a = m["relu"](m["bn1"](x))
        y = m["conv2"](m["relu2"](m["bn2"](m["conv1"](a))))
        return y + m["projection"](a) + x

    network = Function(
        residual, stem=nn.Conv2d(3, 8, 1), bn1=nn.BatchNorm2d(8), relu=nn.ReLU(inplace=True),
        conv1=nn.Conv2d(8, 8, 1), bn2=nn.BatchNorm2d(8), relu2=nn.ReLU(),
        conv2=nn.Conv2d(8, 8, 3, padding=1), projection=nn.Conv2d(8, 8, 1),
    )  # fmt: skip

    assert ops(nn.Sequential(*layers)) == ["conv+bn+relu"]
    assert ops(network) == ["conv", "bn+relu+conv", "bn+relu+conv", "conv", "add", "add"]


def test_a_branch_sees_less_than_what_it_is_joined_to():
    def branches(x: Tensor, a: nn.Module, b: nn.Module, c: nn.Module) -> Tensor:
        return torch.cat([a(x), torch.cat([b(x), c(x)], 1)], 1)

    network = Function(
        branches, a=nn.Conv2d(3, 4, 1), b=nn.Conv2d(3, 5, (1, 3), padding=(0, 1)),
        c=nn.Conv2d(3, 6, 5, padding=2),
    )  # fmt: skip
    a, b, c, joined = rows(network)

    assert (b.kernel, b.pad, b.field_text) == ("1x3", "0x1", "1x3")
    assert [a.field_text, c.field_text] == ["1", "5"]
    assert joined.op == "concat(4+5+6)"
    assert (joined.in_channels, joined.out_channels, joined.field_text) == (15, 15, "5")


def test_scaling_belongs_to_the_sum_and_a_sum_takes_its_activation():
    conv = nn.Conv2d(3, 3, 1)

    assert ops(Function(lambda x, conv: F.relu(conv(x) * 0.17 + x), conv=conv)) == [
        "conv", "scale(0.17)+add+relu",
    ]  # fmt: skip


def test_padding_on_its_own_is_that_of_the_next_window():
    network = nn.Sequential(nn.ZeroPad2d((1, 2, 1, 2)), nn.Conv2d(3, 4, 3, stride=2))
    (row,) = rows(network)

    assert (row.op, row.pad, row.size) == ("conv", "1:2", (9, 9))


def test_a_shortcut_without_weights_skips_pixels_and_adds_channels():
    def shortcut(x: Tensor) -> Tensor:
        return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 0, 3))

    skipped, padded = rows(Function(shortcut))

    assert (skipped.op, skipped.kernel, skipped.stride, skipped.jump_text) == (
        "subsample", "1", "2", "2",
    )  # fmt: skip
    assert (padded.op, padded.in_channels, padded.out_channels) == ("zeropad_channels", 3, 6)


def test_global_pooling_has_the_map_as_its_window_however_it_is_written():
    pooled = [
        Function(lambda x: F.adaptive_avg_pool2d(x, 1)),
        Function(lambda x: x.mean((2, 3))),
        Function(lambda x: x.permute(0, 2, 3, 1).mean([1, 2])),
    ]
    for network in pooled:
        (row,) = rows(network)
        assert (row.op, row.kernel, row.stride, row.field_text) == ("avgpool", "16", "1", "16")
        assert (row.in_channels, row.out_channels, row.size) == (3, 3, (1, 1))


def test_channels_may_be_the_last_axis():
    network = Function(
        lambda x, norm, fc: fc(norm(x.permute(0, 2, 3, 1))),
        norm=nn.LayerNorm(3),
        fc=nn.Linear(3, 7),
    )
    (row,) = rows(network)

    assert (row.op, row.kernel, row.in_channels, row.out_channels) == ("layernorm+fc", "1", 3, 7)
    assert (row.size, row.macs) == ((16, 16), 16 * 16 * 21)


def test_tokens_are_counted_and_attention_sees_no_window():
    def attention(x: Tensor, embed: nn.Module, qkv: nn.Module) -> Tensor:
        tokens = embed(x).flatten(2).transpose(1, 2)
        q, k, v = qkv(tokens).reshape(1, 16, 3, 2, 4).permute(2, 0, 3, 1, 4).unbind(0)
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(1, 16, 8)
        return tokens + mixed

    network = Function(attention, embed=nn.Conv2d(3, 8, 4, stride=4), qkv=nn.Linear(8, 24))
    embed, qkv, mixed, total = rows(network)

    assert (embed.size, embed.field_text, embed.jump_text) == ((4, 4), "4", "4")
    assert (qkv.out_channels, qkv.macs) == (24, 16 * 8 * 24)
    assert (mixed.op, mixed.macs, mixed.field_text) == ("attention", 2 * 16 * 16 * 8, "")
    assert (total.op, total.size, total.field_text) == ("add", (4, 4), "")


def test_tokens_that_become_a_map_again_have_a_size_and_no_field():
    def grid(x: Tensor, first: nn.Module, conv: nn.Module) -> Tensor:
        tokens = first(x).flatten(2)
        tokens = torch.cat([tokens, tokens[:, :, :1]], 2)[:, :, 1:]
        return conv(tokens.reshape(1, 4, 8, 8))

    network = Function(grid, first=nn.Conv2d(3, 4, 2, stride=2), conv=nn.Conv2d(4, 4, 3))
    row = rows(network)[-1]

    assert (row.op, row.size, row.field_text, row.macs) == ("conv", (6, 6), "", 36 * 4 * 36)


def test_parameters_are_counted_once_and_those_without_an_operation_apart():
    shared = nn.Conv2d(3, 3, 1)
    network = Function(lambda x, a, unused: a(a(x)), a=shared, unused=nn.Linear(4, 5))
    table = operations.table(network, 8)

    assert [row.parameters for row in table.operations] == [12, 0]
    assert (table.parameters, table.unused) == (12, 25)


def test_weights_in_another_form_are_those_of_the_operation():
    def standardised(x: Tensor, conv: nn.Conv2d) -> Tensor:
        weight = F.batch_norm(conv.weight.view(1, 8, -1), None, None, training=True)
        return F.conv2d(x, weight.view_as(conv.weight), conv.bias)

    (row,) = rows(Function(standardised, conv=nn.Conv2d(3, 8, 3)))

    assert (row.op, row.parameters) == ("conv", 224)


def test_rows_are_those_of_stages_and_auxiliary_heads_are_in_no_total():
    network = StagedNetwork(
        {
            "conv1": Stage({"conv": nn.Conv2d(3, 4, 3)}, lambda module, generator: None),
            "fc": Stage({"flatten": nn.Flatten(), "fc": nn.Linear(784, 2)}, lambda m, g: None),
        },
        auxiliary={
            "aux1": Auxiliary(
                Stage({"pool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten(),
                       "fc": nn.Linear(4, 2)}, lambda m, g: None), tap="conv1", weight=0.3,
            )
        },
    )  # fmt: skip
    table = operations.table(network, 16)

    assert [(row.stage, row.name, row.op) for row in table.operations] == [
        ("conv1", "conv", "conv"),
        ("auxiliary.aux1", "pool", "aux:avgpool"),
        ("auxiliary.aux1", "fc", "aux:fc"),
        ("fc", "fc", "fc"),
    ]
    assert (table.parameters, table.auxiliary_parameters) == (112 + 1570, 10)
    assert list(table.stages()) == ["conv1", "fc"]


@pytest.mark.parametrize("name", ["resnet18", "vit_b_32", "shufflenet_v2_x0_5"])
def test_multiply_accumulates_are_those_that_torch_counts(name: str):
    with torch.device("meta"):
        network = torchvision.models.get_model(name, weights=None).eval()
        with FlopCounterMode(display=False) as counter:
            network(torch.empty(1, 3, 224, 224))

    table = operations.table(network, 224)

    assert table.macs == counter.get_total_flops() // 2
    assert table.parameters == sum(p.numel() for p in network.parameters())


def test_an_image_that_is_too_small_is_refused_where_its_map_vanishes():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.MaxPool2d(2), nn.Conv2d(4, 4, 5))

    with pytest.raises(MapVanished) as error:
        operations.table(network, 8)

    assert str(error.value) == "in 2 the map has 3x3 pixels and the window 5x5"


def test_a_network_that_leaves_torch_is_refused():
    class Own(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, x: Tensor) -> Tensor:
            return torch.empty(1, 2, device="meta")

    with pytest.raises(UserError) as error:
        operations.table(Function(lambda x: Own.apply(x)), 8)

    assert str(error.value) == (
        "the network cannot be inspected: its output does not come from the image through "
        "functions of torch"
    )


def test_a_size_that_is_too_small_names_the_stage_when_a_network_is_built():
    with pytest.raises(UserError, match="data.crop=30 .*: in conv5.pool the map has 1x1 pixels"):
        models.build("alexnet", num_outputs=2, image_size=30)


def test_the_stages_of_too_small_an_image_name_where_its_map_vanishes():
    from transferlab.models import shapes

    network = StagedNetwork(
        {
            "conv1": Stage({"conv": nn.Conv2d(3, 4, 3)}, lambda m, g: None),
            "conv2": Stage({"conv": nn.Conv2d(4, 4, 9)}, lambda m, g: None),
        }
    )
    before = copy.deepcopy(network.state_dict())
    with pytest.raises(UserError) as error:
        shapes.stages(network, 8)

    assert str(error.value) == (
        "data.crop=8 is too small: in conv2.conv the map has 6x6 pixels and the window 9x9"
    )
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
