"""
Train an EfficientNet on FER-2013 with its class imbalance treated, measure it, and write a folder
ready for the Hub.

  drawn faces, no data needed
    python train.py configs/quickstart.yaml
  FER-2013 from Kaggle's CSV
    python train.py configs/fer2013.yaml --dataset fer2013.csv --ferplus_csv fer2013new.csv
  the paper's three treatments
    python train.py configs/paper_undersampling.yaml --dataset fer2013.csv
    python train.py configs/paper_weighted.yaml --dataset fer2013.csv
    python train.py configs/paper_focal.yaml --dataset fer2013.csv
  any loss with any sampling
    python train.py configs/imbalance.yaml --dataset fer2013.csv --loss logit_adjusted
  several GPUs
    accelerate launch --multi_gpu train.py configs/fer2013.yaml --dataset fer2013.csv \\
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

import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import set_seed

from modeling import (
    FerEfficientNetConfig,
    FerEfficientNetForImageClassification,
    FerEfficientNetImageProcessor,
)
from training.arguments import FIXED_BY_CHECKPOINT, Arguments, ModelArguments, parse_arguments
from training.audit import audit, summary_line
from training.augmentation import BatchAugmentation, BatchMixing
from training.batch_norm import recompute_statistics
from training.calibration import calibrate, certainty_figures, prior_figures
from training.checkpoints import (
    TrainingError,
    find_best_beside,
    read_run_state,
    recipe_changes,
    resume_point,
    set_aside_newer,
)
from training.data import LABELS, DataError, decode_split, first_line, load_fer2013
from training.distillation import Teachers
from training.evaluation.results import evaluation_results, recall_table, result_line
from training.ferplus import join_votes
from training.losses import ImbalanceLoss, one_hot
from training.report import (
    check_output_dir,
    load_back,
    remove_checkpoints_and_logs,
    write_run_folder,
)
from training.soup import average_weights
from training.splits import RunData, prepare_run_data
from training.trainer import FerTrainer, epoch_metrics


def check_processes(args: Arguments) -> None:
    """accelerate launch starts one process for MULTI_CPU, however many are asked for."""
    asked_for_several = {"ACCELERATE_MIXED_PRECISION", "MASTER_ADDR"} <= set(os.environ)
    if asked_for_several and "WORLD_SIZE" not in os.environ and args.training.world_size == 1:
        raise SystemExit(
            "accelerate launch was asked for several processes but started one, as it does for "
            "MULTI_CPU without mpirun. Use --config_file configs/accelerate/cpu_2.yaml, or "
            "torchrun --nproc_per_node 2 train.py ..."
        )


def build_model(
    model: ModelArguments, *, cosine_scale: float | None, training: bool
) -> tuple[FerEfficientNetForImageClassification, FerEfficientNetImageProcessor]:
    """A saved model, or a new one from the flags, with its image processor."""
    if model.model_name_or_path:
        network, processor = load_saved_model(model.model_name_or_path, cosine_scale=cosine_scale)
        if model.image_size:
            set_image_size(network.config, processor, model.image_size)
        if training:
            average(network, model)
            forget_calibration(network.config)
        return network, processor
    config = FerEfficientNetConfig(
        backbone=model.backbone,
        num_channels=model.num_channels,
        image_size=model.image_size or 48,
        stem_stride=model.stem_stride,
        drop_path_rate=model.drop_path_rate,
        head_hidden_sizes=model.head_hidden_sizes,
        head_dropout=model.head_dropout,
        cosine_scale=cosine_scale,
        id2label=dict(enumerate(LABELS)),
        label2id={name: i for i, name in enumerate(LABELS)},
    )
    network = FerEfficientNetForImageClassification(config)
    processor = FerEfficientNetImageProcessor(
        size=network.config.image_size, num_channels=model.num_channels
    )
    if model.pretrained:
        load_imagenet_weights(network, model.pretrained)
        processor.image_mean, processor.image_std = imagenet_statistics(network)
    return network, processor


def load_saved_model(source: str, *, cosine_scale: float | None):
    try:
        network = FerEfficientNetForImageClassification.from_pretrained(
            source, use_safetensors=True
        )
    except OSError as error:
        raise SystemExit(
            f"train.py: no saved model {source}: expected its folder, or a Hub id that can be "
            f"reached ({first_line(error)}). Where a recipe names it, the recipe of that name is "
            "to be run first."
        ) from error
    names = tuple(network.config.id2label[i] for i in range(network.config.num_labels))
    if names != LABELS:
        raise SystemExit(f"{source}: its classes are {names}; expected {LABELS} in this order.")
    if cosine_scale is not None and network.config.cosine_scale != cosine_scale:
        raise SystemExit(
            f"--loss ldam needs a model with a cosine classifier of scale {cosine_scale}, but "
            f"{source} has cosine_scale {network.config.cosine_scale}. Use another loss, or "
            "--ldam_scale."
        )
    return network, FerEfficientNetImageProcessor.from_pretrained(source)


def average(network: FerEfficientNetForImageClassification, model: ModelArguments) -> None:
    """With the --average_with models, if there are any."""
    if not model.average_with:
        return
    others = [load_saved_model(name, cosine_scale=None)[0] for name in model.average_with]
    try:
        average_weights(network, others, model.average_weight)
    except ValueError as error:
        raise SystemExit(
            f"--average_with {' '.join(model.average_with)}: expected the network of "
            f"{model.model_name_or_path}, found another; {error}."
        ) from error


def load_teachers(args: Arguments, num_channels: int) -> Teachers | None:
    teachers = [load_saved_model(name, cosine_scale=None) for name in args.imbalance.teachers]
    for name, (teacher, _) in zip(args.imbalance.teachers, teachers):
        if teacher.config.num_channels != num_channels:
            raise SystemExit(
                f"--teachers {name} takes images of {teacher.config.num_channels} channels; "
                f"expected {num_channels}, as the model that is trained."
            )
    if not teachers:
        return None
    return Teachers(teachers, args.imbalance.distillation_weight, args.training.device)


def set_image_size(
    config: FerEfficientNetConfig, processor: FerEfficientNetImageProcessor, side: int
) -> None:
    """Of a saved model: the same weights convolve images of any size."""
    config.image_size, processor.size = side, {"height": side, "width": side}
    config.validate_fer_efficientnet()


def forget_calibration(config: FerEfficientNetConfig) -> None:
    """Before a saved model is trained on: it will be fitted anew."""
    config.temperature, config.uncertain_below = 1.0, None
    config.train_distribution, config.prior = None, "train"


def load_imagenet_weights(network: FerEfficientNetForImageClassification, pretrained: str) -> None:
    """`pretrained`: "imagenet" (the backbone's own), a timm name, or a local file."""
    is_file = Path(pretrained).is_file()
    name = network.config.backbone if is_file or pretrained == "imagenet" else pretrained
    try:
        network.load_timm_weights(name, file=pretrained if is_file else None)
    except (
        Exception
    ) as error:  # timm, huggingface_hub and safetensors raise many kinds; all mean: no weights
        raise SystemExit(
            f"--pretrained {pretrained}: the weights could not be loaded ({type(error).__name__}: "
            f"{first_line(error)}).\n"
            "Without network, pass a local timm weights file "
            "(--pretrained path/to/model.safetensors), "
            "or start from random weights with --no_pretrained."
        ) from error


def imagenet_statistics(network: FerEfficientNetForImageClassification) -> tuple[list, list]:
    """Mean and standard deviation that the weights were trained with; their averages for grey."""
    mean, std = (list(network.backbone.pretrained_cfg[key]) for key in ("mean", "std"))
    if network.config.num_channels == 1:
        mean, std = [sum(mean) / 3], [sum(std) / 3]
    return mean, std


def build_trainer(
    args: Arguments, network, processor, data: RunData, data_fingerprint: str
) -> FerTrainer:
    training, imbalance = args.training, args.imbalance
    augmentation = BatchAugmentation(
        flip=training.augment_flip,
        rotate=training.augment_rotate,
        translate=training.augment_translate,
        scale=training.augment_scale,
        brightness=training.augment_brightness,
        contrast=training.augment_contrast,
        erasing=training.augment_erasing,
    )
    criterion = ImbalanceLoss(
        imbalance.loss,
        torch.ones(len(LABELS)) if data.drawn_counts is None else data.drawn_counts,
        focal_gamma=imbalance.focal_gamma,
        focal_alpha=imbalance.parsed_focal_alpha(),
        class_balanced_beta=imbalance.class_balanced_beta,
        logit_adjustment_tau=imbalance.logit_adjustment_tau,
        ldam_max_margin=imbalance.ldam_max_margin,
        ldam_scale=imbalance.ldam_scale,
        deferred_reweighting_epoch=imbalance.deferred_reweighting_epoch,
        label_smoothing=imbalance.label_smoothing,
    )
    return FerTrainer(
        model=network,
        args=training,
        train_dataset=data.train,
        eval_dataset=data.eval,
        processing_class=processor,
        compute_metrics=epoch_metrics(list(LABELS)),
        criterion=criterion,
        augmentation=augmentation,
        mixing=BatchMixing(imbalance.mixup, imbalance.cutmix, len(LABELS)),
        teachers=None if data.train is None else load_teachers(args, network.config.num_channels),
        weighted_sampling=imbalance.sampling == "weighted",
        recipe=args.recipe(data_fingerprint),
    )


def round_weights(network, dtype: torch.dtype) -> None:
    """To what `save_model` stores, in place, so that the figures are those of the saved file."""
    with torch.no_grad():
        for value in network.parameters():
            if value.ndim > 1:
                value.copy_(value.to(dtype))


def load_data(args: Arguments, processor: FerEfficientNetImageProcessor) -> tuple[RunData, dict]:
    """What the run trains on and evaluates, and the audit of the whole data set."""
    skipped: list[str] | None = [] if args.data.skip_bad_rows else None
    with args.training.main_process_first(desc="loading the data"):
        splits = load_fer2013(
            args.data.dataset,
            args.data.dataset_revision,
            label_names=args.data.label_names or None,
            synthetic_images=args.data.synthetic_images,
            synthetic_seed=args.data.synthetic_seed,
            skipped=skipped,
        )
        if args.data.ferplus_csv:
            splits = join_votes(splits, args.data.ferplus_csv)
    decoded = {
        name: decode_split(split, processor, name, skipped) for name, split in splits.items()
    }
    training = not args.training.evaluate_only
    seed = args.training.seed
    data = prepare_run_data(decoded, args.data, args.imbalance, seed=seed, training=training)
    return data, audit(decoded, LABELS) | {"skipped_rows": skipped or []}


def prepare_resume(
    trainer: FerTrainer, folder: Path, checkpoint: Path, say: Callable[[str], None]
) -> None:
    """Says and notes what differs from the checkpoint's run; makes way for its checkpoints."""
    changed = recipe_changes(checkpoint, trainer.recipe, FIXED_BY_CHECKPOINT)
    trainer.recipe_changes = read_run_state(checkpoint).get("recipe_changes", [])
    if changed:
        say(f"Changed since {checkpoint}, from here on: {', '.join(changed)}")
        trainer.recipe_changes += [f"{checkpoint.name}: {words}" for words in changed]
    if trainer.args.should_save:
        find_best_beside(checkpoint)
        if aside := set_aside_newer(folder, checkpoint):
            say(f"Newer checkpoints are set aside: {', '.join(aside)}")
    trainer.accelerator.wait_for_everyone()


def train(args: Arguments, trainer: FerTrainer, say: Callable[[str], None]) -> dict:
    """
    Figures of the training; the weights stay in `trainer.model`, rounded to what will be saved.

    Raises:
        SystemExit: Ctrl-C or SIGTERM stopped it; the status is the shell's for that signal.
    """
    folder = Path(args.training.output_dir)
    checkpoint, words = resume_point(args.training.resume_from_checkpoint, folder)
    if words:
        say(words)
    if checkpoint:
        prepare_resume(trainer, folder, checkpoint, say)
    output = trainer.train(resume_from_checkpoint=checkpoint and str(checkpoint))
    if trainer.stop.received:
        say(
            f"Stopped after step {trainer.state.global_step} of {trainer.state.max_steps}. To go "
            "on: the same command and --resume_from_checkpoint true"
        )
        trainer.accelerator.end_training()
        raise SystemExit(128 + trainer.stop.received)
    round_weights(trainer.model, getattr(torch, args.training.weights_dtype))
    if args.training.precise_bn:
        recompute_statistics(
            trainer.model,
            trainer.train_dataset.images,
            trainer.processing_class,
            count=args.training.precise_bn,
            batch_size=args.training.per_device_eval_batch_size,
            seed=args.training.seed,
        )
    return output.metrics | {"epoch": trainer.state.epoch}


def evaluate(trainer: FerTrainer, data: RunData, say: Callable[[str], None]) -> dict:
    """Figures of the evaluation, after a training with calibration."""
    prediction, config = trainer.predict(data.eval), trainer.model.config
    logits, labels = prediction.predictions, prediction.label_ids
    fitted: dict = {}
    if data.train is not None:
        config.train_distribution = presented_distribution(trainer, data)
        if data.eval_split == "validation":
            logits, fitted = calibrate(config, logits, labels)
        else:
            say(f"Not calibrated: that takes a validation split, not {data.eval_split}.")
    results = evaluation_results(logits, labels, data.eval_copies, LABELS)
    if config.uncertain_below is not None:
        results |= certainty_figures(logits, labels, config.uncertain_below)
    if config.train_distribution is not None and config.prior == "train":
        shift = trainer.model.prior_shift("uniform").numpy()
        results |= prior_figures(logits, labels, shift, LABELS)
    return results | fitted | {"eval_split": data.eval_split}


def presented_distribution(trainer: FerTrainer, data: RunData) -> list[float]:
    """Of the classes as the loss saw them: votes, teachers, sampling and weights included."""
    drawn = data.drawn_counts / torch.tensor(data.train_counts)  # times, of an image of each class
    targets = one_hot(data.train.targets, len(LABELS))
    shares = (targets * drawn[data.train.labels][:, None]).mean(0)
    if trainer.teachers is not None:
        shares = trainer.teachers.presented_shares(shares)
    return trainer.criterion.presented_distribution(shares.cpu()).tolist()


def main(argv: list[str] | None = None) -> None:
    args = parse_arguments(__doc__, argv)
    training, folder = args.training, Path(args.training.output_dir)
    check_processes(args)
    check_output_dir(args)
    set_seed(training.seed)
    scale = args.imbalance.ldam_scale if args.imbalance.loss == "ldam" else None
    try:
        network, processor = build_model(
            args.model, cosine_scale=scale, training=not training.evaluate_only
        )
    except (ValueError, StrictDataclassError) as error:  # of timm's name, or of the config
        raise SystemExit(f"train.py: {error.__cause__ or error}") from None
    data, audit_report = load_data(args, processor)

    main_process = training.process_index == 0
    say = print if main_process else lambda *_: None
    say(summary_line(audit_report))
    if skipped := audit_report["skipped_rows"]:
        say(f"Left out {len(skipped)} rows that cannot be used, listed in data_report.json:")
        say("\n".join(f"  {words}" for words in skipped[:3]))
    if data.train is not None:
        counts = data.drawn_counts.int().tolist()
        say(
            f"Training on {len(data.train)} images, {training.world_size} process(es); "
            f"class counts that the loss sees: {counts}"
        )
    if main_process and training.overwrite and not training.resume_from_checkpoint:
        remove_checkpoints_and_logs(folder)

    trainer = build_trainer(args, network, processor, data, audit_report["fingerprint"])
    results = train(args, trainer, say) if data.train is not None else {}
    results |= evaluate(trainer, data, say)
    if main_process:
        words = sys.argv[1:] if argv is None else argv
        write_run_folder(args, trainer, data, audit_report, results, argv=words)
        say(recall_table(results, data, LABELS))
        say(result_line(results, data.eval_split))
        if data.eval_copies is None:
            say("No training split to compare with: the figures without copies are left out.")
        if data.train is not None:
            say(load_back(folder, data, trainer))
    trainer.accelerator.wait_for_everyone()  # gloo aborts a process whose peer has gone before
    trainer.accelerator.end_training()
    what = "Report" if data.train is None else "Model, card and report"
    say(f"{what}: {folder.resolve()}")


if __name__ == "__main__":
    try:
        main()
    except (DataError, TrainingError) as error:
        of_all = isinstance(error, DataError) or error.__cause__ is None
        if of_all and os.environ.get("RANK", "0") != "0":
            raise SystemExit(1) from None  # the main process says the same
        raise SystemExit(f"train.py: {error}") from None
    except KeyboardInterrupt:
        raise SystemExit(
            "train.py: stopped. --resume_from_checkpoint true goes on from the last checkpoint, "
            "if there is one."
        ) from None
