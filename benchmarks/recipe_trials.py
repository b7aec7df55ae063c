"""
What each part of the first stage (configs/model/1_scratch.yaml) brings: the recipe cut short, with
one thing changed a trial.

    python benchmarks/recipe_trials.py --dataset fer2013.csv -- --ferplus_csv fer2013new.csv

Six epochs at 32 px say what helps a network to learn fast. What only prevents overfitting (mixup,
erasing) pays in the full run alone: give the lines of a longer trial with
`--output_dir elsewhere -- --num_train_epochs 42`. Goes on where it was stopped.
"""

import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.imbalance_report import cell, values  # noqa: E402
from benchmarks.runner import argument_parser, read_runs, run_missing  # noqa: E402
from training.report import markdown_table  # noqa: E402

SHORT = ["configs/model/1_scratch.yaml", "--num_train_epochs", "6", "--image_size", "32"]
SHORT += ["--progressive_sizes", "32", "--load_best_model_at_end", "false"]
SHORT += ["--eval_strategy", "no", "--save_strategy", "no"]
TRIALS = {
    "the recipe, cut short": [],
    "AdamW, learning rate 2e-3": ["--timm_optim", "adamw", "--learning_rate", "2e-3"],
    "labels alone, no FER+ votes": ["--ferplus_weight", "0"],
    "label smoothing 0.1, no votes": ["--ferplus_weight", "0", "--label_smoothing", "0.1"],
    "no mixup": ["--mixup", "0"],
    "cutmix 1.0 for mixup": ["--mixup", "0", "--cutmix", "1.0"],
    "no random erasing": ["--augment_erasing", "0"],
    "no averaged weights": ["--ema_decay", "0"],
    "EfficientNet-B0": ["--backbone", "efficientnet_b0"],
    "stem stride 2": ["--stem_stride", "2"],
}
FILES = {name: "".join(c if c.isalnum() else "_" for c in name) for name in TRIALS}


def table(runs: dict[str, list[dict]]) -> str:
    """Markdown: a line for each trial, in the order of TRIALS."""
    rows = []
    for name, file in FILES.items():
        if found := runs.get(file):
            minutes = statistics.mean(values(found, "train_runtime")) / 60
            figures = [cell(values(found, f"eval_{key}")) for key in ("accuracy", "macro_f1")]
            rows.append([name, *figures, f"{minutes:.1f}"])
    machines = sorted({run["machine"] for found in runs.values() for run in found})
    table = markdown_table(["trial", "accuracy", "macro-F1", "minutes"], rows)
    return f"{table}\n\nOn {'; '.join(machines)}."


def main(argv: list[str] | None = None) -> None:
    parser = argument_parser(__doc__)
    parser.set_defaults(seeds=[0])
    args = parser.parse_args(argv)
    folder = args.output_dir / "recipe_trials"

    def report() -> None:
        text = table(read_runs(folder, list(FILES.values())))
        (args.output_dir / "recipe_trials.md").write_text(text + "\n")

    commands = {FILES[name]: [*SHORT, *flags] for name, flags in TRIALS.items()}
    run_missing(commands, args, folder, report)
    print(f"Table and runs: {args.output_dir.resolve()}")


if __name__ == "__main__":
    main()
