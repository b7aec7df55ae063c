"""
How well saved models classify faces that are cropped, turned, compressed or lit otherwise than
FER-2013's: the shifts of benchmarks/shifts.py, each over a whole split.

    python benchmarks/robustness.py model --dataset fer2013.csv        # table, picture and figures
    python benchmarks/robustness.py model runs/robust --dataset fer2013.csv --images 1000
    python benchmarks/robustness.py model --dataset fer2013.csv --write_to_model    # for its card
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import matplotlib
import numpy as np
import torch
from tqdm import tqdm
from transformers.utils import cached_file

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.shifts import PLAIN, SHIFTS, TITLES  # noqa: E402
from training.card.quoted_results import ROBUSTNESS  # noqa: E402
from training.data import (  # noqa: E402
    LABELS,
    DataArguments,
    FaceDataset,
    class_names,
    decode_split,
    draw_faces,
    load_splits,
    stratified_split,
)
from training.markdown import markdown_table  # noqa: E402
from training.network import load_saved_model  # noqa: E402
from training.record import weights_sha256, write_json  # noqa: E402

OUTPUT = Path(__file__).parents[1] / "runs" / "benchmarks"
BATCH = 64
SEED = 0  # of the sample that --images N takes
FIGURES = ("accuracy", "balanced_accuracy")
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000")


def measure(source: str, rows, split: str, images: int | None) -> dict:
    """
    Args:
        source: a saved model, folder or Hub id. rows: the split, as `load_splits` gives it.
        images: how many of them, stratified by class; None: all.

    Returns:
        What --write_to_model writes: by shift its title and `figures`, and `mean`, over all shifts
        but the first, which is none.
    """
    network, processor = load_saved_model(source, class_names({split: rows}))
    faces = decode_split(rows, processor, split)
    found = len(faces)
    if images and images < found:
        faces = faces.select(stratified_split(faces.labels.numpy(), images / found, seed=SEED)[1])
    predicted = predict(network, processor, faces, Path(source).name)
    shifts = {
        name: {"title": TITLES[name]} | figures(faces, classes)
        for name, classes in predicted.items()
    }
    shifted = [one for name, one in shifts.items() if name != PLAIN]
    return {
        "split": split,
        "images": len(faces),
        "of": found,
        "weights_sha256": weights_sha256(Path(cached_file(source, "model.safetensors"))),
        "shifts": shifts,
        "mean": {key: float(np.mean([one[key] for one in shifted])) for key in FIGURES},
    }


def predict(network, processor, faces: FaceDataset, name: str) -> dict[str, np.ndarray]:
    """
    By shift the predicted class ids (N,).

    Batches share the cores, one thread each: so small a network is faster than with all threads in
    every convolution.
    """
    network = network.eval().to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def classify(images: torch.Tensor) -> list[torch.Tensor]:
        batches = [processor.normalize_batch(shift(images)) for shift in SHIFTS.values()]
        batches = [one.contiguous(memory_format=torch.channels_last) for one in batches]
        return [network(pixel_values).logits.argmax(dim=1) for pixel_values in batches]

    batches, threads = faces.images.split(BATCH), torch.get_num_threads()
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        predicted = [*tqdm(pool.map(classify, batches), desc=name, total=len(batches))]
    return {name: torch.cat(found).numpy() for name, found in zip(SHIFTS, zip(*predicted))}


def figures(faces: FaceDataset, predicted: np.ndarray) -> dict:
    """Accuracy, balanced accuracy and, by class, recall; of the classes that are there."""
    labels = faces.labels.numpy()
    right = predicted == labels
    recall = {
        name: float(right[labels == i].mean())
        for i, name in enumerate(faces.label_names)
        if (labels == i).any()
    }
    return {
        "accuracy": float(right.mean()),
        "balanced_accuracy": float(np.mean([*recall.values()])),
        "recall": recall,
    }


def table(results: Mapping[str, Mapping]) -> str:
    """Markdown: a row for each shift, two columns for each model."""
    header = ["accuracy / balanced accuracy", *results]
    rows = [
        [title, *(_cell(one["shifts"][name]) for one in results.values())]
        for name, title in TITLES.items()
    ]
    mean = f"**mean of the {len(SHIFTS) - 1} shifts**"
    rows.append([mean, *(f"**{_cell(one['mean'])}**" for one in results.values())])
    return f"{markdown_table(header, rows)}\n\n{about(next(iter(results.values())))}"


def _cell(one: Mapping) -> str:
    return " / ".join(f"{one[key]:.3f}" for key in FIGURES)


def about(one: Mapping) -> str:
    """Over which images."""
    sample = "" if one["images"] == one["of"] else (
        f"a sample of {one['images']:,} (stratified by class, seed {SEED}) of "
    )  # fmt: skip
    return f"Over {sample}the {one['of']:,} images of the {one['split']} split."


def plot(path: Path, results: Mapping[str, Mapping]) -> None:
    """A row for each shift: a drawn face under it, and both figures of every model."""
    face = torch.from_numpy(draw_faces(np.array([LABELS.index("happy")]), LABELS, seed=3))[None]
    faces = [shift(face)[0, 0].numpy() for shift in SHIFTS.values()]
    space = np.full((6, face.shape[-1]), np.nan)
    column = np.vstack([np.vstack([space, one, space]) for one in faces])
    rows = len(faces)
    figure, (left, *panels) = plt.subplots(
        1, 3, figsize=(10, 0.45 * rows + 1.4), width_ratios=(1, 9, 9), sharey=True,
        layout="constrained",
    )  # fmt: skip
    left.imshow(column, cmap="gray", vmin=0, vmax=255, extent=(0, 1, rows, 0), aspect="auto")
    left.set_xticks([])
    left.set_yticks(np.arange(rows) + 0.5, [TITLES[name] for name in SHIFTS])
    left.tick_params(left=False)
    left.spines[:].set_visible(False)
    for axes, key in zip(panels, FIGURES):
        for color, marker, (model, one) in zip(COLORS, "osD^vP*X", results.items()):
            found = [shift[key] for shift in one["shifts"].values()]
            axes.plot(found, np.arange(rows) + 0.5, marker, color=color, label=model)
            axes.axvline(one["mean"][key], color=color, ls="--", lw=1)
        axes.set_xlabel(f"{key.replace('_', ' ')} (dashed: mean of the shifts)")
        axes.grid(alpha=0.3)
    panels[0].legend(fontsize=9)
    figure.savefig(path, dpi=200)
    plt.close(figure)


def main(argv: Sequence[str] | None = None) -> None:
    args = _parse(argv)
    data = DataArguments(
        dataset=args.dataset,
        classes=args.classes,
        label_source=args.label_source,
        ferplus_csv=args.ferplus_csv,
    )
    splits = load_splits(data)
    if args.split not in splits:
        raise SystemExit(
            f"{args.dataset}: expected a split {args.split}, found {', '.join(splits)}."
        )
    rows = splits[args.split]
    args.output_dir.mkdir(parents=True, exist_ok=True)
    results = {}
    for source in args.models:
        found = results[Path(source).resolve().name] = measure(
            source, rows, args.split, args.images
        )
        if args.write_to_model:
            write_json(Path(source) / ROBUSTNESS, found)
            print(f"For the card of {source}: python -m training.card {source}")
    write_json(args.output_dir / ROBUSTNESS, results)
    (args.output_dir / "robustness.md").write_text(table(results) + "\n")
    plot(args.output_dir / "robustness.png", results)
    print(table(results))


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "models", nargs="+", metavar="MODEL", help="folder or Hub id of a saved model"
    )
    parser.add_argument("--dataset", required=True, help="as of train.py, like the next three")
    parser.add_argument("--classes", choices=("fer2013", "any"), default="fer2013")
    parser.add_argument("--label_source", choices=("dataset", "ferplus"), default="dataset")
    parser.add_argument("--ferplus_csv")
    parser.add_argument("--split", default="validation", help="default: %(default)s")
    parser.add_argument(
        "--images",
        default="all",
        help="N takes a sample, stratified by class, the same each time (default: %(default)s)",
    )
    parser.add_argument("--output_dir", type=Path, default=OUTPUT, help="default: %(default)s")
    parser.add_argument(
        "--write_to_model",
        action="store_true",
        help=f"also write {ROBUSTNESS} into each model's folder, for its card",
    )
    args = parser.parse_args(argv)
    args.images = None if args.images == "all" else int(args.images)
    return args


if __name__ == "__main__":
    main()
