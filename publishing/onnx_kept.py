"""ONNX files and their parity, kept beside the run until model, data or versions change."""

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path

import numpy as np

from . import PublishError

PLACE, RECORD = "onnx", "parity.json"
NAMES = ("model.onnx", "model_int8.onnx")
OF_THE_MODEL = ("model.safetensors", "config.json", "preprocessor_config.json")
PACKAGES = ("torch", "transformers", "timm", "onnx", "onnxruntime", "onnxscript")
CODE = (
    *Path(__file__).parents[1].joinpath("modeling").glob("*_fer_efficientnet.py"),
    Path(__file__).with_name("onnx_export.py"),
)
ACCURACY_TOLERANCE = 0.005  # copies of FER-2013 differ in a few pixels


def onnx_with_parity(
    run: Path,
    folder: Path,
    flags: Mapping,
    data_fingerprint: str,
    dataset: str | None,
    say: Callable[[str], None],
) -> dict:
    """
    Writes onnx/ to `folder`: the files kept in `run`, or new ones, which are then kept there.

    Args:
        folder: the staged model.
        flags: of the run, by name. data_fingerprint: of its data.
        dataset: faces to take instead of the run's. None also takes kept files of other faces.
        say: is told in one line which of the two happened.

    Returns:
        Parity, as `onnx_export.make_onnx` gives it.

    Raises:
        PublishError: there are no faces, or the weights are not those of all_results.json.
    """
    key = {
        "model": _digest(run / name for name in OF_THE_MODEL),
        "code": _digest(sorted(CODE)),
        "data": data_fingerprint,
        "faces": dataset and _of_files(Path(dataset).expanduser()),
    } | {name: _version(name) for name in PACKAGES}
    kept = _read(run / PLACE)
    changed = _changed(kept, key)
    if not changed:
        check_accuracy(run, kept["parity"])
        shutil.copytree(run / PLACE, folder / PLACE, ignore=lambda _, names: {*names} - {*NAMES})
        say(f"ONNX files and parity: reused from {run / PLACE}; what they depend on is unchanged.")
        return kept["parity"]
    from .onnx_export import make_onnx

    parity = make_onnx(run, folder, flags, dataset)
    made = f"made again ({', '.join(changed)} changed)" if kept else "made"
    try:
        _keep(folder / PLACE, run / PLACE, key, parity)
        say(f"ONNX files and parity: {made} and kept in {run / PLACE}.")
    except OSError as error:
        say(f"ONNX files and parity: {made}, but not kept beside the run ({error}).")
    return parity


def check_accuracy(run: Path, parity: Mapping) -> None:
    """On the images that the report is about, the accuracy must be the report's."""
    results = json.loads((run / "all_results.json").read_text())
    if parity["counts"] != np.sum(results["eval_confusion_matrix"], axis=1).tolist():
        return  # other images
    accuracy = parity["rows"][0]["accuracy"]
    if not abs(accuracy - results["eval_accuracy"]) < ACCURACY_TOLERANCE:
        raise PublishError(
            f"{run}: its weights have an accuracy of {accuracy:.4f}, but all_results.json says "
            f"{results['eval_accuracy']:.4f}. Are weights and report of the same run?"
        )


def _changed(kept: dict | None, key: Mapping) -> list[str]:
    """Parts of the key that differ from the kept files', by name."""
    if kept is None:
        return ["everything"]
    different = [name for name in key if kept["key"].get(name) != key[name]]
    return [name for name in different if name != "faces" or key["faces"]]


def _read(place: Path) -> dict | None:
    """What is kept there, if it is whole."""
    try:
        kept = json.loads((place / RECORD).read_text())
        whole = all(_digest([place / name]) == kept["files"][name] for name in NAMES)
        return kept if whole and {"key", "parity"} <= {*kept} else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _keep(made: Path, place: Path, key: Mapping, parity: Mapping) -> None:
    place.mkdir(exist_ok=True)
    for name in NAMES:
        shutil.copyfile(made / name, place / name)
    files = {name: _digest([made / name]) for name in NAMES}
    record = {"key": key, "files": files, "parity": parity}
    (place / RECORD).write_text(json.dumps(record, indent=1) + "\n")


def _digest(files: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        content = file.read_bytes()
        digest.update(f"{file.name} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def _of_files(source: Path) -> str:
    """Changes with name, sizes and times of a local source, and with the name of another."""
    lines = [str(source.resolve() if source.exists() else source)]
    for file in sorted(source.rglob("*")) if source.is_dir() else [source]:
        if file.is_file():
            stat = file.stat()
            lines.append(f"{file.relative_to(source)} {stat.st_size} {stat.st_mtime_ns}")
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
