"""
Training steps per second of EfficientNets on 48 px faces, with PyTorch's depthwise weight gradient
and with ours, in turn.

    python benchmarks/depthwise_backward.py
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from modeling import FerEfficientNetConfig, FerEfficientNetForImageClassification  # noqa: E402
from training.cpu.depthwise import use_small_map_gradient  # noqa: E402

BATCH = 64


def images_per_second(model, images, labels, steps: int = 4) -> float:
    start = time.perf_counter()
    for _ in range(steps):
        model(images, labels).loss.backward()
    return steps * len(images) / (time.perf_counter() - start)


def main() -> None:
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    print(
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, batch {BATCH}, "
        "forward and backward, images/s"
    )
    print(f"{'backbone':<20}{'stem':>5}{'PyTorch':>10}{'ours':>10}{'ratio':>8}")
    for backbone, stem in (
        ("efficientnet_lite0", 2),
        ("efficientnet_b0", 2),
        ("efficientnet_b0", 1),
    ):
        models = []
        for ours in (False, True):
            config = FerEfficientNetConfig(backbone=backbone, stem_stride=stem)
            model = (
                FerEfficientNetForImageClassification(config)
                .to(memory_format=torch.channels_last)
                .train()
            )
            if ours:
                use_small_map_gradient(model)
            models.append(model)
        images = torch.randn(BATCH, 1, 48, 48).contiguous(memory_format=torch.channels_last)
        labels = torch.randint(0, 7, (BATCH,))
        for model in models:
            images_per_second(model, images, labels, steps=1)
        pairs = [[images_per_second(model, images, labels) for model in models] for _ in range(5)]
        plain, ours = (statistics.median(column) for column in zip(*pairs))
        ratio = statistics.median(b / a for a, b in pairs)
        print(f"{backbone:<20}{stem:>5}{plain:>10.0f}{ours:>10.0f}{ratio:>8.2f}")


if __name__ == "__main__":
    main()
