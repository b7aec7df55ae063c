"""The paper's protocol: our accuracies beside the paper's."""

import statistics
from collections.abc import Mapping, Sequence

from scipy.stats import ttest_1samp

from benchmarks.imbalance_rows import title
from benchmarks.runs import Runs
from training.markdown import markdown_table

PAPER_ACCURACY = {
    "undersampling": 0.494286,
    "weighted_bce": 0.498982,
    "focal": 0.558316,
    "focal_alpha": 0.558316,
}


def values(runs: Sequence[Mapping], key: str) -> list[float]:
    return [run[key] for run in runs if key in run]


def cell(numbers: Sequence[float]) -> str:
    mean = f"{statistics.mean(numbers):.3f}"
    return f"{mean} ± {statistics.stdev(numbers):.3f}" if len(numbers) > 1 else f"{mean} (one seed)"


def paper_text(runs: Runs) -> str:
    header = ["treatment", "the paper", "accuracy", "without copies", "balanced accuracy",
              "macro-F1", "recall of disgust", "seeds"]  # fmt: skip
    keys = ["accuracy", "accuracy_without_copies", "balanced_accuracy", "macro_f1",
            "recall_disgust"]  # fmt: skip
    rows = [
        [title(row), f"{PAPER_ACCURACY[row]:.3f}"]
        + [cell(values(of_row, f"eval_{key}")) for key in keys]
        + [str(len(of_row))]
        for row, of_row in runs.items()
    ]
    every = [run for of_row in runs.values() for run in of_row]
    sizes = " or ".join(f"{size:,}" for size in sorted({run["eval_samples"] for run in every}))
    lost = statistics.mean(
        run["eval_accuracy"] - run["eval_accuracy_without_copies"] for run in every
    )
    recipes = ", ".join(f"`{recipe}`" for recipe in dict.fromkeys(r["arguments"][0] for r in every))
    return "\n\n".join(
        [
            markdown_table(header, rows),
            f"Mean ± standard deviation over seeds, each with its own split, over {sizes} images "
            f"of the test part, results of the last step; on "
            f"{'; '.join(sorted({run['machine'] for run in every}))}. Recipes: {recipes}. Without "
            f"the test images that are copies of training images, accuracy is {lost:.3f} lower on "
            "average.",
            "\n".join(paper_sentence(row, of_row) for row, of_row in runs.items()),
        ]
    )


def paper_sentence(row: str, of_row: Sequence[Mapping]) -> str:
    accuracies, paper = values(of_row, "eval_accuracy"), PAPER_ACCURACY[row]
    mean, seeds = statistics.mean(accuracies), len(accuracies)
    start = f"- {title(row)}: {mean:.3f} against the paper's {paper:.3f}, {mean - paper:+.3f}"
    if seeds == 1:
        return f"{start}; one seed."
    low, high = (end - paper for end in ttest_1samp(accuracies, paper).confidence_interval())
    return f"{start} [{low:+.3f}, {high:+.3f}] over seeds: {verdict(accuracies, paper)}."


def verdict(accuracies: Sequence[float], paper: float) -> str:
    """Whether the mean over seeds differs from the paper's by more than chance (a t-test)."""
    where = "above" if statistics.mean(accuracies) > paper else "below"
    if len(accuracies) > 1 and ttest_1samp(accuracies, paper).pvalue < 0.05:
        return where
    return f"level with it, in the mean {where}"


def paper_excerpt(runs: Runs) -> str:
    parts = []
    for row, of_row in runs.items():
        accuracies, paper = values(of_row, "eval_accuracy"), PAPER_ACCURACY[row]
        mean, name = statistics.mean(accuracies), title(row).removesuffix(" (paper)")
        parts.append(f"{name} {mean:.3f} ({paper:.3f}; {verdict(accuracies, paper)})")
    return f"Accuracy under the paper's own protocol (and the paper's): {', '.join(parts)}."
