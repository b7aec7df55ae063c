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
--output_dir: config.json, model.safetensors, preprocessor_config.json and the modeling code,
README.md (the model card), all_results.json, data_report.json, run.yaml, confusion_matrix.png,
class_distribution.png, training_curves.png.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path

from transformers import set_seed

from training.arguments import Arguments, parse_arguments
from training.card import describe
from training.checkpoints import TrainingError, how_to_resume
from training.console import show_messages
from training.data import DataError, RunData, class_names, load_splits, prepare_splits, split_data
from training.evaluation import evaluate, summary
from training.gaps import Gaps
from training.gpu import hold_images
from training.network import build_network
from training.progress import hide_progress_bars
from training.record import (
    LOADING_BACK,
    RunFolder,
    check_output_dir,
    explain_recovery,
    load_back,
    remove_checkpoints_and_logs,
)
from training.refused import refuse_metric
from training.targets import with_votes
from training.trainer import FerTrainer, check_processes, epoch_metrics
from training.treatments import SAMPLINGS, apply_sampling


def main(argv: list[str] | None = None) -> None:
    args = parse_arguments(__doc__, argv)
    show_messages(args.training.process_index == 0)
    try:
        run(args, sys.argv[1:] if argv is None else argv)
    except KeyboardInterrupt:
        if args.training.process_index == 0:
            print(f"train.py: stopped. {how_to_resume(args.training.output_dir)}", file=sys.stderr)
        raise SystemExit(130) from None


def run(args: Arguments, words: list[str]) -> None:
    """words: those after `python train.py`."""
    check_processes(args.training)
    hide_progress_bars(args.training)
    check_output_dir(args)
    set_seed(args.training.seed)
    say = print if args.training.process_index == 0 else lambda *_: None
    left_out: dict = {}
    with args.training.main_process_first(desc="loading the data"):
        splits = load_splits(args.data, left_out)
    network, processor = build_network(
        args.model,
        class_names(splits),
        cosine_scale=args.loss.cosine_scale(),
        training=not args.training.evaluate_only,
        say=say,
    )
    data, audit_report = load_data(args, splits, processor, left_out, say)
    trainer = make_trainer(args, network, processor, data, audit_report["fingerprint"])

    gaps, results = Gaps(say), {}
    folder = RunFolder(args, trainer, data, audit_report, gaps, words)
    if data.train is not None:
        results = train(args, trainer, gaps, say)
        folder.save_model(results)  # what follows may fail without costing the training
    results |= evaluate(trainer, data, gaps)
    folder.write_results(results)
    describe(folder, results)
    if trainer.is_world_process_zero():
        with gaps.on_error("summary"):
            say(summary(results, data))
        if data.train is not None:
            with gaps.on_error(LOADING_BACK):
                say(load_back(folder.path, data, trainer))
    trainer.accelerator.wait_for_everyone()  # gloo aborts a process whose peer has gone before
    trainer.accelerator.end_training()
    explain_recovery(args, results, gaps)
    say(f"{'Report' if data.train is None else 'Model, card and report'}: {folder.path.resolve()}")


def load_data(
    args: Arguments, splits, processor, left_out: dict, say: Callable[[str], None]
) -> tuple[RunData, dict]:
    """What the run trains on and evaluates, and the audit of the whole data set."""
    seed, training = args.training.seed, not args.training.evaluate_only
    decoded, audit_report = prepare_splits(
        splits,
        args.data,
        processor,
        left_out,
        side=max([processor.size["height"], *args.training.progressive_sizes]),
        folder=Path(args.training.output_dir),
        seed=seed,
        say=say,
    )
    data = split_data(decoded, args.data, seed=seed, training=training)
    if data.train is None:
        return data, audit_report
    source = f"{args.data.dataset} [train]"
    weight, label_source = args.targets.ferplus_weight, args.data.label_source
    data.train = with_votes(data.train, weight, source, label_source)
    data = apply_sampling(data, args.treatment.sampling, args.treatment.undersample, seed=seed)
    seen = ", ".join(f"{name} {n:.0f}" for name, n in zip(data.label_names, data.drawn_counts))
    say(
        f"Training on {len(data.train)} images, {args.training.world_size} process(es); "
        f"the loss sees, by class: {seen}"
    )
    return data, audit_report


def make_trainer(
    args: Arguments, network, processor, data: RunData, data_fingerprint: str
) -> FerTrainer:
    targets = None
    if data.train is not None:
        try:
            refuse_metric(args.training, data.label_names)
            args.loss.bind(data.drawn_counts)
        except ValueError as error:  # a flag that does not fit the classes
            raise SystemExit(f"train.py: {error}") from None
        channels, device = network.config.num_channels, args.training.device
        hold_images(data.train, args.training)
        flags = {"num_channels": channels, "device": device, "bf16": args.training.bf16}
        targets = args.targets.build(data.train, **flags)
    return FerTrainer(
        model=network,
        args=args.training,
        train_dataset=data.train,
        eval_dataset=data.eval if data.development is None else data.development,
        processing_class=processor,
        compute_metrics=epoch_metrics(data.label_names),
        criterion=args.loss,
        augmentation=args.augmentation.build(),
        targets=targets,
        weighted_sampling=SAMPLINGS[args.treatment.sampling].weighted,
        recipe=args.recipe(data_fingerprint),
    )


def train(args: Arguments, trainer: FerTrainer, gaps: Gaps, say: Callable[[str], None]) -> dict:
    """
    Figures of the training; the weights stay in `trainer.model`, rounded to what will be saved.

    Raises:
        SystemExit: Ctrl-C or SIGTERM stopped it; the status is the shell's for that signal.
    """
    if args.training.should_save and args.training.overwrite:
        if not args.training.resume_from_checkpoint:
            remove_checkpoints_and_logs(Path(args.training.output_dir))
    checkpoint = trainer.prepare_resume(args.training.resume_from_checkpoint, say)
    output = trainer.train(resume_from_checkpoint=checkpoint and str(checkpoint))
    if trainer.stop.received:
        say(
            f"Stopped after step {trainer.state.global_step} of {trainer.state.max_steps}. To go "
            "on: the same command and --resume_from_checkpoint true"
        )
        trainer.accelerator.end_training()
        raise SystemExit(128 + trainer.stop.received)
    trainer.finish_weights(gaps)
    took = output.metrics if trainer.state.global_step else {}  # of no step, they say nothing
    return took | {"epoch": trainer.state.epoch}


if __name__ == "__main__":
    try:
        main()
    except (DataError, TrainingError) as error:
        of_all = isinstance(error, DataError) or error.__cause__ is None
        if of_all and os.environ.get("RANK", "0") != "0":
            raise SystemExit(1) from None  # the main process says the same
        raise SystemExit(f"train.py: {error}") from None
