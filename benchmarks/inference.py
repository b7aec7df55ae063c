"""
Speed and memory of prediction on this machine; prints Markdown.

    python -m benchmarks.inference                   # all parts, about 6 minutes
    python -m benchmarks.inference --part faces      # or photos, start, stream

faces   tight faces: the image-classification pipeline of model/, the bare network on ready tensors
        in its faster memory format, ONNX Runtime, and a ViT-B/16 at 224 px (random weights) in the
        same pipeline; in turn, medians of the rounds
photos  a cut-out face and whole photos: the facial-emotion pipeline beside FacialEmotion, in turn
start   a clean process, from its start to its first prediction
stream  peak memory of a clean process that streams 20 photos, and 2,000
"""

import argparse
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import skimage.data
import torch
from PIL import Image
from transformers import (
    ImageClassificationPipeline,
    Pipeline,
    ViTConfig,
    ViTForImageClassification,
    ViTImageProcessor,
    pipeline,
)

from fer_efficientnet import FacialEmotion

ROOT = Path(__file__).parents[1]
MODEL = str(ROOT / "model")
FACE_SIDES = (48, 224)
BATCHES = (1, 32)
ROUNDS = 3
PARTS = ("faces", "photos", "start", "stream")

START = """
import sys
from transformers import pipeline
classify = pipeline(sys.argv[1], model=sys.argv[2], trust_remote_code=True, device="cpu")
classify(sys.argv[3], **({"detector": "haar"} if sys.argv[1] == "facial-emotion" else {}))
"""


def row(*cells: object) -> None:
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def header(*cells: str) -> None:
    print()
    row(*cells)
    row(*["---"] * len(cells))


def images_per_second(predict: Callable, images: int) -> float:
    start = time.perf_counter()
    predict()
    return images / (time.perf_counter() - start)


def face(side: int) -> Image.Image:
    return Image.fromarray(skimage.data.astronaut()[67:160, 177:270]).resize((side, side))


def crowd() -> np.ndarray:
    """Ten faces in two rows, uint8 (440, 1000, 3)."""
    return np.tile(skimage.data.astronaut()[:220, 130:330], (2, 5, 1))


def load(task: str, **options: str | None) -> Pipeline:
    return pipeline(task, model=MODEL, trust_remote_code=True, device="cpu", **options)


def onnx_session() -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    file = str(Path(MODEL) / "model.onnx")
    return onnxruntime.InferenceSession(file, options, ["CPUExecutionProvider"])


def measure_faces(args: argparse.Namespace) -> None:
    ours = load("image-classification")
    vit = pipeline(
        "image-classification",
        model=ViTForImageClassification(ViTConfig(num_labels=7)).eval(),
        image_processor=ViTImageProcessor(),
        device="cpu",
    )
    images = [face(FACE_SIDES[0])] * max(BATCHES)
    pixel_values = ours.image_processor(images, return_tensors="pt")["pixel_values"]
    session = onnx_session()

    header("faces", "batch", "pipeline, images/s", "bare network", "pipeline / bare",
           "ViT-B/16 pipeline", "pipeline / ViT", "ONNX Runtime")  # fmt: skip
    for side, batch in itertools.product(FACE_SIDES, BATCHES):
        faces = [face(side)] * 128
        rates = compare(ours, vit, session, faces, pixel_values[:batch])
        median = {name: statistics.median(of_name) for name, of_name in rates.items()}
        bare = max(("contiguous", "channels last"), key=median.get)
        row(f"{side} px", batch, f"{median['ours']:.0f}", f"{median[bare]:.0f} ({bare})",
            f"{ratio(rates['ours'], rates[bare]):.2f}", f"{median['vit']:.1f}",
            f"{ratio(rates['ours'], rates['vit']):.0f}", f"{median['onnx']:.0f}")  # fmt: skip


def compare(
    ours: ImageClassificationPipeline,
    vit: ImageClassificationPipeline,
    session: onnxruntime.InferenceSession,
    faces: list[Image.Image],
    pixel_values: torch.Tensor,
) -> dict[str, list[float]]:
    """Images/s in each round. pixel_values: (batch, C, H, W)."""
    batch = len(pixel_values)
    few = faces[: max(batch, 8)]  # for what is slow
    passes = len(faces) // batch
    network = ours.model

    def bare(memory_format: torch.memory_format) -> None:
        network.to(memory_format=memory_format)
        ready = pixel_values.contiguous(memory_format=memory_format)
        with torch.inference_mode():
            for _ in range(passes):
                network(ready)

    def onnx() -> None:
        for _ in range(passes):
            session.run(None, {"pixel_values": pixel_values.numpy()})

    contestants = {
        "contiguous": (lambda: bare(torch.contiguous_format), len(faces)),
        "ours": (lambda: ours(faces, batch_size=batch), len(faces)),
        "channels last": (lambda: bare(torch.channels_last), len(faces)),
        "onnx": (onnx, len(faces)),
        "vit": (lambda: vit(few, batch_size=batch), len(few)),
    }
    rates: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(ROUNDS + 1):  # the first warms up
        for name, (predict, images) in contestants.items():
            network.to(memory_format=torch.contiguous_format)  # as from_pretrained leaves it
            rate = images_per_second(predict, images)
            if number:
                rates[name].append(rate)
    return rates


def ratio(rates: Sequence[float], others: Sequence[float]) -> float:
    return statistics.median(rate / other for rate, other in zip(rates, others))


def measure_photos(args: argparse.Namespace) -> None:
    header("photo", "faces", *(f"{engine}, {way}" for engine in ("torch, photos/s", "model.onnx")
           for way in ("one by one", "32 a call")), "ratio one by one")  # fmt: skip
    torchs, onnxs = load("facial-emotion"), FacialEmotion(MODEL)
    whole = skimage.data.astronaut()
    for photo, detector in ((whole[65:177, 178:270], "none"), (whole, "yunet"), (crowd(), "yunet")):
        options = {"detector": detector}
        count = len(onnxs(photo, **options))
        ways = [way for find in (torchs, onnxs) for way in ways_of(find, [photo] * 32, options)]
        rates = [[images_per_second(way, 32) for way in ways] for _ in range(ROUNDS)]  # in turn
        medians = [statistics.median(of_way) for of_way in zip(*rates)]
        faster = ratio([rate[2] for rate in rates], [rate[0] for rate in rates])
        size = f"{photo.shape[1]} x {photo.shape[0]}"
        row(size, count, *(f"{rate:.1f}" for rate in medians), f"{faster:.1f}")


def ways_of(find: Callable, photos: list[np.ndarray], options: dict) -> tuple[Callable, Callable]:
    """One photo a call, and all in one."""

    def one_by_one() -> None:
        for photo in photos:
            find(photo, **options)

    return one_by_one, lambda: find(photos, **options)


def measure_start(args: argparse.Namespace) -> None:
    header("from the start of a process to its first prediction", "seconds", "peak memory, MB")
    with tempfile.TemporaryDirectory() as folder:
        photo = f"{folder}/photo.png"
        Image.fromarray(skimage.data.astronaut()).save(photo)
        for task in ("image-classification", "facial-emotion"):
            runs = [run([sys.executable, "-c", START, task, MODEL, photo]) for _ in range(3)]
            seconds, memory = (statistics.median(column) for column in zip(*runs))
            row(f'`pipeline("{task}")`', f"{seconds:.1f}", f"{memory:.0f}")


def measure_stream(args: argparse.Namespace) -> None:
    header("photos streamed, 512 x 512 JPEG files of one face", "seconds", "peak memory, MB")
    for photos in (20, 2000):
        module = [sys.executable, "-m", "benchmarks.inference"]
        seconds, memory = run([*module, "--stream", str(photos)])
        row(f"{photos:,}", f"{seconds:.0f}", f"{memory:.0f}")


def stream(photos: int) -> None:
    """As many files through one generator, each in its own brightness, in a process of its own."""
    find = load("facial-emotion")
    with tempfile.TemporaryDirectory() as folder:

        def files():
            for number in range(photos):
                dimmed = skimage.data.astronaut() * (1 - number % 20 / 100)
                path = f"{folder}/{number}.jpg"
                Image.fromarray(dimmed.astype(np.uint8)).save(path)
                yield path

        faces = sum(len(of_photo) for of_photo in find(files()))
    if faces != photos:
        raise RuntimeError(f"{faces} faces were found in {photos} photos of one face.")


def run(command: list[str]) -> tuple[float, float]:
    """Seconds, and peak memory in MB (of the largest process), of a command that must succeed."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    start = time.perf_counter()
    child = subprocess.Popen(command, cwd=ROOT, env=os.environ | {"HF_HUB_OFFLINE": "1"}, **quiet)
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - start
    if status:
        raise RuntimeError(f"{command} ended with status {os.waitstatus_to_exitcode(status)}.")
    return seconds, usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--part", choices=PARTS, help="default: all")
    parser.add_argument("--stream", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.stream:
        return stream(args.stream)
    print(
        f"torch {torch.__version__}, onnxruntime {onnxruntime.__version__}, "
        f"{torch.get_num_threads()} threads"
    )
    measures = dict(zip(PARTS, (measure_faces, measure_photos, measure_start, measure_stream)))
    for part, measure in measures.items():
        if args.part in (None, part):
            measure(args)


if __name__ == "__main__":
    main()
