"""A finished run -> the folder that the Hub gets, checked before anything is sent."""

import json
import re
import shlex
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import quote

import numpy as np
import torch
import yaml
from huggingface_hub import ModelCard
from safetensors import SafetensorError, safe_open

from modeling import (
    FerEfficientNetConfig,
    FerEfficientNetForImageClassification,
    FerEfficientNetImageProcessor,
)
from training.data import encode_png
from training.report import markdown_table, plain, predict_in_clean_process
from training.report.card import figures, robustness_text, usage
from training.report.lineage import flags_of
from training.report.provenance import provenance_of
from training.report.quoted import ROBUSTNESS, quoted_results, quoted_robustness

from . import PublishError
from .onnx_kept import NAMES, PLACE, onnx_with_parity

CODE = Path(__file__).parents[1] / "modeling"
FILES = (
    "model.safetensors",
    "config.json",
    "preprocessor_config.json",
    "all_results.json",
    "data_report.json",
    "run.yaml",  # last: its folders are forgotten value by value
)
INT8_TOLERANCE = 0.005  # of accuracy
PICKLES = {".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".npy", ".npz", ".joblib"}
METADATA = ("license", "library_name", "pipeline_tag", "tags", "metrics", "eval_results")
FOLDERS = re.compile(r"(?<![\w.:/~-])~?/(?:[^/\s'\",:]+/)+")  # of an absolute path


def stage_model(
    run: Path,
    folder: Path,
    *,
    repo_id: str,
    revision: str | None,
    dataset: str | None,
    onnx: bool,
    say: Callable[[str], None],
) -> None:
    """
    Writes what the Hub gets of `run` to `folder`, and checks it.

    Args:
        run: output folder of train.py.
        revision: tag or branch that the card's snippets name; None: the main branch.
        dataset: faces for the 8-bit ranges and for parity; None: the run's own.
        onnx: whether ONNX is part of it.
        say: is told whether ONNX files were made or kept ones taken, and whether test results of
            another model are left out.

    Raises:
        PublishError: a file is missing or is no safe one, the model does not load by remote code
            or predicts otherwise, or the card is not the run's.
    """
    card, quoted = _check_run(run, say)
    shutil.copyfile(run / "model.safetensors", folder / "model.safetensors")
    for name in dict.fromkeys((*FILES[1:-1], *quoted)):
        (folder / name).write_text(FOLDERS.sub("", (run / name).read_text()))
    record = yaml.safe_load((run / "run.yaml").read_text())
    flags = flags_of(record)
    cleaned = yaml.safe_dump(_without_folders(record), sort_keys=False, width=120)
    (folder / "run.yaml").write_text(cleaned)
    for file in CODE.glob("[!_]*.py"):
        shutil.copyfile(file, folder / file.name)
    for picture in re.findall(r"!\[[^\]]*\]\(([\w.-]+)\)", card.text):
        if not (run / picture).is_file():
            raise PublishError(f"{run}: {picture} missing; its card shows it.")
        shutil.copyfile(run / picture, folder / picture)
    _fill_in_card(card, run, flags, repo_id, revision)
    if onnx:
        parity = onnx_with_parity(run, folder, flags, record["data_fingerprint"], dataset, say)
        parity = without_poor_int8(folder, parity, say)
        parts = _onnx_section(folder, parity), _onnx_usage(folder, repo_id, revision)
        heading = "## What it is bad at"
        card.content = card.content.replace(heading, "\n\n".join(("## ONNX", *parts, heading)))
    card.save(folder / "README.md")
    _check_predictions(run, folder)


def without_poor_int8(folder: Path, parity: dict, say: Callable[[str], None]) -> dict:
    """
    Takes the 8-bit file out of the staged model, and its row out of the parity, unless its
    accuracy is within `INT8_TOLERANCE` of PyTorch's.
    """
    *rows, small = parity["rows"]
    exact = rows[0]["accuracy"]
    if small["accuracy"] >= exact - INT8_TOLERANCE - 1e-9:
        return parity
    (folder / PLACE / NAMES[1]).unlink()
    say(
        f"{NAMES[1]} is not published: its accuracy is {small['accuracy']:.4f}, more than "
        f"{INT8_TOLERANCE} below PyTorch's {exact:.4f}."
    )
    return parity | {"rows": rows}


def _without_folders(value):
    """Of run.yaml: absolute paths become names, spaces in them or not."""
    if isinstance(value, dict):
        cleaned = {key: _without_folders(one) for key, one in value.items()}
        if "command" in value:
            words = map(_without_folders, shlex.split(value["command"]))
            cleaned["command"] = shlex.join(words)
        return cleaned
    if isinstance(value, list):
        return [_without_folders(one) for one in value]
    if isinstance(value, str):
        is_path = Path(value).expanduser().is_absolute()
        return Path(value).name if is_path else FOLDERS.sub("", value)
    return value


def _check_run(run: Path, say: Callable[[str], None]) -> tuple[ModelCard, list[str]]:
    """The run's card and the files that it quotes, if the run is fit to be published."""
    if missing := [name for name in (*FILES, "README.md") if not (run / name).is_file()]:
        raise PublishError(
            f"{run}: {', '.join(missing)} missing; expected the output folder of a finished "
            "train.py."
        )
    if unsafe := [file.name for file in run.iterdir() if file.suffix in PICKLES]:
        raise PublishError(
            f"{run}: {', '.join(unsafe)} may run code when loaded and is not published; expected "
            "weights in model.safetensors alone. Remove it."
        )
    try:
        with safe_open(run / "model.safetensors", "pt"):
            pass
    except SafetensorError as error:
        raise PublishError(f"{run}/model.safetensors is not whole: {error}") from error
    try:
        card = ModelCard.load(run / "README.md")
    except (ValueError, yaml.YAMLError) as error:
        raise PublishError(f"{run}/README.md: its metadata cannot be read. {error}") from error
    data = provenance_of(run)
    if data.type is None:
        raise PublishError(
            f"{run}: its card must say what the model was trained on, which is not known. Name the "
            "data in words, or by a Hub id: "
            f"python -m training.report.card {shlex.quote(str(run))} --dataset_name '...'"
        )
    quoted, robustness = quoted_results(run, say), quoted_robustness(run, say)
    _check_card(card, run, quoted, robustness, data.name)
    return card, [*quoted, *([ROBUSTNESS] if robustness else [])]


def _check_card(
    card: ModelCard,
    run: Path,
    quoted: Mapping[str, Mapping],
    robustness: Mapping | None,
    dataset_name: str,
) -> None:
    if missing := [name for name in METADATA if not card.data.get(name)]:
        raise PublishError(
            f"{run}/README.md has no {', '.join(missing)} in its metadata. Make it by train.py."
        )
    again = f"Make it again: python -m training.report.card {run}"
    for found in card.data.eval_results:
        if found.dataset_name != dataset_name:
            raise PublishError(
                f"{run}/README.md says results on {found.dataset_name}, but the run's data are "
                f"{dataset_name}. {again}"
            )
        file = found.source_name or "all_results.json"  # cards of before test_results.json
        name = {"f1": "macro_f1"}.get(found.metric_type, found.metric_type)
        value = quoted.get(file, {}).get(f"eval_{name}")
        if found.metric_value != value:
            raise PublishError(
                f"{run}/README.md says {found.metric_name} {found.metric_value}, but {file} says "
                f"{value}: the card is not of this run. {again}"
            )
    labels = json.loads((run / "config.json").read_text())["id2label"].values()
    expected = figures(quoted, [*labels])
    expected += [robustness_text(robustness)] if robustness else []
    if strange := [words for words in expected if words not in card.text]:
        raise PublishError(
            f"{run}/README.md: expected the figures of {' and '.join(quoted)}, but this is not "
            f"there:\n{strange[0]}\nThe card is not of this run. {again}"
        )
    if ROBUSTNESS in card.text and not robustness:
        raise PublishError(
            f"{run}/README.md quotes {ROBUSTNESS}, which is not there or not of these weights. "
            f"{again}"
        )


def _fill_in_card(
    card: ModelCard, run: Path, flags: Mapping, repo_id: str, revision: str | None
) -> None:
    written = usage(flags.get("hub_model_id") or flags["output_dir"])
    if written not in card.content:
        raise PublishError(
            f"{run}/README.md does not have the usage that train.py wrote; it is made from the "
            "run and not edited by hand."
        )
    card.data.model_name = repo_id.split("/")[-1]
    place = f"https://huggingface.co/{repo_id}/blob/{quote(revision or 'main', safe='')}"
    for found in card.data.eval_results:
        if found.source_name:
            found.source_url = f"{place}/{found.source_name}"
    card.content = str(card).replace(written, usage(repo_id, revision))


def _onnx_section(folder: Path, parity: Mapping) -> str:
    """Of the card: what the files take and give, and their parity."""
    processor = FerEfficientNetImageProcessor.from_pretrained(folder)
    side, channels = processor.size["height"], processor.num_channels
    grey = "grey (ITU-R 601 luma)" if channels == 1 else "RGB"
    names = [*parity["rows"][0]["recalls"]]
    header = ["", "largest difference", "accuracy", *map(plain, names)]
    rows = [
        [row["name"], f"{row['difference']:.2g}", f"{row['accuracy']:.4f}"]
        + [f"{row['recalls'][name]:.3f}" for name in names]
        for row in parity["rows"]
    ]
    small = (
        "`model_int8.onnx` has weights and activations in 8 bits, but for the first two "
        f"convolutions and the classifier, with ranges from {parity['calibration_images']} other "
        "faces. "
    )
    return (
        f"Input `pixel_values`, float32 (N, {channels}, {side}, {side}): the face in {grey}, "
        "resized (bilinear, antialiased), divided by "
        f"255, minus {processor.image_mean}, divided by {processor.image_std}. Output `logits` "
        f"(N, {len(names)}); softmax gives probabilities, in the order {plain(', '.join(names))}. "
        f"{small * (len(rows) == 3)}Parity on the {parity['faces']:,} faces "
        f"of the {parity['split']} split, onnxruntime on the CPU: the largest difference in "
        "a probability from PyTorch's, accuracy, and the recall of each class.\n\n"
        + markdown_table(header, rows)
    )


def _onnx_usage(folder: Path, repo_id: str, revision: str | None) -> str:
    """A snippet without PyTorch: one face after another goes several times as fast."""
    processor = FerEfficientNetImageProcessor.from_pretrained(folder)
    height, width = processor.size["height"], processor.size["width"]
    names = [*FerEfficientNetConfig.from_pretrained(folder).id2label.values()]
    mode = "L" if processor.num_channels == 1 else "RGB"
    pinned = f', revision="{revision}"' if revision else ""
    return f"""One tight face, without PyTorch:

```python
import numpy as np
import onnxruntime
from huggingface_hub import hf_hub_download
from PIL import Image

session = onnxruntime.InferenceSession(hf_hub_download("{repo_id}", "onnx/model.onnx"{pinned}))
face = Image.open("face.png").convert("{mode}").resize(({width}, {height}), Image.BILINEAR)
pixels = np.float32(face).reshape({height}, {width}, {processor.num_channels}).transpose(2, 0, 1)
mean, std = np.float32([{processor.image_mean}, {processor.image_std}])[:, :, None, None]
logits = session.run(["logits"], {{"pixel_values": ((pixels / 255 - mean) / std)[None]}})[0]
probabilities = np.exp(logits[0] - logits.max()) / np.exp(logits[0] - logits.max()).sum()
labels = {names}
print(labels[probabilities.argmax()], dict(zip(labels, probabilities.round(3).tolist())))
```"""


def _check_predictions(run: Path, folder: Path) -> None:
    """The staged folder in a clean process says what the run's weights say here."""
    network = FerEfficientNetForImageClassification.from_pretrained(run).eval()
    processor = FerEfficientNetImageProcessor.from_pretrained(run)
    face = np.random.default_rng(0).integers(0, 256, (48, 48), dtype=np.uint8)
    with torch.inference_mode():
        expected = network(**processor(face, return_tensors="pt")).logits[0].softmax(0)
    found = predict_in_clean_process(folder, encode_png(face))
    largest = max(abs(found[name] - expected[i]) for i, name in network.config.id2label.items())
    if not largest < 1e-4:  # NaN, too
        raise PublishError(
            f"{folder}: remote code gives probabilities that differ from the run's by up to "
            f"{largest:.2g}; expected the same. Was {run} trained with other code?"
        )
