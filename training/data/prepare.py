"""From stored splits to decoded and audited ones, with a validation split."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from transformers.utils import logging

from .. import modeling
from .arguments import DataArguments
from .audit import audit, summary_line
from .decoding import decode_splits
from .faces import FaceDataset
from .image_store import storage_line
from .loading import class_names, load_splits
from .splits import lacks_validation, with_validation

if TYPE_CHECKING:
    from datasets import Dataset

logger = logging.get_logger(__name__)


def prepare_splits(
    splits: "Mapping[str, Dataset | FaceDataset]",
    arguments: DataArguments,
    processor: modeling.FerEfficientNetImageProcessor,
    left_out: dict,
    *,
    side: int,
    folder: Path,
) -> tuple[dict[str, FaceDataset], dict]:
    """
    Decoded splits, and the audit of the whole data set for data_report.json.

    Args:
        splits, left_out: of `load_splits`; more is noted in `left_out`.
        side: pixels at which images are stored, unless `ImageStore` keeps them as they are.
        folder: where a file may be made for images beyond --memory_gb; it need not exist yet.
    """
    skipped, folder = left_out.get("skipped_rows"), folder.absolute()
    decoded = decode_splits(
        splits,
        processor,
        skipped,
        side=side,
        memory_gb=arguments.memory_gb,
        folder=next(path for path in (folder, *folder.parents) if path.is_dir()),
        record=left_out,
    )
    # packed data have no such record: they stay as they are
    if "held_images" in left_out and (line := storage_line(left_out["held_images"])):
        logger.info(line)
    if lacks_validation(decoded, arguments):
        share, seed = arguments.validation_share, arguments.split_seed
        decoded = with_validation(decoded, share, seed=seed)
        left_out["validation_made"] = {"of": "train", "share": share, "seed": seed}
    report = audit(decoded, class_names(splits)) | {"skipped_rows": []} | left_out
    logger.info(summary_line(report))
    if skipped:
        logger.info(
            f"Left out {len(skipped)} rows that cannot be used, listed in data_report.json:"
        )
        logger.info("\n".join(f"  {message}" for message in skipped[:3]))
    return decoded, report


def load_faces(
    dataset: str, *, image_size: int = 48, num_channels: int = 1, **options
) -> dict[str, FaceDataset]:
    """
    The splits of a data set, decoded, for FerTrainer; with a validation split in any case.

    Args:
        dataset: as `--dataset` takes it: Kaggle's CSV, a folder, a Hub id, ...
        image_size, num_channels: of the network that they are for.
        options: the other fields of `DataArguments`: `classes="any"`, `ferplus_csv`, ...

    Raises:
        DataError: the data are not there or not understood.
    """
    arguments, left_out = DataArguments(dataset=dataset, **options), {}
    processor = modeling.FerEfficientNetImageProcessor(size=image_size, num_channels=num_channels)
    stored = load_splits(arguments, left_out)
    return prepare_splits(stored, arguments, processor, left_out, side=image_size, folder=Path())[0]
