"""Local response normalisation against torch's own: values, gradients, types, what it keeps."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from transferlab.models.normalisation import LocalResponseNorm

FORMATS = [torch.contiguous_format, torch.channels_last]


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def maps(channels: int = 96, *, memory_format: torch.memory_format = torch.contiguous_format):
    """Activations large enough that the constants count."""
    noise = torch.rand(2, channels, 6, 5, generator=torch.Generator().manual_seed(0))
    return (300 * noise).contiguous(memory_format=memory_format)


def differences(found: Tensor, expected: Tensor) -> float:
    """The largest difference, as a part of the largest value expected."""
    return float((found - expected).abs().max() / expected.abs().max())


def alexnets() -> LocalResponseNorm:
    return LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1.0)


@pytest.mark.parametrize("memory_format", FORMATS)
def test_values_are_those_of_torch(memory_format: torch.memory_format):
    x = maps(memory_format=memory_format)
    found, expected = alexnets()(x), F.local_response_norm(x, 5, 1e-4, 0.75, 1.0)
    assert torch.allclose(found, expected, rtol=1e-6, atol=0)
    assert found.max() < 0.6 * x.max()
    assert found.stride() == x.stride() and found.dtype == torch.float32


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7])
@pytest.mark.parametrize("channels", [1, 2, 3, 9])
def test_values_and_gradients_are_those_of_torch_at_every_size(size: int, channels: int):
    x = torch.randn(2, channels, 3, 3, dtype=torch.float64, requires_grad=True)
    module = LocalResponseNorm(size, alpha=0.3, beta=0.6, k=0.7)
    upstream = torch.randn_like(x)
    expected = F.local_response_norm(x, size, 0.3, 0.6, 0.7)
    assert torch.allclose(module(x), expected, rtol=1e-12, atol=0)
    (gradient,) = torch.autograd.grad(module(x), x, upstream)
    (wanted,) = torch.autograd.grad(expected, x, upstream)
    assert torch.allclose(gradient, wanted, rtol=1e-10, atol=1e-12)
    assert torch.autograd.gradcheck(module, x)


@pytest.mark.parametrize("memory_format", FORMATS)
def test_gradients_in_float32_are_those_of_float64(memory_format: torch.memory_format):
    x = maps(memory_format=memory_format).requires_grad_()
    upstream = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    (gradient,) = torch.autograd.grad(alexnets()(x), x, upstream)
    exact = x.detach().double().requires_grad_()
    (wanted,) = torch.autograd.grad(alexnets()(exact), exact, upstream.double())
    assert differences(gradient.double(), wanted) < 1e-6
    assert gradient.stride() == x.stride()


@pytest.mark.parametrize("autocast", [False, True])
def test_bfloat16_is_computed_in_float32_and_rounded_once(autocast: bool):
    x = maps(memory_format=torch.channels_last).bfloat16().requires_grad_()
    upstream = torch.randn(x.shape, generator=torch.Generator().manual_seed(1)).bfloat16()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        found = alexnets()(x)
    exact = x.detach().float().requires_grad_()
    expected = alexnets()(exact)
    assert found.dtype == torch.bfloat16 and found.stride() == x.stride()
    assert torch.equal(found, expected.bfloat16())
    (gradient,) = torch.autograd.grad(found, x, upstream)
    (wanted,) = torch.autograd.grad(expected, exact, upstream.float())
    assert gradient.dtype == torch.bfloat16 and torch.equal(gradient, wanted.bfloat16())


def test_only_the_input_is_kept_for_the_backward_pass():
    x = maps().requires_grad_()
    kept: list[int] = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor.data_ptr())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        alexnets()(x)
        assert kept == [x.data_ptr()]
        with torch.no_grad():
            alexnets()(x)
    assert len(kept) == 1


def test_the_input_and_the_upstream_gradient_are_left_alone():
    x = maps().requires_grad_()
    upstream = torch.randn_like(x)
    before = x.detach().clone(), upstream.clone()
    alexnets()(x).backward(upstream)
    assert torch.equal(x.detach(), before[0]) and torch.equal(upstream, before[1])


def test_it_has_no_state_and_says_its_constants():
    assert alexnets().state_dict() == {}
    assert repr(alexnets()) == "LocalResponseNorm(5, alpha=0.0001, beta=0.75, k=1.0)"
    assert repr(torch.nn.LocalResponseNorm(5)) == repr(LocalResponseNorm(5))


def test_shapes_alone_are_worked_out_without_memory():
    assert alexnets()(torch.empty(1, 96, 27, 27, device="meta")).shape == (1, 96, 27, 27)
