"""
Puts what was measured into the pages that show it: every table of benchmarks/results, and what
model/ reaches, between <!-- NAME --> and <!-- /NAME --> of README and RESULTS; and the comparison
of treatments into the Space.

    python -m benchmarks.pages
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from training.data import LABELS
from training.evaluation import copied_splits
from training.markdown import markdown_table

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
README, RESULTS_PAGE = ROOT / "README.md", ROOT / "benchmarks" / "RESULTS.md"
MODEL = ROOT / "model"
MEASURES = ("accuracy", "macro_f1", "balanced_accuracy", "recall_disgust", "precision_disgust")


def blocks() -> dict[str, str]:
    """Every text by the name of its marks."""
    tables = {file.stem: file.read_text().strip() for file in sorted(RESULTS.glob("*.md"))}
    evaluations = [
        json.loads(file.read_text())
        for file in (MODEL / "test_results.json", MODEL / "all_results.json")
        if file.is_file()
    ]
    robustness = json.loads((MODEL / "robustness.json").read_text())
    return tables | {
        "model_results": model_table(evaluations),
        "model_excerpt": f"{model_sentences(evaluations)} {robustness_sentence(robustness)}",
        "prior_excerpt": prior_sentence(evaluations[0]),
    }


def model_table(evaluations: list[Mapping]) -> str:
    """Markdown: what model/ reaches on each split, without copies, and under equal shares."""
    rows = []
    for results in evaluations:
        split = results["eval_split"]
        for title, prefix, suffix in (
            (split, "", ""),
            (f"{split} without copies of {copied_splits(results)}", "", "_without_copies"),
            (f'{split}, `prior="uniform"`', "uniform_prior_", ""),
        ):
            interval = results.get(f"eval_{prefix}accuracy_ci95{suffix}")
            brackets = f" [{interval[0]:.3f}, {interval[1]:.3f}]" if interval else ""
            values = [results.get(f"eval_{prefix}{name}{suffix}") for name in MEASURES]
            shown = ["" if value is None else f"{value:.3f}" for value in values]
            images = f"{results[f'eval_samples{suffix}']:,}"
            rows.append([title, images, shown[0] + brackets, *shown[1:]])
    header = ["split", "images", "accuracy", "macro-F1", "balanced accuracy", "recall of disgust",
              "precision of disgust"]  # fmt: skip
    return markdown_table(header, rows)


def model_sentences(evaluations: list[Mapping]) -> str:
    """The first evaluation in full, a second one in short."""
    first, *others = evaluations
    low, high = first["eval_accuracy_ci95"]
    text = (
        f"On FER-2013's {first['eval_split']} split it reaches an accuracy of "
        f"{first['eval_accuracy']:.3f} [{low:.3f}, {high:.3f}] and a macro-F1 of "
        f"{first['eval_macro_f1']:.3f}, with a calibration error of {first['eval_ece']:.3f} "
        f"({without_copies(first)} without copies of {copied_splits(first)})."
    )
    for results in others:
        text += (
            f" On the {results['eval_split']} split, on which it was chosen, these are "
            f"{results['eval_accuracy']:.3f} and {results['eval_macro_f1']:.3f} "
            f"({without_copies(results)})."
        )
    return text


def without_copies(results: Mapping) -> str:
    accuracy, macro_f1 = (
        results[f"eval_{name}_without_copies"] for name in ("accuracy", "macro_f1")
    )
    return f"{accuracy:.3f} and {macro_f1:.3f}"


def robustness_sentence(robustness: Mapping) -> str:
    shifts = len(robustness["shifts"]) - 1
    return (
        f"Under other crops, resolutions and light, accuracy is "
        f"{robustness['mean']['accuracy']:.3f} on average over "
        f"[{shifts} shifts](benchmarks/RESULTS.md#other-crops-other-light)."
    )


def prior_sentence(results: Mapping) -> str:
    """What `prior="uniform"` gains and costs."""

    def change(name: str) -> str:
        return f"{results[f'eval_{name}']:.3f} to {results[f'eval_uniform_prior_{name}']:.3f}"

    confusion = results["eval_uniform_prior_confusion_matrix"]  # true class by row
    disgust = LABELS.index("disgust")
    said = sum(row[disgust] for row in confusion)
    return (
        f'With `prior="uniform"`, on the {results["eval_split"]} split, recall of *disgust* rises '
        f"from {change('recall_disgust')}. Its precision falls from {change('precision_disgust')} "
        f"({said} images are called so, {sum(confusion[disgust])} are), accuracy from "
        f"{change('accuracy')} and macro-F1 from {change('macro_f1')}."
    )


def fill(page: Path, name: str, text: str) -> str:
    """The page's text with `text` between the marks, if it has them."""
    begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    content = page.read_text()
    if begin not in content:
        return content
    before, rest = content.split(begin)
    return before + begin + text.strip() + "\n" + end + rest.split(end, 1)[1]


def main() -> None:
    for page in (README, RESULTS_PAGE):
        for name, text in blocks().items():
            page.write_text(fill(page, name, text))
    for suffix in (".md", ".json"):
        made = RESULTS / f"imbalance_official{suffix}"
        shutil.copyfile(made, ROOT / "space" / f"imbalance{suffix}")


if __name__ == "__main__":
    main()
