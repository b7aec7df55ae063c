"""The flags that say what is trained and evaluated on."""

from dataclasses import dataclass
from typing import Literal

from ..flags import arg, check_range
from .schema import DEFAULT_SOURCE


@dataclass
class DataArguments:
    """What is trained and evaluated on."""

    _argument_group_name = "data"

    dataset: str = arg(
        DEFAULT_SOURCE,
        "fer2013.csv, a folder of images by class, a folder of parquet files, a Hub id, a packed "
        "FILE.safetensors (python -m training.data.pack), or 'synthetic' (drawn faces).",
    )
    dataset_revision: str | None = arg(
        None, "Revision of a Hub data set; the default source has its own pinned one."
    )
    dataset_name: str | None = arg(
        None,
        "Name of the data on the model card, in words or as a Hub id, if they are neither FER-2013 "
        "nor from the Hub.",
    )
    classes: Literal["fer2013", "any"] = arg(
        "fer2013",
        "'fer2013' expects its seven classes, or other words for them (anger, happiness, ...); "
        "'any' takes the classes of the data, 2 to 64, in their own order.",
    )
    label_names: list[str] = arg(
        [],
        "Class names by id, for data whose labels or folders are numbers; with --classes any also "
        "another order of the names.",
    )
    label_source: Literal["dataset", "ferplus"] = arg(
        "dataset",
        "'ferplus' takes the majority of the FER+ votes as label: FER-2013's seven classes and "
        "contempt. Images without a majority or without a face are left out.",
    )
    ferplus_csv: str | None = arg(
        None, "FER+ votes for Kaggle's CSV: fer2013new.csv of github.com/microsoft/FERPlus."
    )
    skip_bad_rows: bool = arg(
        False,
        "Leave out rows and files that cannot be used and list them in data_report.json, "
        "instead of stopping at the first.",
    )
    split: Literal["official", "paper"] = arg(
        "official",
        "'official' keeps the data's splits; "
        "'paper' pools them, takes up to N images of each class and splits them 70/30.",
    )
    paper_samples_per_class: int = arg(4000, "Most images of each class with --split paper.")
    eval_split: Literal["train", "development", "validation", "test"] | None = arg(
        None, "Split to evaluate. Default: validation; with --split paper: test."
    )
    validation_share: float = arg(
        0.1,
        "Share of the training images that becomes the validation split where the data have none, "
        "sampled in each class, identical images on one side.",
    )
    development_share: float = arg(
        0.0,
        "Hold this share of the training images out as the split 'development', stratified, "
        "identical images on one side. Checkpoint, temperature and threshold are then chosen there "
        "instead of on the validation split, and with --eval_split development so is all you try.",
    )
    split_seed: int = arg(
        0,
        "Seed of the splits that are made: --validation_share, --development_share, --split paper. "
        "Runs that build on each other need the same one, whatever their --seed.",
    )
    drop_eval_copies: bool = arg(
        False,
        "Remove training images that are pixel-for-pixel copies of images held out from training: "
        "of the validation and the test split, whichever is evaluated.",
    )
    memory_gb: float = arg(
        4.0,
        "Decoded images are held in memory up to this many GB in each process; more of them are "
        "read from a file beside --output_dir, which is gone when the run ends.",
    )
    synthetic_images: int = arg(5000, "Training images drawn by --dataset synthetic.")
    synthetic_seed: int = arg(0, "Seed of --dataset synthetic.")

    def __post_init__(self):
        check_range(self, "paper_samples_per_class", 2, float("inf"))
        check_range(self, "synthetic_images", 1, float("inf"))
        check_range(self, "development_share", 0, 1)
        check_range(self, "memory_gb", 0, float("inf"))
        if not 0 < self.validation_share < 1:
            raise ValueError(
                f"--validation_share must be in (0, 1), but it is {self.validation_share}."
            )
        if self.label_source == "ferplus" and self.classes == "any":
            raise ValueError(
                "--label_source ferplus has classes of its own; leave out --classes any."
            )
        if self.split == "paper" and self.eval_split not in (None, "development", "test"):
            raise ValueError(
                "--split paper has a train and a test part, "
                f"but --eval_split is {self.eval_split!r}."
            )
        if self.eval_split == "development" and not self.development_share:
            raise ValueError("--eval_split development needs --development_share, 0.1 say.")
        if self.eval_split is None:
            self.eval_split = "test" if self.split == "paper" else "validation"
