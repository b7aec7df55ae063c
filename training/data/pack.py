"""
A data set in one file, decoded, to be trained on where `datasets` is not installed:

    python -m training.data.pack --dataset fer2013.csv --ferplus_csv fer2013new.csv \\
        --out fer2013.safetensors
    python train.py RECIPE.yaml --dataset fer2013.safetensors
"""

from pathlib import Path

from transformers import HfArgumentParser

from .. import modeling
from .arguments import DataArguments
from .decoding import decode_splits
from .loading import load_splits
from .packed import DECIDED, write_packed
from .schema import DataError


def main(argv: list[str] | None = None) -> None:
    parser = HfArgumentParser(DataArguments, prog="training.data.pack", allow_abbrev=False)
    parser.add_argument("--out", type=Path, required=True, help="FILE.safetensors")
    parser.add_argument(
        "--num_channels", type=int, default=1, choices=(1, 3), help="Of the images: grey or RGB."
    )
    arguments, options = parser.parse_args_into_dataclasses(argv)
    if options.out.suffix != ".safetensors":
        parser.error(f"--out must end in .safetensors, by which --dataset knows it: {options.out}")
    left_out: dict = {}
    splits = load_splits(arguments, left_out)
    processor = modeling.FerEfficientNetImageProcessor(num_channels=options.num_channels)
    decoded = decode_splits(splits, processor, left_out.get("skipped_rows"))
    decided = {name: getattr(arguments, name) for name in DECIDED}
    write_packed(options.out, decoded, decided | {"left_out": left_out})
    sizes = ", ".join(f"{name} {len(faces)}" for name, faces in decoded.items())
    megabytes = options.out.stat().st_size / 1e6
    print(f"{options.out}: {sizes} images, {megabytes:.1f} MB; use it with --dataset {options.out}")


if __name__ == "__main__":
    try:
        main()
    except DataError as error:
        raise SystemExit(f"training.data.pack: {error}") from None
