"""Ways to halve a feature map: shapes, parameters, and what each computes."""

import pytest
import torch
import torch.nn.functional as F

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


def test_another_kind_is_refused():
    with pytest.raises(UserError) as error:
        reduce("average", 3, 5)
    assert str(error.value) == (
        "unknown model.reduction=average: choose one of maxpool, strided, parallel"
    )
