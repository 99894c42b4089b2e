"""What devices are called in records and messages."""

import pytest
import torch

from transferlab.runtime import devices


@pytest.mark.parametrize(
    ("capability", "bfloat16", "name"),
    [
        ("AVX2", False, "cpu: AMD EPYC (AVX2)"),
        ("AVX512", True, "cpu: AMD EPYC (AVX512, bfloat16)"),
    ],
)
def test_a_processor_is_named_with_the_instructions_that_its_bits_depend_on(
    capability: str, bfloat16: bool, name: str, monkeypatch: pytest.MonkeyPatch
):
    present = {"cpu_name": "AMD EPYC", "avx512_bf16": bfloat16, "avx2": True}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: present)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    torch.set_num_threads(1)

    assert devices.name(torch.device("cpu")) == name
    assert devices.name_with_threads(torch.device("cpu")) == f"{name}, 1 thread"
