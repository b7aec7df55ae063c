"""Muon's iterations on CPUs without bfloat16 arithmetic."""

import pytest
import timm.optim.muon
import torch

from tests.training.test_trainer import make_trainer
from training.cpu.muon import use_float32_iterations


@pytest.mark.parametrize(
    "capability, dtype",
    [("AVX2", torch.float32), ("DEFAULT", torch.float32), ("AVX512", torch.bfloat16)],
)
def test_the_iterations_run_in_a_type_that_the_cpu_multiplies(
    tmp_path, monkeypatch, capability, dtype
):
    seen, original = set(), timm.optim.muon.zeropower_via_newtonschulz

    def iterations(*args, dtype=torch.bfloat16, **kwargs):
        seen.add(dtype)
        return original(*args, dtype=dtype, **kwargs)

    monkeypatch.setattr(timm.optim.muon, "zeropower_via_newtonschulz", iterations)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    make_trainer(tmp_path, timm_optim="nmuon", max_steps=1).train()
    assert seen == {dtype}


def test_other_optimizers_are_left_alone(monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    assert not use_float32_iterations(torch.optim.AdamW)
