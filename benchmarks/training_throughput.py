"""
Training images per second, side by side in one run, same network, image size, batch and optimizer:

  bare      forward, backward and step on tensors in memory, nothing else
  ours      this project's training: FerTrainer on FER-2013-like faces, with augmentation
  usual     transformers' usual way: Trainer, an image processor call for each image in a
            transform of the data set, default loader, no augmentation

    python -m benchmarks.training_throughput
    python -m benchmarks.training_throughput --bf16    # on a GPU, with its utilisation
"""

import argparse
import statistics
import tempfile
import threading
import time
from contextlib import nullcontext

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
from training.cpu.depthwise import use_small_map_gradient
from training.data import LABELS, FaceDataset, decode_split, load_fer2013
from training.trainer import FerTrainer
from training.treatments import CrossEntropy


class Clock(TrainerCallback):
    """Seconds from the end of step `warm` to the end of the last one."""

    def __init__(self, warm: int):
        self.warm = warm

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: object,
    ) -> None:
        if state.global_step == self.warm:
            synchronize()
            self.started = time.perf_counter()

    def on_train_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: object,
    ) -> None:
        synchronize()
        self.seconds = time.perf_counter() - self.started


def synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def new_network(args: argparse.Namespace) -> FerEfficientNetForImageClassification:
    torch.manual_seed(0)
    config = FerEfficientNetConfig(
        backbone=args.backbone, image_size=args.image_size, stem_stride=args.stem_stride
    )
    return FerEfficientNetForImageClassification(config)


def training_arguments(
    kind: type[TrainingArguments], args: argparse.Namespace, folder: str, **others: object
) -> TrainingArguments:
    return kind(
        output_dir=folder,
        max_steps=args.warm + args.steps,
        per_device_train_batch_size=args.batch,
        eval_strategy="no",
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        bf16=args.bf16,
        dataloader_pin_memory=torch.cuda.is_available(),
        **others,
    )


def bare(args: argparse.Namespace, split: Dataset, faces: FaceDataset, folder: str) -> float:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = new_network(args).to(device, memory_format=torch.channels_last).train()
    if device == "cpu":
        use_small_map_gradient(network)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, fused=True)
    images = torch.randn(args.batch, 1, args.image_size, args.image_size, device=device)
    images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, len(LABELS), (args.batch,), device=device)
    for step in range(args.warm + args.steps):
        if step == args.warm:
            synchronize()
            started = time.perf_counter()
        with torch.autocast(device, torch.bfloat16) if args.bf16 else nullcontext():
            logits = network(images).logits
        F.cross_entropy(logits.float(), labels).backward()
        optimizer.step()
        optimizer.zero_grad()
    synchronize()
    return args.batch * args.steps / (time.perf_counter() - started)


def ours(args: argparse.Namespace, split: Dataset, faces: FaceDataset, folder: str) -> float:
    clock = Clock(args.warm)
    FerTrainer(
        model=new_network(args),
        args=training_arguments(FerTrainingArguments, args, folder),
        train_dataset=faces,
        processing_class=FerEfficientNetImageProcessor(size=args.image_size),
        criterion=CrossEntropy().bind(torch.ones(len(LABELS))),
        augmentation=BatchAugmentation(
            flip=0.5, rotate=15, translate=0.1, scale=0.15, contrast=0.25, erasing=0.25
        ),
        callbacks=[clock],
    ).train()
    return args.batch * args.steps / clock.seconds


def usual(args: argparse.Namespace, split: Dataset, faces: FaceDataset, folder: str) -> float:
    clock, processor = Clock(args.warm), FerEfficientNetImageProcessor(size=args.image_size)

    def transform(rows: dict[str, list]) -> dict[str, list]:
        images = [
            processor(image.convert("RGB"), return_tensors="pt")["pixel_values"][0]
            for image in rows["image"]
        ]
        return {"pixel_values": images, "labels": rows["label"]}

    Trainer(
        model=new_network(args),
        args=training_arguments(
            TrainingArguments,
            args,
            folder,
            remove_unused_columns=False,
            dataloader_drop_last=True,  # a last batch of one image has no batch statistics
        ),
        train_dataset=split.with_transform(transform),
        callbacks=[clock],
    ).train()
    return args.batch * args.steps / clock.seconds


class Utilisation(threading.Thread):
    """Mean GPU utilisation in percent while it runs, five samples a second."""

    def __init__(self):
        super().__init__(daemon=True)
        self.samples, self.ended = [], threading.Event()

    def run(self) -> None:
        while not self.ended.wait(0.2):
            self.samples.append(torch.cuda.utilization())

    def stop(self) -> float:
        self.ended.set()
        self.join()
        return statistics.mean(self.samples or [float("nan")])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backbone", default="tf_efficientnetv2_b0")
    parser.add_argument("--image_size", type=int, default=48)
    parser.add_argument("--stem_stride", type=int, default=1)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=8, help="timed, after --warm others")
    parser.add_argument("--warm", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3, help="of all three in turn")
    parser.add_argument("--bf16", action="store_true")
    args = parser.parse_args()
    split = load_fer2013("synthetic", synthetic_images=4 * args.batch)["train"]
    faces = decode_split(split, FerEfficientNetImageProcessor(size=args.image_size), "train")

    ways, rates, busy = (bare, ours, usual), {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(args.rounds):
            for way in ways:
                watch = Utilisation() if torch.cuda.is_available() else None
                if watch:
                    watch.start()
                rates.setdefault(way.__name__, []).append(way(args, split, faces, folder))
                if watch:
                    busy.setdefault(way.__name__, []).append(watch.stop())
    where = torch.cuda.get_device_name() if busy else f"{torch.get_num_threads()} threads"
    print(
        f"torch {torch.__version__}, {where}, {args.backbone}, {args.image_size} px, "
        f"stem stride {args.stem_stride}, batch {args.batch}, median of {args.rounds} rounds"
    )
    for name, of_way in rates.items():
        ratio = statistics.median(rate / bare for rate, bare in zip(of_way, rates["bare"]))
        gpu = f", GPU busy {statistics.median(busy[name]):.0f} %" if busy else ""
        print(f"{name:<8}{statistics.median(of_way):>10.0f} images/s{ratio:>8.2f} of bare{gpu}")


if __name__ == "__main__":
    main()
