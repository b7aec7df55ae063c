"""ONNX files and their parity, kept beside the run until model, data, code or versions change."""

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from importlib import metadata
from pathlib import Path

from training.card.facts import Onnx, OnnxFile

PLACE, RECORD = "onnx", "parity.json"
MODEL_FILES = ("model.safetensors", "config.json", "preprocessor_config.json")
PACKAGES = ("torch", "transformers", "timm", "onnx", "onnxruntime", "onnxscript")
CODE = (
    *Path(__file__).parents[1].joinpath("modeling").glob("*_fer_efficientnet.py"),
    Path(__file__).with_name("onnx_export.py"),
)

logger = logging.getLogger(__name__)


def cached_onnx(
    run: Path, folder: Path, data_fingerprint: str, faces: str | None, make: Callable[[], Onnx]
) -> Onnx:
    """
    Writes onnx/ to `folder`: the files kept in `run`, or new ones, which are then kept there. A
    message says which.

    Args:
        folder: the staged model.
        data_fingerprint: the run's.
        faces: data set to take them from instead of the run's. None also takes kept files that were
            made with other faces.
        make: writes new files to `folder`.
    """
    key = {
        "model": _digest(run / name for name in MODEL_FILES),
        "code": _digest(sorted(CODE)),
        "data": data_fingerprint,
        "faces": faces and _digest_of_source(Path(faces).expanduser()),
    } | {name: _version(name) for name in PACKAGES}
    kept = read_kept(run / PLACE)
    changed = [name for name in key if kept and kept["key"].get(name) != key[name]]
    changed = [name for name in changed if name != "faces" or faces]
    if kept and not changed:
        (folder / PLACE).mkdir()
        for name in kept["files"]:
            shutil.copyfile(run / PLACE / name, folder / PLACE / name)
        logger.info(
            f"ONNX files and parity: reused from {run / PLACE}; what they depend on is unchanged."
        )
        return kept["onnx"]
    onnx = make()
    made = f"made again ({', '.join(changed)} changed)" if changed else "made"
    try:
        _keep(folder / PLACE, run / PLACE, key, onnx)
        logger.info(f"ONNX files and parity: {made} and kept in {run / PLACE}.")
    except OSError as error:
        logger.info(f"ONNX files and parity: {made}, but not kept beside the run ({error}).")
    return onnx


def read_kept(place: Path) -> dict | None:
    """The key, file names and parity of what is kept there, if it is whole."""
    try:
        record = json.loads((place / RECORD).read_text())
        parity = record["parity"]
        onnx = Onnx(**parity | {"files": [OnnxFile(**file) for file in parity["files"]]})
        whole = all(_digest([place / name]) == of for name, of in record["files"].items())
        return {"key": record["key"], "files": record["files"], "onnx": onnx} if whole else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _keep(made: Path, place: Path, key: Mapping, onnx: Onnx) -> None:
    place.mkdir(exist_ok=True)
    digests = {}
    for file in sorted(made.iterdir()):
        shutil.copyfile(file, place / file.name)
        digests[file.name] = _digest([file])
    record = {"key": key, "files": digests, "parity": asdict(onnx)}
    (place / RECORD).write_text(json.dumps(record, indent=1) + "\n")


def _digest(files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        content = file.read_bytes()
        digest.update(f"{file.name} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def _digest_of_source(source: Path) -> str:
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
