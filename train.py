"""
Train an EfficientNet on FER-2013 with its class imbalance treated, measure it, and write a folder
ready for the Hub.

  drawn faces, no data needed
    python train.py configs/quickstart.yaml
  FER-2013 from Kaggle's CSV: the first stage of the model that ships (all of them: make model)
    python train.py configs/model/1_scratch.yaml --dataset fer2013.csv --ferplus_csv fer2013new.csv
  the paper's three treatments
    python train.py configs/paper_undersampling.yaml --dataset fer2013.csv
    python train.py configs/paper_weighted.yaml --dataset fer2013.csv
    python train.py configs/paper_focal.yaml --dataset fer2013.csv          # or paper_focal_alpha
  any loss with any sampling
    python train.py configs/imbalance.yaml --dataset fer2013.csv --pretrained --loss logit_adjusted
  a loss of your own (docs/treatments.md)
    python train.py configs/imbalance.yaml --dataset fer2013.csv --loss path/to/file.py:ClassName
  several GPUs
    accelerate launch --multi_gpu train.py configs/model/1_scratch.yaml --dataset fer2013.csv \\
      --ferplus_csv fer2013new.csv
  go on with a run that was stopped or killed: the same command and
    --resume_from_checkpoint true
  measure a saved model
    python train.py --evaluate_only --model_name_or_path DIR --dataset fer2013.csv

A recipe is a YAML file of `flag: value`; flags on the command line override it. What it leaves in
--output_dir: config.json, model.safetensors, preprocessor_config.json, the modeling code and the
face detector, model.onnx and onnx.json (where `.[publish]` is installed),
README.md (the model card), all_results.json, data_report.json, run.yaml, confusion_matrix.png,
class_distribution.png, training_curves.png.
"""

import os
import sys

from training.console import show_messages
from training.early_checks import check_paths
from training.errors import DataError, TrainingError


def main(argv: list[str] | None = None) -> None:
    argv = sys.argv[1:] if argv is None else argv
    check_paths(argv)
    from training.arguments import parse_arguments  # torch and transformers: seconds

    args = parse_arguments(__doc__, argv)
    show_messages(main_process=args.training.process_index == 0)
    from training.checkpoints import how_to_resume
    from training.run import run

    try:
        run(args, argv)
    except KeyboardInterrupt:
        if args.training.process_index == 0:
            print(f"train.py: stopped. {how_to_resume(args.training.output_dir)}", file=sys.stderr)
        raise SystemExit(130) from None


if __name__ == "__main__":
    try:
        main()
    except ModuleNotFoundError as error:
        raise SystemExit(f"train.py: {error}. It needs pip install '.[train]'.") from None
    except (DataError, TrainingError) as error:
        of_all = isinstance(error, DataError) or error.__cause__ is None
        if of_all and os.environ.get("RANK", "0") != "0":
            raise SystemExit(1) from None  # the main process prints it
        raise SystemExit(f"train.py: {error}") from None
