"""
The page that runs in the visitor's browser, for one model, as a folder for any static host:

    python space/assemble.py model out
    python -m http.server --directory out       http://localhost:8000
    python space/assemble.py                    only fetches ONNX Runtime Web, for the Space

It holds browser/, ONNX Runtime Web (fetched from npm once, pinned by version and SHA-256), and the
model: model.onnx, face_detection_yunet.onnx, and what else is needed of it as model.json.
"""

import argparse
import hashlib
import io
import json
import math
import os
import shutil
import tarfile
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

from prediction.colors import colors

PAGE = Path(__file__).resolve().parent / "browser"
VERSION = "1.30.0"
RUNTIME = {  # SHA-256
    "ort.wasm.min.mjs": "219e6a1fc8a9938268d18efca3c91d310bd2f4a59bbd13744df5b2b7fc6cee3b",
    "ort-wasm-simd-threaded.mjs": (
        "e13f7f94fc51b4ca72b12faeb1ee95f4ace6dfbc8939bc718aabdc0a27c4299b"
    ),
    "ort-wasm-simd-threaded.wasm": (
        "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2"
    ),
    # with WebGPU
    "ort.jspi.min.mjs": "bc57179d923fda2d88d4a395359c8df44399dde087bf9ff44fc0e40ab398e4d9",
    "ort-wasm-simd-threaded.jspi.mjs": (
        "270e2c6da9f297239d301d329782b6446641cb1e16a77967690adcfca35f3268"
    ),
    "ort-wasm-simd-threaded.jspi.wasm": (
        "a54c76f86b0f0d9572380cf1c6292a7b3903716ffcbcd6b0e5c7050bf430eb93"
    ),
}
NETWORKS = ("model.onnx", "face_detection_yunet.onnx")
DETECTOR = {"threshold": 0.7, "least_face": 16}  # the pipeline's defaults, as the next
LEAST_SIDE = 24  # pixels of a face that may be certain


class NotAssembled(RuntimeError):
    """Something that the page needs is missing; the message says what to do."""


def page_files(model: Path) -> dict[str, Path | bytes]:
    """
    What the page consists of, by its path below the page's address: a file, or its content.

    Args:
        model: a folder that train.py wrote or the Hub holds.

    Raises:
        NotAssembled: a file of the model or the runtime cannot be had.
    """
    check_model(model)
    bring_runtime(PAGE / "runtime")
    files = {
        path.relative_to(PAGE).as_posix(): path
        for path in PAGE.rglob("*")
        if path.is_file() and path.name != "README.md"  # a static Space's
    }
    networks = {name: model / name for name in NETWORKS}
    return files | networks | {"model.json": json.dumps(model_facts(model), indent=1).encode()}


def check_model(model: Path) -> None:
    """Raises NotAssembled if a file that the page needs is missing."""
    for name in (*NETWORKS, "config.json", "preprocessor_config.json"):
        if not (model / name).is_file():
            raise NotAssembled(f"{model}: {name} is missing, without which no browser runs it.")


def bring_runtime(folder: Path) -> None:
    """
    ONNX Runtime Web, unless it is there.

    Raises:
        NotAssembled: npm's registry cannot be reached, or a file is not the one it should be.
    """
    if all(_digest(folder / name) == digest for name, digest in RUNTIME.items()):
        return
    registry = os.environ.get("npm_config_registry", "https://registry.npmjs.org").rstrip("/")
    url = f"{registry}/onnxruntime-web/-/onnxruntime-web-{VERSION}.tgz"
    print(f"Fetching {url}, 33 MB, once", flush=True)
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            package = tarfile.open(fileobj=io.BytesIO(answer.read()))
    except (OSError, tarfile.TarError) as error:
        raise NotAssembled(
            f"ONNX Runtime Web cannot be had from {url} ({error}). Connect to the network once, or "
            f"put {', '.join(RUNTIME)} of that package into {folder}."
        ) from None
    folder.mkdir(exist_ok=True)
    for name, digest in RUNTIME.items():
        content = package.extractfile(f"package/dist/{name}").read()
        if hashlib.sha256(content).hexdigest() != digest:
            raise NotAssembled(f"{url}: {name} is not the file it should be.")
        (folder / name).write_bytes(content)


def _digest(file: Path) -> str | None:
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else None


def model_facts(model: Path) -> dict:
    """model.json: what the page must know of the model beside its networks."""
    config, processor = (
        json.loads((model / f"{name}config.json").read_text()) for name in ("", "preprocessor_")
    )
    classes = [config["id2label"][str(number)] for number in range(len(config["id2label"]))]
    fitted = config.get("calibration") or {}
    shades, side = colors(classes, on_white=True), processor["size"]["height"]
    sizes = [*fitted.get("smaller_faces", ()), {"temperature": 1.0, **fitted, "side": side}]
    return {
        "classes": classes,
        "colors": [shades[label] for label in classes],
        "input": {
            "size": side,
            "channels": processor["num_channels"],
            "mean": processor["image_mean"],
            "std": processor["image_std"],
        },
        "sizes": [  # ascending
            {
                "side": size["side"],
                "temperature": size["temperature"],
                "uncertain_below": size.get("uncertain_below") or 0.0,
            }
            for size in sizes
        ],
        "min_face_size": LEAST_SIDE,
        "priors": prior_shifts(config.get("prior", "learned"), fitted),
        "detector": DETECTOR,
    }


def prior_shifts(own: str | list[float], fitted: Mapping) -> dict[str, list[float]]:
    """
    What each prior, and the model's own, adds to the calibrated logits; {} where the model does not
    know its training set's.
    """
    train = fitted.get("train_distribution")
    if not train:
        return {}
    learned = fitted.get("learned_distribution") or train
    shares = {"train": train, "uniform": [1.0] * len(train), "learned": learned}
    shares["own"] = shares[own] if isinstance(own, str) else own
    before = _log_shares(shares.pop("learned"))
    return {
        name: [after - log for after, log in zip(_log_shares(assumed), before)]
        for name, assumed in shares.items()
    }


def _log_shares(shares: Sequence[float]) -> list[float]:
    return [math.log(max(share / sum(shares), 1e-12)) for share in shares]


def assemble(model: Path, folder: Path) -> None:
    """
    Writes the page for a model to a folder.

    Raises:
        NotAssembled: as for `page_files`.
    """
    for name, content in page_files(model).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            (folder / name).write_bytes(content)
        else:
            shutil.copyfile(content, folder / name)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, nargs="?", help="the model's folder")
    parser.add_argument("folder", type=Path, nargs="?", help="where the page goes")
    args = parser.parse_args()
    if args.model and not args.folder:
        parser.error("expected the model's folder and where the page goes")
    try:
        if not args.model:
            return bring_runtime(PAGE / "runtime")
        assemble(args.model, args.folder)
    except NotAssembled as error:
        raise SystemExit(f"assemble.py: {error}") from None
    size = sum(file.stat().st_size for file in args.folder.rglob("*") if file.is_file())
    print(f"The page, {size / 1e6:.0f} MB: python -m http.server --directory {args.folder}")


if __name__ == "__main__":
    main()
