"""
Undersampling of 10 million labels beside imbalanced-learn's, and Kaggle's CSV read cold and cached.

    python benchmarks/data_loading.py

Both undersamplers get the same int64 array and keep the same number of each class; they run in
turn, five times. The CSV has FER-2013's size (35,887 rows of 2,304 random pixels, 296 MB) and is
made in a temporary folder.
"""

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from imblearn.under_sampling import RandomUnderSampler

sys.path.insert(0, str(Path(__file__).parents[1]))
from training.data import PUBLISHED_COUNTS  # noqa: E402
from training.treatments import undersample  # noqa: E402

LABELS = 10_000_000


def seconds(function) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def compare_undersampling() -> None:
    counts = np.array(PUBLISHED_COUNTS["train"])
    labels = np.random.default_rng(0).choice(7, LABELS, p=counts / counts.sum())
    rows = np.arange(LABELS)[:, None]
    theirs = RandomUnderSampler(random_state=0)
    pairs = [
        (
            seconds(lambda: undersample(labels, "min", seed=0)),
            seconds(lambda: theirs.fit_resample(rows, labels)),
        )
        for _ in range(6)
    ][1:]
    ours, other = (statistics.median(column) for column in zip(*pairs))
    ratio = statistics.median(b / a for a, b in pairs)
    print(f"undersampling {LABELS:,} labels to the smallest class, median of 5:")
    print(f"  training.treatments.undersample               {ours:.2f} s")
    print(f"  imblearn RandomUnderSampler        {other:.2f} s ({ratio:.1f} times as long)")


def write_csv(path: Path) -> None:
    rng = np.random.default_rng(0)
    usages = {"train": "Training", "validation": "PublicTest", "test": "PrivateTest"}
    with open(path, "w") as file:
        file.write("emotion,pixels,Usage\n")
        for split, counts in PUBLISHED_COUNTS.items():
            for label, count in enumerate(counts):
                for face in rng.integers(0, 256, (count, 48 * 48)):
                    file.write(f"{label},{' '.join(map(str, face.tolist()))},{usages[split]}\n")


def time_csv(folder: Path) -> None:
    os.environ["HF_DATASETS_CACHE"] = str(folder / "cache")
    import datasets

    datasets.config.HF_DATASETS_CACHE = folder / "cache"
    from training.data import load_fer2013

    path = folder / "fer2013.csv"
    write_csv(path)
    print(f"fer2013.csv, {path.stat().st_size / 1e6:.0f} MB:")
    print(f"  cold    {seconds(lambda: load_fer2013(str(path))):.1f} s")
    print(f"  cached  {seconds(lambda: load_fer2013(str(path))):.1f} s")


def main() -> None:
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    print(f"Python {platform.python_version()}, numpy {np.__version__}, {os.cpu_count()} CPU cores")
    compare_undersampling()
    with tempfile.TemporaryDirectory() as folder:
        time_csv(Path(folder))


if __name__ == "__main__":
    main()
