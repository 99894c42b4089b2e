"""Initial values by kind of module, and the kinds of parameters."""

import math
import pickle
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from transferlab.errors import UserError
from transferlab.models import initial, kinds
from transferlab.models.initial import Initial

FAN_IN, FAN_OUT = 8 * 9, 16 * 9  # of a convolution of 3 x 3, from 16 to 32 channels in 2 groups


def drawn(rule: Initial, module: nn.Module | None = None) -> nn.Module:
    module = module or nn.Conv2d(16, 32, 3, groups=2)
    rule(module, torch.Generator().manual_seed(0))
    return module


@pytest.mark.parametrize(
    ("rule", "std", "limit"),
    [
        (initial.gaussian(0.02, bias=1.0), 0.02, math.inf),
        (initial.he(bias=1.0), math.sqrt(2 / FAN_IN), math.inf),
        (initial.he("out", bias=1.0), math.sqrt(2 / FAN_OUT), math.inf),
        (initial.xavier(bias=1.0), math.sqrt(1 / FAN_IN), math.sqrt(3 / FAN_IN)),
        (initial.torch7(bias=1.0), math.sqrt(1 / (3 * FAN_IN)), math.sqrt(1 / FAN_IN)),
        (
            initial.glorot(bias=1.0),
            math.sqrt(2 / (FAN_IN + FAN_OUT)),
            math.sqrt(6 / (FAN_IN + FAN_OUT)),
        ),
        (initial.truncated(0.1, bias=1.0), 0.088, 0.2),  # 0.8796 of it are left of the deviation
        (initial.truncated_he(bias=1.0), math.sqrt(2 / FAN_IN), 2 * math.sqrt(2.6 / FAN_IN)),
    ],
)
def test_weights_have_the_deviation_of_the_rule_and_biases_its_value(
    rule: Initial, std: float, limit: float
):
    made = drawn(rule)
    assert isinstance(made, nn.Conv2d) and made.bias is not None
    assert made.weight.std().item() == pytest.approx(std, rel=0.05)
    assert abs(made.weight.mean().item()) < 0.1 * std
    assert made.weight.abs().max().item() <= limit
    assert made.bias.tolist() == [1.0] * 32


def test_a_rule_can_be_sent_to_another_process():
    for rule in (
        initial.gaussian(0.1), initial.he("out"), initial.xavier(), initial.glorot(),
        initial.torch7(), initial.truncated(0.1), initial.truncated_he(),
        initial.by_kind({nn.Conv2d: initial.he()}),
    ):  # fmt: skip
        same = pickle.loads(pickle.dumps(rule))
        assert torch.equal(drawn(same).weight, drawn(rule).weight)  # type: ignore[arg-type]


def test_fans_of_a_fully_connected_and_of_a_transposed_layer():
    rule = initial.he()
    assert drawn(rule, nn.Linear(200, 50)).weight.std().item() == pytest.approx(0.1, rel=0.05)
    upwards = drawn(rule, nn.ConvTranspose2d(50, 20, 2, bias=False))
    assert upwards.weight.std().item() == pytest.approx(math.sqrt(2 / 200), rel=0.05)


@pytest.mark.parametrize("rule", [initial.gaussian(0.5), initial.by_kind({})])
@pytest.mark.parametrize(
    "make", [lambda: nn.BatchNorm2d(3), lambda: nn.GroupNorm(1, 3), lambda: nn.LayerNorm(3)]
)
def test_normalisation_starts_as_the_identity(rule: Initial, make: Callable[[], nn.Module]):
    layer = make()
    for values in layer.state_dict().values():
        values.fill_(7)
    drawn(rule, layer)
    expected = {
        "weight": [1.0] * 3, "bias": [0.0] * 3, "running_mean": [0.0] * 3,
        "running_var": [1.0] * 3, "num_batches_tracked": 0,
    }  # fmt: skip
    found = {name: values.tolist() for name, values in layer.state_dict().items()}
    assert found == {name: expected[name] for name in found}


def test_the_first_kind_that_matches_has_its_rule():
    rule = initial.by_kind({nn.Conv2d: initial.gaussian(0.0, 3.0), nn.Module: initial.he(bias=5.0)})
    assert drawn(rule).bias.tolist() == [3.0] * 32  # type: ignore[operator,union-attr]
    assert drawn(rule, nn.Linear(2, 2)).bias.tolist() == [5.0] * 2  # type: ignore[operator,union-attr]


@pytest.mark.parametrize("rule", [initial.he(), initial.by_kind({nn.Linear: initial.he()})])
def test_a_kind_without_a_rule_is_refused(rule: Initial):
    with pytest.raises(UserError, match=r"^PReLU has parameters, and the rule .* add its kind"):
        drawn(rule, nn.PReLU())


def test_kinds_go_by_the_module_and_not_by_the_name_of_a_parameter():
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(1))
            self.bias = nn.Parameter(torch.ones(1))
            self.norm = nn.BatchNorm1d(1)

        def forward(self, x: Tensor) -> Tensor:
            return x

    network = nn.Sequential(nn.Conv2d(1, 1, 1), Scaled(), nn.LayerNorm(1))
    assert {name: kind for name, _, kind in kinds.parameters(network)} == {
        "0.weight": "weights", "0.bias": "biases", "1.scale": "weights", "1.bias": "biases",
        "1.norm.weight": "norms", "1.norm.bias": "norms", "2.weight": "norms", "2.bias": "norms",
    }  # fmt: skip
