"""
Seconds of one step of Muon over EfficientNetV2-B0's weights on a CPU: with its iterations in
bfloat16, as timm has them, and in float32, as `training.cpu.muon` sets them where bfloat16 is
emulated.

    python benchmarks/muon_step.py
"""

import statistics
import sys
import time
from pathlib import Path

import torch
from timm.optim import get_optimizer_class, get_optimizer_info

sys.path.insert(0, str(Path(__file__).parents[1]))
from modeling import FerEfficientNetConfig, FerEfficientNetForImageClassification  # noqa: E402
from training.cpu.muon import use_float32_iterations  # noqa: E402

STEPS = 5


def seconds_of_a_step(optimizer: torch.optim.Optimizer) -> float:
    taken = []
    for _ in range(1 + STEPS):  # the first one makes the state
        started = time.perf_counter()
        optimizer.step()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken[1:])


def main() -> None:
    torch.manual_seed(0)
    config = FerEfficientNetConfig(backbone="tf_efficientnetv2_b0", image_size=48, stem_stride=1)
    network = FerEfficientNetForImageClassification(config)
    for weight in network.parameters():
        weight.grad = torch.randn_like(weight)
    muon = get_optimizer_class("nmuon", bind_defaults=False)
    optimizer = muon(network.parameters(), lr=1e-6, **get_optimizer_info("nmuon").defaults)
    in_bfloat16 = seconds_of_a_step(optimizer)
    capability = torch.backends.cpu.get_cpu_capability()
    print(f"{capability}, {torch.get_num_threads()} threads, median of {STEPS} steps")
    print(f"bfloat16  {in_bfloat16:.2f} s")
    if not use_float32_iterations(muon):
        print("float32   not used on this CPU, which has AVX512")
        return
    in_float32 = seconds_of_a_step(optimizer)
    print(f"float32   {in_float32:.2f} s, {in_bfloat16 / in_float32:.1f} times as fast")


if __name__ == "__main__":
    main()
