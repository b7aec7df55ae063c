"""
The file of `training.data.pack`, which holds a data set decoded.

For each split, a safetensors file holds `<split>.images`, `<split>.labels` (uint8) and, where the
data have them, `<split>.votes`. Images are uint8 (N, C, H, W), pixel for pixel what the source has
after decoding, and compressed: 57 MB for all of FER-2013. The header has the class names, the
splits with the shapes of their images, and what was left out.
"""

import hashlib
import json
import zlib
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ..early_checks import dataset_problem
from ..wording import first_line
from .arguments import DataArguments
from .faces import FaceDataset
from .schema import DataError

FORMAT = "fer-efficientnet faces 1"
DECIDED = ("classes", "label_source")  # flags that are settled when data are packed
DAMAGE = (zlib.error, ValueError, KeyError, TypeError)  # what a changed byte may lead to
REFUSED = ("label_names", "ferplus_csv", "skip_bad_rows")  # flags of no use to a packed file


def write_packed(file: Path, splits: dict[str, FaceDataset], about: dict) -> None:
    """about: goes into the header: the values of `DECIDED`, and `left_out` of `load_splits`."""
    tensors, shapes = {}, {}
    for name, faces in splits.items():
        shapes[name] = list(faces.images.shape)
        tensors[f"{name}.images"] = torch.from_numpy(_compress(faces.images.numpy()))
        tensors[f"{name}.labels"] = faces.labels.to(torch.uint8)
        if faces.votes is not None:
            counts = faces.votes.to(torch.uint8)  # where that changes nothing
            fit = torch.equal(counts.float(), faces.votes)
            tensors[f"{name}.votes"] = counts if fit else faces.votes
    label_names = next(iter(splits.values())).label_names
    about = about | {"label_names": label_names, "splits": shapes, "digest": _digest(tensors)}
    header = {"format": FORMAT, **{key: json.dumps(value) for key, value in about.items()}}
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, file, metadata=header)


def read_packed(arguments: DataArguments, left_out: dict) -> dict[str, FaceDataset]:
    """
    The splits of the file that `--dataset` names.

    Args:
        left_out: what was left out on packing is noted here.

    Raises:
        DataError: the file is missing, cut off or of something else, or a flag asks for what only
            packing decides.
    """
    file = Path(arguments.dataset).expanduser()
    if problem := dataset_problem(arguments.dataset):
        raise DataError(problem)
    try:
        with safe_open(file, "pt") as stored:
            header = stored.metadata() or {}
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}
    except (OSError, SafetensorError) as error:  # cut off, say
        raise DataError(f"{file}: not a whole safetensors file ({first_line(error)}).") from error
    if header.get("format") != FORMAT:
        raise DataError(
            f"{file}: expected the format {FORMAT!r}, but found {header.get('format')!r}. "
            "`python -m training.data.pack` writes such a file."
        )
    try:
        about = {key: json.loads(value) for key, value in header.items() if key != "format"}
        if about.get("digest", digest := _digest(tensors)) != digest:  # older files have none
            raise ValueError("its checksum is another")
        splits = _splits(tensors, about)
        left_out.update(about["left_out"])
    except DAMAGE as error:
        raise DataError(
            f"{file}: damaged since it was packed ({first_line(error)}). Copy it again, or pack "
            "the data again."
        ) from error
    _check_flags(arguments, about)
    return splits


def _digest(tensors: dict[str, torch.Tensor]) -> str:
    found = hashlib.blake2b(digest_size=16)
    for name in sorted(tensors):
        found.update(tensors[name].numpy().tobytes())
    return found.hexdigest()


def _splits(tensors: dict[str, torch.Tensor], about: dict) -> dict[str, FaceDataset]:
    splits = {}
    for name, shape in about["splits"].items():
        votes = tensors.get(f"{name}.votes")
        splits[name] = FaceDataset(
            torch.from_numpy(_decompress(tensors[f"{name}.images"].numpy(), shape)),
            tensors[f"{name}.labels"].long(),
            None if votes is None else votes.float(),
            label_names=about["label_names"],
        )
    return splits


def _check_flags(arguments: DataArguments, about: dict) -> None:
    again = "Pack the data again with that flag"
    for name in REFUSED:
        if getattr(arguments, name):
            raise DataError(
                f"{arguments.dataset}: --{name} is decided when data are packed. {again}, and "
                "leave it out here."
            )
    for name in DECIDED:
        if (wanted := getattr(arguments, name)) != about[name]:
            raise DataError(
                f"{arguments.dataset} was packed with --{name} {about[name]}, but the run has "
                f"--{name} {wanted}. {again}, or give the file's."
            )


def _compress(images: np.ndarray) -> np.ndarray:
    """uint8 (N, C, H, W) -> (bytes,): the difference of each pixel from its prediction, packed."""
    padded = _padded(images.shape)
    padded[..., 1:, 1:] = images
    left, up, corner = padded[..., 1:, :-1], padded[..., :-1, 1:], padded[..., :-1, :-1]
    differences = images - _predict(left, up, corner)  # modulo 256
    # There are no repetitions to search for: ten times as fast without, and smaller.
    packer = zlib.compressobj(9, strategy=zlib.Z_HUFFMAN_ONLY)
    return np.frombuffer(packer.compress(differences.tobytes()) + packer.flush(), np.uint8).copy()


def _decompress(packed: np.ndarray, shape: list[int]) -> np.ndarray:
    """The inverse of `_compress`: pixel by pixel, all images at once."""
    differences = np.frombuffer(zlib.decompress(packed.tobytes()), np.uint8).reshape(shape)
    differences = np.ascontiguousarray(differences.transpose(2, 3, 0, 1))  # (H, W, N, C)
    height, width, *rest = differences.shape
    padded = np.zeros((height + 1, width + 1, *rest), np.uint8)
    for y in range(height):
        for x in range(width):
            left, up, corner = padded[y + 1, x], padded[y, x + 1], padded[y, x]
            padded[y + 1, x + 1] = differences[y, x] + _predict(left, up, corner)
    return np.ascontiguousarray(padded[1:, 1:].transpose(2, 3, 0, 1))


def _padded(shape: tuple[int, ...]) -> np.ndarray:
    """Zeros with a row above and a column to the left."""
    return np.zeros((*shape[:2], shape[2] + 1, shape[3] + 1), np.uint8)


def _predict(left: np.ndarray, up: np.ndarray, corner: np.ndarray) -> np.ndarray:
    """left + up - corner, clamped between left and up: the predictor of lossless JPEG-LS."""
    plane = left.astype(np.int16) + up - corner
    return np.maximum(np.minimum(left, up), np.minimum(np.maximum(left, up), plane)).astype(
        np.uint8
    )
