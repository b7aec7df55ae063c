"""
Training images per second, side by side in one run, same network, image size, batch and optimizer:

  bare      forward, backward and step on tensors in memory, nothing else
  ours      this project's training: FerTrainer on FER-2013-like faces, with augmentation
  usual     transformers' usual way: Trainer, an image processor call for each image in a
            transform of the data set, default loader, no augmentation

    python -m benchmarks.training_throughput
"""

import argparse
import statistics
import tempfile
import time

import torch
import torch.nn.functional as F
from datasets import Dataset
from transformers import (
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from modeling import (
    FerEfficientNetConfig,
    FerEfficientNetForImageClassification,
    FerEfficientNetImageProcessor,
)
from training.arguments import FerTrainingArguments
from training.augmentation import BatchAugmentation
from training.cpu.depthwise import use_fast_depthwise
from training.data import LABELS, FaceDataset, decode_split, load_fer2013
from training.trainer import FerTrainer
from training.treatments import CrossEntropy

BACKBONE, IMAGE_SIZE, STEM_STRIDE, BATCH = "tf_efficientnetv2_b0", 48, 1, 128
WARM = 2  # steps before the timed ones


class Clock(TrainerCallback):
    """Seconds from the end of step `WARM` to the end of the last one."""

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        if state.global_step == WARM:
            synchronize()
            self.started = time.perf_counter()

    def on_train_end(self, *_: object, **__: object) -> None:
        synchronize()
        self.seconds = time.perf_counter() - self.started


def synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def new_network() -> FerEfficientNetForImageClassification:
    torch.manual_seed(0)
    config = FerEfficientNetConfig(
        backbone=BACKBONE, image_size=IMAGE_SIZE, stem_stride=STEM_STRIDE
    )
    return FerEfficientNetForImageClassification(config)


def training_arguments(
    kind: type[TrainingArguments], steps: int, folder: str, **others: object
) -> TrainingArguments:
    return kind(
        output_dir=folder,
        max_steps=WARM + steps,
        per_device_train_batch_size=BATCH,
        eval_strategy="no",
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=torch.cuda.is_available(),
        **others,
    )


def bare(steps: int, split: Dataset, faces: FaceDataset, folder: str) -> float:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = new_network().to(device, memory_format=torch.channels_last).train()
    if device == "cpu":
        use_fast_depthwise(network)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, fused=True)
    images = torch.randn(BATCH, 1, IMAGE_SIZE, IMAGE_SIZE, device=device)
    images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, len(LABELS), (BATCH,), device=device)
    for step in range(WARM + steps):
        if step == WARM:
            synchronize()
            started = time.perf_counter()
        F.cross_entropy(network(images).logits, labels).backward()
        optimizer.step()
        optimizer.zero_grad()
    synchronize()
    return BATCH * steps / (time.perf_counter() - started)


def ours(steps: int, split: Dataset, faces: FaceDataset, folder: str) -> float:
    clock = Clock()
    FerTrainer(
        model=new_network(),
        args=training_arguments(FerTrainingArguments, steps, folder),
        train_dataset=faces,
        processing_class=FerEfficientNetImageProcessor(size=IMAGE_SIZE),
        criterion=CrossEntropy().bind(torch.ones(len(LABELS))),
        augmentation=BatchAugmentation(
            flip=0.5, rotate=15, translate=0.1, scale=0.15, contrast=0.25, erasing=0.25
        ),
        callbacks=[clock],
    ).train()
    return BATCH * steps / clock.seconds


def usual(steps: int, split: Dataset, faces: FaceDataset, folder: str) -> float:
    clock, processor = Clock(), FerEfficientNetImageProcessor(size=IMAGE_SIZE)

    def transform(rows: dict[str, list]) -> dict[str, list]:
        images = [
            processor(image.convert("RGB"), return_tensors="pt")["pixel_values"][0]
            for image in rows["image"]
        ]
        return {"pixel_values": images, "labels": rows["label"]}

    Trainer(
        model=new_network(),
        args=training_arguments(
            TrainingArguments,
            steps,
            folder,
            remove_unused_columns=False,
            dataloader_drop_last=True,  # a last batch of one image has no batch statistics
        ),
        train_dataset=split.with_transform(transform),
        callbacks=[clock],
    ).train()
    return BATCH * steps / clock.seconds


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=8, help=f"timed, after {WARM} others")
    parser.add_argument("--rounds", type=int, default=3, help="of all three in turn")
    args = parser.parse_args()
    split = load_fer2013("synthetic", synthetic_images=4 * BATCH)["train"]
    faces = decode_split(split, FerEfficientNetImageProcessor(size=IMAGE_SIZE), "train")
    rates: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(args.rounds):
            for way in (bare, ours, usual):
                rates.setdefault(way.__name__, []).append(way(args.steps, split, faces, folder))
    gpu = torch.cuda.is_available()
    where = torch.cuda.get_device_name() if gpu else f"{torch.get_num_threads()} threads"
    print(
        f"torch {torch.__version__}, {where}, {BACKBONE}, {IMAGE_SIZE} px, "
        f"stem stride {STEM_STRIDE}, batch {BATCH}, median of {args.rounds} rounds"
    )
    for name, of_way in rates.items():
        ratio = statistics.median(rate / bare for rate, bare in zip(of_way, rates["bare"]))
        print(f"{name:<8}{statistics.median(of_way):>10.0f} images/s{ratio:>8.2f} of bare")


if __name__ == "__main__":
    main()
