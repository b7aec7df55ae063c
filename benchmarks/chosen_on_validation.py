"""
How much better than it is a model looks on the validation split, because it was chosen there.

Choosing: an estimate, for the best of ten equally good networks that differ from each other as much
as --model and --other do. Calibration: temperature and the score from which a prediction counts as
certain, fitted on one half of the images and measured on the other.

    python benchmarks/chosen_on_validation.py --dataset fer2013.csv --other runs/2_larger
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from scipy.special import softmax

sys.path.insert(0, str(Path(__file__).parents[1]))
from training.data import decode_split, load_fer2013  # noqa: E402
from training.evaluation.calibration import certainty_threshold, fit_temperature  # noqa: E402
from training.network import load_saved_model  # noqa: E402
from training.report.card import optimism  # noqa: E402

HALVES = 200  # random ones
BATCH = 256


@torch.inference_mode()
def predictions(model: str, rows) -> tuple[np.ndarray, np.ndarray]:
    """Logits (N, C) of a saved model, and labels (N,)."""
    network, processor = load_saved_model(model)
    faces = decode_split(rows, processor, "validation")
    batches = [processor.normalize_batch(images) for images in faces.images.split(BATCH)]
    logits = [network.eval()(pixel_values).logits for pixel_values in batches]
    return torch.cat(logits).numpy(), faces.labels.numpy()


def certain_on_the_other_half(logits: np.ndarray, labels: np.ndarray, rng) -> float:
    """Share of the certain predictions that are right."""
    fitted, measured = np.array_split(rng.permutation(len(labels)), 2)
    temperature = fit_temperature(logits[fitted], labels[fitted])
    probabilities = softmax(logits / temperature, axis=1)
    threshold = certainty_threshold(probabilities[fitted], labels[fitted])
    certain = measured[probabilities[measured].max(axis=1) >= threshold]
    return float((logits[certain].argmax(axis=1) == labels[certain]).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--dataset", required=True, help="what train.py takes")
    parser.add_argument("--model", default="model", help="default: %(default)s")
    parser.add_argument("--other", required=True, help="an earlier stage of the same model")
    args = parser.parse_args()
    rows = load_fer2013(args.dataset)["validation"]
    logits, labels = predictions(args.model, rows)
    other, _ = predictions(args.other, rows)
    right, other_right = (one.argmax(axis=1) == labels for one in (logits, other))
    difference = (right != other_right).mean()
    print(f"one is right and the other wrong: {difference:.3f} of {len(labels):,} images")
    points = 100 * optimism(len(labels), difference)
    print(f"the best of ten such networks looks better by {points:.2f} points of accuracy")
    rng = np.random.default_rng(0)
    shares = [certain_on_the_other_half(logits, labels, rng) for _ in range(HALVES)]
    print(
        f"fitted on one half, of the certain on the other {np.mean(shares):.3f} are right "
        f"(mean of {HALVES} halves, standard deviation {np.std(shares):.3f})"
    )


if __name__ == "__main__":
    main()
