"""
How well saved models classify faces that are cropped, turned, compressed or lit differently from
FER-2013's: the shifts of benchmarks/shifts.py, each over a whole split.

    python -m benchmarks.robustness model --dataset fer2013.csv    # table, picture and JSON
    python -m benchmarks.robustness model runs/robust --dataset fer2013.csv --images 1000
    python -m benchmarks.robustness model --dataset fer2013.csv --write_to_model    # for its card
"""

import argparse
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset
from matplotlib.figure import Figure
from tqdm import tqdm
from transformers import PreTrainedModel
from transformers.image_processing_utils import BaseImageProcessor
from transformers.utils import cached_file

from benchmarks.shifts import PLAIN, SHIFTS, TITLES
from training.card.quoted_results import ROBUSTNESS
from training.comparison import names_of
from training.data import (
    LABELS,
    DataArguments,
    FaceDataset,
    class_names,
    decode_split,
    draw_faces,
    load_splits,
    stratified_split,
)
from training.evaluation import classification_metrics
from training.markdown import markdown_table
from training.network import load_saved_model
from training.record import weights_sha256, write_json

OUTPUT = Path(__file__).parents[1] / "runs" / "benchmarks"
BATCH = 64
SEED = 0  # of the sample that --images N takes
MEASURES = ("accuracy", "balanced_accuracy")
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000")


def measure(source: str, rows: Dataset, split: str, images: int | None) -> dict:
    """
    Args:
        source: a saved model, folder or Hub id. rows: the split, as `load_splits` gives it.
        images: how many of them, stratified by class; None: all.

    Returns:
        What --write_to_model writes: for each shift its title and the results of `results_of`; and
        `mean`, over all shifts but the first, which is none.
    """
    network, processor = load_saved_model(source, class_names({split: rows}))
    faces = decode_split(rows, processor, split)
    of = len(faces)
    if images and images < of:
        faces = faces.select(stratified_split(faces.labels.numpy(), images / of, seed=SEED)[1])
    predicted = predict(network, processor, faces, Path(source).name)
    shifts = {
        name: {"title": TITLES[name]} | results_of(faces, classes)
        for name, classes in predicted.items()
    }
    shifted = [results for name, results in shifts.items() if name != PLAIN]
    return {
        "split": split,
        "images": len(faces),
        "of": of,
        "weights_sha256": weights_sha256(Path(cached_file(source, "model.safetensors"))),
        "shifts": shifts,
        "mean": {key: float(np.mean([results[key] for results in shifted])) for key in MEASURES},
    }


def predict(
    network: PreTrainedModel, processor: BaseImageProcessor, faces: FaceDataset, name: str
) -> dict[str, np.ndarray]:
    """
    Shift -> predicted class ids (N,).

    Batches share the cores, one thread each: so small a network is faster than with all threads in
    every convolution.
    """
    network = network.eval().to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def classify(images: torch.Tensor) -> list[torch.Tensor]:
        batches = [processor.normalize_batch(shift(images)) for shift in SHIFTS.values()]
        batches = [batch.contiguous(memory_format=torch.channels_last) for batch in batches]
        return [network(pixel_values).logits.argmax(dim=1) for pixel_values in batches]

    batches, threads = faces.images.split(BATCH), torch.get_num_threads()
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        predicted = [*tqdm(pool.map(classify, batches), desc=name, total=len(batches))]
    return {name: torch.cat(ids).numpy() for name, ids in zip(SHIFTS, zip(*predicted))}


def results_of(faces: FaceDataset, predicted: np.ndarray) -> dict:
    """Accuracy, balanced accuracy and each class's recall, for the classes that have images."""
    labels, names = faces.labels.numpy(), faces.label_names
    metrics = classification_metrics(predicted, labels, names, bootstrap=0)
    present = [names[i] for i in np.unique(labels)]
    recall = {name: metrics[f"recall_{name}"] for name in present}
    return {measure: metrics[measure] for measure in MEASURES} | {"recall": recall}


def table(models: Mapping[str, Mapping]) -> str:
    """Markdown: a row for each shift, two columns for each model."""
    header = ["accuracy / balanced accuracy", *models]
    rows = [
        [title, *(_cell(model["shifts"][name]) for model in models.values())]
        for name, title in TITLES.items()
    ]
    mean = f"**mean of the {len(SHIFTS) - 1} shifts**"
    rows.append([mean, *(f"**{_cell(model['mean'])}**" for model in models.values())])
    return f"{markdown_table(header, rows)}\n\n{about(next(iter(models.values())))}"


def _cell(results: Mapping) -> str:
    return " / ".join(f"{results[key]:.3f}" for key in MEASURES)


def about(model: Mapping) -> str:
    """Which images were measured."""
    sample = "" if model["images"] == model["of"] else (
        f"a sample of {model['images']:,} (stratified by class, seed {SEED}) of "
    )  # fmt: skip
    return f"Over {sample}the {model['of']:,} images of the {model['split']} split."


def plot(path: Path, models: Mapping[str, Mapping]) -> None:
    """A row for each shift: a drawn face under it, and both results of every model."""
    face = torch.from_numpy(draw_faces(np.array([LABELS.index("happy")]), LABELS, seed=3))[None]
    faces = [shift(face)[0, 0].numpy() for shift in SHIFTS.values()]
    space = np.full((6, face.shape[-1]), np.nan)
    column = np.vstack([np.vstack([space, face, space]) for face in faces])
    rows = len(faces)
    figure = Figure(figsize=(10, 0.45 * rows + 1.4), layout="constrained")
    left, *panels = figure.subplots(1, 3, width_ratios=(1, 9, 9), sharey=True)
    left.imshow(column, cmap="gray", vmin=0, vmax=255, extent=(0, 1, rows, 0), aspect="auto")
    left.set_xticks([])
    left.set_yticks(np.arange(rows) + 0.5, [TITLES[name] for name in SHIFTS])
    left.tick_params(left=False)
    left.spines[:].set_visible(False)
    for axes, key in zip(panels, MEASURES):
        for color, marker, (name, model) in zip(COLORS, "osD^vP*X", models.items()):
            x = [results[key] for results in model["shifts"].values()]
            axes.plot(x, np.arange(rows) + 0.5, marker, color=color, label=name)
            axes.axvline(model["mean"][key], color=color, ls="--", lw=1)
        axes.set_xlabel(f"{key.replace('_', ' ')} (dashed: mean of the shifts)")
        axes.grid(alpha=0.3)
    panels[0].legend(fontsize=9)
    figure.savefig(path, dpi=200)


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
    args.output_dir.mkdir(parents=True, exist_ok=True)
    models = {}
    for name, source in args.names.items():
        models[name] = measure(source, splits[args.split], args.split, args.images)
        if args.write_to_model:
            write_json(Path(source) / ROBUSTNESS, models[name])
            print(f"For the card of {source}: python -m training.card {source}")
    write_json(args.output_dir / ROBUSTNESS, models)
    (args.output_dir / "robustness.md").write_text(table(models) + "\n")
    plot(args.output_dir / "robustness.png", models)
    print(table(models))


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
    args.names = dict(zip(names_of([*map(Path, args.models)]), args.models))
    return args


if __name__ == "__main__":
    main()
