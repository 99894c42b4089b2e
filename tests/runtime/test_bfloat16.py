"""Products in bfloat16 on a processor that has none: values, gradients, memory, and whose they are.

The processor that tests run on may have them, so they are taken from it.
"""

from collections.abc import Callable, Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from transferlab.models import build, shapes
from transferlab.runtime import bfloat16
from transferlab.training.cost import Held

CPU = torch.device("cpu")
PRODUCTS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "conv2d": lambda x, w: F.conv2d(x.view(4, 8, 5, 4), w.view(10, 8, 2, 2), padding=1),
    "conv2d same": lambda x, w: F.conv2d(x.view(4, 8, 5, 4), w.view(40, 8, 1, 1), padding="same"),
    "conv_transpose2d": lambda x, w: F.conv_transpose2d(x.view(4, 8, 5, 4), w.view(8, 10, 2, 2)),
    "linear": lambda x, w: F.linear(x.view(20, 32), w.view(10, 32)),
    "matmul": lambda x, w: x.view(20, 32) @ w.view(32, 10),
    "bmm": lambda x, w: torch.bmm(x.view(4, 5, 32), w.view(1, 32, 10).expand(4, 32, 10)),
    "attention": lambda x, w: F.scaled_dot_product_attention(
        x.view(2, 10, 32), w.view(2, 5, 32), w.view(2, 5, 32)
    ),
}


@pytest.fixture
def none(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A processor without products in bfloat16, until the end of the test."""
    monkeypatch.setattr(bfloat16, "has_products", lambda: False)
    bfloat16.prepare(CPU)
    yield
    bfloat16.withdraw()


class Factors(TorchDispatchMode):
    """The types of all that is multiplied."""

    def __init__(self) -> None:
        super().__init__()
        self.types: set[torch.dtype] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if any(word in func.name() for word in ("mm", "convolution", "attention")):
            self.types |= {value.dtype for value in args if isinstance(value, Tensor)}
        return func(*args, **(kwargs or {}))


def factors() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x, w = torch.randn(640, generator=generator), torch.randn(320, generator=generator)
    return x.requires_grad_(), w.requires_grad_()


def ulps(found: Tensor, exact: Tensor) -> float:
    """The largest error, in units of the last of the eight bits of a bfloat16."""
    _, exponent = torch.frexp(exact.detach())
    return float(
        ((found.detach().double() - exact.detach()) / torch.exp2(exponent - 8)).abs().max()
    )


@pytest.mark.usefixtures("none")
@pytest.mark.parametrize("name", PRODUCTS)
def test_a_product_is_that_of_rounded_factors_rounded_once(name: str):
    x, w = factors()
    with Factors() as multiplied, bfloat16.autocast(CPU, "bfloat16"):
        found = PRODUCTS[name](x, w)
    exact = PRODUCTS[name](x.bfloat16().double(), w.bfloat16().double())

    assert multiplied.types == {torch.float32}
    assert found.dtype == torch.bfloat16
    assert ulps(found, exact) < 0.51
    assert ulps(PRODUCTS[name](x.double(), w.double()).float(), exact) > 1  # factors were rounded


@pytest.mark.usefixtures("none")
@pytest.mark.parametrize("name", PRODUCTS)
def test_gradients_are_those_of_the_rounded_factors(name: str):
    x, w = factors()
    with bfloat16.autocast(CPU, "bfloat16"):
        found = PRODUCTS[name](x, w)
    wide = [factor.detach().bfloat16().double().requires_grad_() for factor in (x, w)]
    exact = PRODUCTS[name](*wide)
    upstream = torch.randn(exact.shape, generator=torch.Generator().manual_seed(1)).bfloat16()
    expected = torch.autograd.grad(exact, wide, upstream.double())

    for gradient, wanted in zip(
        torch.autograd.grad(found, (x, w), upstream), expected, strict=True
    ):
        assert gradient.dtype == torch.float32
        assert (gradient - wanted).abs().max() < 2**-8 * wanted.abs().max()


@pytest.mark.usefixtures("none")
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_gradients_of_a_part_of_a_larger_tensor(memory_format: torch.memory_format):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 8, 6, 6, generator=generator).contiguous(memory_format=memory_format)
    w = torch.randn(4, 4, 3, 3, generator=generator).requires_grad_()
    half = x.bfloat16().chunk(2, dim=1)[1][..., ::2]
    with bfloat16.autocast(CPU, "bfloat16"):
        F.conv2d(half, w).sum().backward()
    wide = w.detach().bfloat16().double().requires_grad_()
    F.conv2d(half.double(), wide).sum().backward()

    assert w.grad is not None and wide.grad is not None
    assert (w.grad - wide.grad).abs().max() < 2**-8 * wide.grad.abs().max()


@pytest.mark.usefixtures("none")
def test_a_factor_that_was_modified_in_place_has_no_gradient():
    x, layer = torch.zeros(4, 8, dtype=torch.bfloat16), nn.Linear(8, 8)
    with bfloat16.autocast(CPU, "bfloat16"):
        output = layer(x)
    x.add_(1)

    with pytest.raises(RuntimeError, match="modified"):
        output.sum().backward()


@pytest.mark.usefixtures("none")
def test_a_graph_keeps_its_factors_in_bfloat16():
    layer, x = nn.Conv2d(8, 8, 3, padding=1), torch.zeros(4, 8, 32, 32).bfloat16()
    with Held() as held, bfloat16.autocast(CPU, "bfloat16"):
        output = layer(x.requires_grad_())

    # Images and output, (4, 8, 32, 32) each, and the weights (8, 8, 3, 3)
    assert output.dtype == torch.bfloat16
    assert held.held == 2 * (2 * 4 * 8 * 32 * 32 + 8 * 8 * 3 * 3)


@pytest.mark.usefixtures("none")
def test_layers_inside_of_torch_are_computed_so_too():
    attention = nn.MultiheadAttention(16, 2, batch_first=True)
    x = torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(0))
    with Factors() as factors, bfloat16.autocast(CPU, "bfloat16"):
        attention(x, x, x)

    assert factors.types == {torch.float32}


@pytest.mark.usefixtures("none")
def test_float32_doubles_and_float16_are_as_without():
    x, w = factors()
    with bfloat16.autocast(CPU, "float32"):
        assert torch.equal(PRODUCTS["linear"](x, w), F.linear(x.view(20, 32), w.view(10, 32)))
    with bfloat16.autocast(CPU, "bfloat16"):
        assert PRODUCTS["linear"](x.double(), w.double()).dtype == torch.float64
    with torch.autocast("cpu", torch.float16):
        assert PRODUCTS["linear"](x, w).dtype == torch.float16


@pytest.mark.usefixtures("none")
def test_the_facts_of_a_network_are_those_of_a_processor_with_products():
    network = build("alexnet_small", num_outputs=10, image_size=32)
    found = shapes.stages(network, 32)
    bfloat16.withdraw()

    assert shapes.stages(network, 32) == found


@pytest.mark.parametrize(
    ("device", "products", "prepared"),
    [("cpu", False, 1), ("cpu", True, 0), ("cuda", False, 0)],
)
def test_only_a_processor_without_products_is_prepared(
    device: str, products: bool, prepared: int, monkeypatch: pytest.MonkeyPatch
):
    calls: list[None] = []
    monkeypatch.setattr(bfloat16, "has_products", lambda: products)
    monkeypatch.setattr(bfloat16, "_kernels", lambda: calls.append(None))
    bfloat16.prepare(torch.device(device))

    assert len(calls) == prepared
