"""What a GPU computes: precision, the compiled LRN, dropout, and the update of the weights."""

import copy
import logging

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transferlab import models
from transferlab.models.dropout import Dropout
from transferlab.models.normalisation import LocalResponseNorm
from transferlab.models.stages import StagedNetwork
from transferlab.training import Recipe, optimiser
from transferlab.training.callbacks.arithmetic import Arithmetic

FORMATS = [torch.contiguous_format, torch.channels_last]


@pytest.fixture(autouse=True)
def arithmetic(device: torch.device) -> None:
    Arithmetic(compile=True).apply()


def differences(found: Tensor, expected: Tensor) -> float:
    """The size of the difference, as a part of what is expected."""
    return float((found.double().cpu() - expected.double().cpu()).norm() / expected.double().norm())


def normalised(x: Tensor, upstream: Tensor) -> tuple[Tensor, Tensor]:
    """The values of AlexNet's LRN and their gradient."""
    x = x.clone().requires_grad_()
    found = LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1.0)(x)
    return found.detach(), torch.autograd.grad(found, x, upstream)[0]


@pytest.mark.parametrize("memory_format", FORMATS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(32, 96, 27, 27), (32, 256, 13, 13), (7, 256, 13, 13)])
def test_the_compiled_normalisation_is_the_eager_one(
    device: torch.device,
    shape: tuple[int, ...],
    dtype: torch.dtype,
    memory_format: torch.memory_format,
    caplog: pytest.LogCaptureFixture,
):
    generator = torch.Generator().manual_seed(0)
    x = (300 * torch.rand(shape, generator=generator)).to(dtype, memory_format=memory_format)
    upstream = torch.randn(shape, generator=generator).to(x)
    found = normalised(x.to(device), upstream.to(device))
    limit = 1e-6 if dtype == torch.float32 else 3e-3  # a bfloat16 has 8 bits
    for value, expected in zip(found, normalised(x, upstream), strict=True):
        assert value.dtype == dtype and value.stride() == x.stride()
        assert differences(value, expected) < limit
    torchs = F.local_response_norm(x.float(), 5, 1e-4, 0.75, 1.0)
    assert differences(found[0], torchs) < limit
    assert [r for r in caplog.records if r.levelno >= logging.WARNING] == []  # it was compiled


def test_the_compiled_normalisation_takes_memory_for_its_output_alone(device: torch.device):
    module = LocalResponseNorm(5)
    x = torch.rand(64, 96, 27, 27, device=device, requires_grad=True)
    size = x.numel() * x.element_size()
    module(x)  # compiles
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    found = module(x)
    assert torch.cuda.memory_allocated() - before <= 1.01 * size
    assert torch.cuda.max_memory_allocated() - before <= 1.01 * size
    del found


def test_float32_is_float32_in_convolutions_and_products(device: torch.device):
    generator = torch.Generator().manual_seed(0)
    x, weight = (torch.randn(8, 64, 9, 9, generator=generator) for _ in range(2))
    wide = torch.randn(512, 512, generator=generator)
    convolved = F.conv2d(x.to(device), weight[:, :, :3, :3].to(device))
    assert differences(convolved, F.conv2d(x.double(), weight[:, :, :3, :3].double())) < 1e-5
    product = wide.to(device) @ wide.to(device)
    assert differences(product, wide.double() @ wide.double()) < 1e-5  # TF32: about 3e-4


def test_dropout_is_a_function_of_key_and_step_and_waits_for_nothing(device: torch.device):
    dropout = Dropout(0.5)
    dropout.key, dropout.step = 2**63 - 1, 450_000
    x = torch.ones(4096, device=device)
    first = dropout(x)
    torch.manual_seed(1)
    torch.cuda.set_sync_debug_mode("error")
    try:
        again, narrow = dropout(x), dropout(x.bfloat16())
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert torch.equal(first, again) and torch.equal(first, narrow.float())
    assert first.unique().tolist() == [0.0, 2.0]
    assert 0.46 < (first == 0).float().mean().item() < 0.54
    dropout.step += 1
    assert not torch.equal(first, dropout(x))


@pytest.mark.parametrize("nesterov", [False, True])
def test_the_update_is_that_of_the_cpu_and_resumes_after_a_restart(
    device: torch.device, nesterov: bool
):
    torch.manual_seed(0)
    here = nn.Sequential(nn.Conv2d(4, 8, 1), nn.Conv2d(8, 8, 3), nn.Flatten(), nn.Linear(32, 3))
    here = here.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    there = copy.deepcopy(here).to(device)

    def build(network: nn.Module) -> torch.optim.SGD:
        recipe = Recipe(
            lr=0.01, schedule="step", lr_step=1000, lr_factor=1.0, momentum=0.9, nesterov=nesterov,
            weight_decay=0.01, bias_lr_factor=2.0, bias_decay_factor=0.0,
        )  # fmt: skip
        return optimiser.build([network], recipe, total_steps=6)[0]

    optimizers = [build(here), build(there)]
    assert optimizers[1].defaults["fused"] is True
    for number in range(6):
        if number == 3:
            saved = {k: v.cpu() for k, v in optimiser.velocity(optimizers[1], there).items()}
            optimizers[1] = build(there)
            optimiser.restore_velocity(optimizers[1], there, saved)
        x = torch.randn(5, 4, 4, 4).contiguous(memory_format=torch.channels_last)
        for network, optimizer, inputs in zip(
            (here, there), optimizers, (x, x.to(device)), strict=True
        ):
            optimizer.zero_grad()
            network(inputs).square().mean().backward()
            optimizer.step()
    for name, value in here.state_dict().items():
        assert differences(there.state_dict()[name], value) < 1e-5


def alexnet(device: torch.device) -> StagedNetwork:
    built = models.build("alexnet", num_outputs=50, image_size=227)
    names = built.stage_names
    built.initialise(names.index)
    built.key_dropout(names.index)
    return built.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]


def test_a_bfloat16_step_is_near_that_of_float32(device: torch.device):
    generator = torch.Generator().manual_seed(0)
    x = ((torch.rand(32, 3, 227, 227, generator=generator) - 0.5) * 255).to(device)
    x = x.contiguous(memory_format=torch.channels_last)
    labels = torch.arange(32, device=device) % 50
    losses, gradients = [], []
    for narrow in (False, True):
        network = alexnet(device)
        with torch.autocast("cuda", torch.bfloat16, enabled=narrow):
            logits = network(x)
            assert logits.dtype == (torch.bfloat16 if narrow else torch.float32)
            loss = F.cross_entropy(logits.float(), labels)
        loss.backward()
        losses.append(loss.item())
        gradients.append({name: p.grad.cpu() for name, p in network.named_parameters()})  # type: ignore[union-attr]
    assert losses[1] == pytest.approx(losses[0], rel=0.01)
    for name, exact in gradients[0].items():
        found = gradients[1][name]
        assert found.dtype == torch.float32
        cosine = F.cosine_similarity(found.flatten(), exact.flatten(), dim=0).item()
        # rounding adds up on the way back: 1.000 at fc8, 0.958 at conv1 in autocast on a CPU
        assert cosine > 0.9, (name, cosine)
