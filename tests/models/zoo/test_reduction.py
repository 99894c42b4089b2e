"""Ways to halve a feature map: shapes, parameters, and what each computes."""

import pytest
import torch
import torch.nn.functional as F

from transferlab import models
from transferlab.errors import UserError
from transferlab.models.zoo.reduction import reduce


def count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_every_kind_halves_the_side_and_rounds_up():
    for kind in ("maxpool", "strided", "parallel"):
        for side, half in ((8, 4), (7, 4), (1, 1)):
            assert reduce(kind, 3, 5)(torch.zeros(2, 3, side, side)).shape == (2, 5, half, half)


def test_pooling_and_stride_have_the_same_parameters_and_the_parallel_one_fewer():
    found = {kind: count(reduce(kind, 16, 32)) for kind in ("maxpool", "strided", "parallel")}
    assert found == {"maxpool": 9 * 16 * 32, "strided": 9 * 16 * 32, "parallel": 9 * 16 * 16}
    assert count(reduce("strided", 16, 32, bias=True)) == 9 * 16 * 32 + 32


def test_the_parallel_one_appends_the_pooled_input_to_the_strided_convolution():
    x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    layer = reduce("parallel", 3, 5)
    with torch.no_grad():
        found = layer(x)
        assert torch.equal(found[:, :2], layer.conv(x))
    assert torch.equal(found[:, 2:], F.max_pool2d(x, 3, stride=2, padding=1))


def test_without_a_kind_it_is_the_convolution_alone():
    layer = reduce(None, 3, 5)
    assert isinstance(layer, torch.nn.Conv2d)
    assert layer(torch.zeros(2, 3, 7, 7)).shape == (2, 5, 7, 7)


def test_every_small_network_that_has_the_choice_takes_every_kind():
    """At an odd size too; pooling keeps the parameters, the parallel kind has fewer."""
    thirty_two, sixty_four = 32 * (9 * 32 + 1), 64 * (9 * 64 + 1)  # outputs that pooling keeps
    fewer = {
        "resnet_small": 16 * 9 * 16 + 32 * 9 * 32,
        "plain_small": 16 * 9 * 16 + 32 * 9 * 32,
        "vgg_small": thirty_two + sixty_four + 96 * (9 * 96 + 1),
        "nin_small": thirty_two + sixty_four,
        "alexnet_small": thirty_two + sixty_four,
    }
    for name, difference in fewer.items():
        counts = {}
        for kind in (None, "maxpool", "strided", "parallel"):
            network = models.build(name, num_outputs=5, image_size=31, reduction=kind)
            assert network.eval()(torch.zeros(1, 3, 31, 31)).shape == (1, 5)
            convolutions = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d)]
            counts[kind] = sum(count(convolution) for convolution in convolutions)
        assert counts["maxpool"] == counts["strided"] == counts[None], name
        assert counts[None] - counts["parallel"] == difference, name


def test_another_kind_is_refused():
    with pytest.raises(UserError) as error:
        reduce("average", 3, 5)
    assert str(error.value) == (
        "unknown model.reduction=average: choose one of maxpool, strided, parallel"
    )
