"""
Whether faces in photos are better cropped a little tighter or looser than FER-2013's are.

Images of the validation split, plain and under those shifts of benchmarks/shifts.py that move a
face or blur it, are taken as photos: YuNet finds the face, and the square around it is cropped as
in photos, its side times a factor. Images in which it finds none are left out.

    python benchmarks/crop_rule.py --dataset fer2013.csv --detector_path YUNET
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.shifts import PLAIN, SHIFTS, TITLES  # noqa: E402
from modeling import face_detection  # noqa: E402
from training.data import decode_split, load_fer2013, stratified_split  # noqa: E402
from training.markdown import markdown_table  # noqa: E402
from training.network import load_saved_model  # noqa: E402

FACTORS = (0.85, 0.92, 1.0, 1.08)
TAKEN = (
    *(PLAIN, "tighter_16", "looser_16", "looser_30", "off_centre", "turned_20"),
    *("half_resolution", "jpeg_20"),
)


def found_faces(images: torch.Tensor, detector) -> list[tuple[int, np.ndarray, object]]:
    """uint8 (N, C, H, W) -> row, photo and largest face of each image in which there is one."""
    found = []
    for row, image in enumerate(images):
        photo = np.ascontiguousarray(image.expand(3, -1, -1).permute(1, 2, 0).numpy())
        if faces := face_detection.find_faces(photo, detector, min_face_size=16):
            found.append((row, photo, max(faces, key=lambda face: face.side)))
    return found


@torch.inference_mode()
def right(network, processor, crops: list[np.ndarray], labels: torch.Tensor) -> np.ndarray:
    """(N,) bool."""
    pixel_values = torch.cat([processor(crop)["pixel_values"] for crop in crops])
    logits = torch.cat([network(batch).logits for batch in pixel_values.split(64)])
    return (logits.argmax(dim=1) == labels).numpy()


def measure(network, processor, faces, detector) -> dict[str, dict]:
    """By shift the number of faces found, and accuracy by factor and of the images as they are."""
    results = {}
    _, above = face_detection.FRAME["yunet"]
    for name in tqdm(TAKEN):
        images = torch.cat([SHIFTS[name](batch) for batch in faces.images.split(64)])
        found = found_faces(images, detector)
        labels = faces.labels[[row for row, *_ in found]]
        accuracy = {}
        for factor in FACTORS:
            with mock.patch.dict(face_detection.FRAME, yunet=(factor, above)):
                crops = [face_detection.crop_face(photo, face) for _, photo, face in found]
            accuracy[factor] = right(network, processor, crops, labels).mean()
        whole = [photo for _, photo, _ in found]
        accuracy["none"] = right(network, processor, whole, labels).mean()
        results[name] = {"found": len(found) / len(faces), "accuracy": accuracy}
    return results


def table(results: dict[str, dict]) -> str:
    """Markdown: a column for each factor."""
    shifted = [one for name, one in results.items() if name != PLAIN]
    mean = {
        "found": np.mean([one["found"] for one in shifted]),
        "accuracy": {
            key: np.mean([one["accuracy"][key] for one in shifted])
            for key in shifted[0]["accuracy"]
        },
    }
    rows = [
        [title, f"{one['found']:.2f}", *(f"{value:.3f}" for value in one["accuracy"].values())]
        for title, one in {
            **{TITLES[name]: one for name, one in results.items()},
            "**mean of the shifts**": mean,
        }.items()
    ]
    factors = [f"side times {factor:g}" for factor in FACTORS]
    return markdown_table(["", "faces found", *factors, "as it is"], rows)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", required=True, help="as of train.py")
    parser.add_argument("--model", default="model", help="default: %(default)s")
    parser.add_argument("--detector_path", required=True, help="a YuNet file")
    parser.add_argument("--images", type=int, default=500, help="default: %(default)s")
    args = parser.parse_args(argv)
    network, processor = load_saved_model(args.model)
    faces = decode_split(load_fer2013(args.dataset)["validation"], processor, "validation")
    if args.images < len(faces):
        share = args.images / len(faces)
        faces = faces.select(stratified_split(faces.labels.numpy(), share, seed=0)[1])
    detector = face_detection.make_detector("yunet", args.detector_path, 0.7)
    print(f"{len(faces)} images (stratified by class, seed 0)\n")
    print(table(measure(network.eval(), processor, faces, detector)))


if __name__ == "__main__":
    main()
