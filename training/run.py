"""One run, from its arguments to its folder: data, network, training, evaluation, record, card."""

import importlib.util
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import huggingface_hub.utils
from transformers import TrainingArguments, set_seed
from transformers.utils import logging

from .arguments import Arguments
from .best_checkpoint import check_metric
from .card import describe
from .data import FaceDataset, RunData, class_names, load_splits, prepare_splits, split_data
from .evaluation import evaluate, summary
from .failures import Failures
from .gpu import hold_images
from .network import Network, Processor, build_network
from .onnx_export import FILE, missing_packages, onnx_summary, write_onnx
from .record import (
    LOADING_BACK,
    RunFolder,
    check_output_dir,
    explain_recovery,
    load_back,
    remove_checkpoints_and_logs,
)
from .targets import with_votes
from .trainer import FerTrainer
from .treatments import SAMPLINGS, apply_sampling

if TYPE_CHECKING:
    from datasets import Dataset

logger = logging.get_logger(__name__)


def run(args: Arguments, argv: Sequence[str]) -> None:
    """
    Args:
        argv: the words after `python train.py`, for the record.

    Raises:
        DataError, TrainingError, SystemExit: something does not fit; the message says what to do.
    """
    check_processes(args.training)
    hide_progress_bars(args.training)
    check_output_dir(args)
    set_seed(args.training.seed)
    left_out: dict = {}
    with args.training.main_process_first(desc="loading the data"):
        splits = load_splits(args.data, left_out)
    network, processor = build_network(
        args.model,
        class_names(splits),
        cosine_scale=args.loss.cosine_scale(),
        training=not args.training.evaluate_only,
    )
    if not args.training.evaluate_only:
        network.config.prior = args.treatment.prior
    data, audit_report = load_data(args, splits, processor, left_out)
    trainer = make_trainer(args, network, processor, data, audit_report["fingerprint"])

    failures, results = Failures(), {}
    folder = RunFolder(args, trainer, data, audit_report, failures, argv)
    if data.train is not None:
        results = train(args, trainer, failures)
        folder.save_model(results)  # what follows may fail without costing the training
    results |= evaluate(trainer, data, failures)
    folder.write_results(results)
    if args.training.calibrate:
        folder.write_calibration(results)
    if args.training.export_onnx and data.train is not None and trainer.is_world_process_zero():
        with failures.noted(FILE):
            logger.info(add_onnx(folder.path, data))
    describe(folder, results)
    if trainer.is_world_process_zero():
        with failures.noted("summary"):
            logger.info(summary(results, data))
        if data.train is not None:
            with failures.noted(LOADING_BACK):
                logger.info(load_back(folder.path, data, trainer))
    trainer.accelerator.wait_for_everyone()  # gloo aborts a process whose peer has gone before
    trainer.accelerator.end_training()
    explain_recovery(args, results, failures)
    written = "Report" if data.train is None else "Model, card and report"
    logger.info(f"{written}: {folder.path.resolve()}")


def add_onnx(folder: Path, data: RunData) -> str:
    """Makes model.onnx of the weights in `folder`, or says in one line what is missing for it."""
    if missing := missing_packages():
        return (
            f"No {FILE}: {', '.join(missing)} missing. pip install '.[publish]', then "
            f"python -m training.onnx_export {folder}"
        )
    return onnx_summary(write_onnx(folder, data.eval, data.eval_split))


def check_processes(args: TrainingArguments) -> None:
    """
    Raises:
        SystemExit: accelerate launch was asked for several processes and started one, as it does
            for MULTI_CPU without mpirun; or several were started, each of which would train alone.
    """
    started = int(os.environ.get("WORLD_SIZE", "1"))
    if started != args.world_size:
        raise SystemExit(
            f"{started} processes were started, but each would train alone: without a GPU for each "
            "of them, add --use_cpu."
        )
    asked_for_several = {"ACCELERATE_MIXED_PRECISION", "MASTER_ADDR"} <= set(os.environ)
    if asked_for_several and "WORLD_SIZE" not in os.environ and args.world_size == 1:
        raise SystemExit(
            "accelerate launch was asked for several processes but started one, as it does for "
            "MULTI_CPU without mpirun. Use --config_file configs/accelerate/cpu_2.yaml, or "
            "torchrun --nproc_per_node 2 train.py ..."
        )


def hide_progress_bars(args: TrainingArguments) -> None:
    """Those of the libraries, with --disable_tqdm and in every process but one."""
    if args.disable_tqdm or args.local_process_index:
        huggingface_hub.utils.disable_progress_bars()
        logging.disable_progress_bar()
        if importlib.util.find_spec("datasets"):  # packed data are read without it
            import datasets

            datasets.disable_progress_bars()


def load_data(
    args: Arguments,
    splits: "Mapping[str, Dataset | FaceDataset]",
    processor: Processor,
    left_out: dict,
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
    )
    data = split_data(decoded, args.data, training=training, earlier=args.earlier_models())
    if data.train is None:
        return data, audit_report
    source = f"{args.data.dataset} [train]"
    weight, label_source = args.targets.ferplus_weight, args.data.label_source
    data.train = with_votes(data.train, weight, source, label_source)
    data = apply_sampling(data, args.treatment.sampling, args.treatment.undersample, seed=seed)
    seen = ", ".join(f"{name} {n:.0f}" for name, n in zip(data.label_names, data.seen_counts))
    logger.info(
        f"Training on {len(data.train)} images, {args.training.world_size} process(es); "
        f"the loss sees, by class: {seen}"
    )
    return data, audit_report


def make_trainer(
    args: Arguments,
    network: Network,
    processor: Processor,
    data: RunData,
    data_fingerprint: str,
) -> FerTrainer:
    """Raises SystemExit where a flag does not fit the classes of the data."""
    targets = None
    if data.train is not None:
        try:
            check_metric(args.training, data.label_names)
            args.loss.bind(data.seen_counts)
        except ValueError as error:
            raise SystemExit(f"train.py: {error}") from None
        channels, device = network.config.num_channels, args.training.device
        hold_images(data.train, args.training)
        flags = {"num_channels": channels, "device": device, "bf16": args.training.bf16}
        targets = args.targets.build(data.train, **flags)
    return FerTrainer(
        network,
        args.training,
        processing_class=processor,
        train_dataset=data.train,
        eval_dataset=data.eval if data.development is None else data.development,
        criterion=args.loss,
        augmentation=args.augmentation.build(),
        targets=targets,
        degradation=args.augmentation.build_degradation(),
        weighted_sampling=SAMPLINGS[args.treatment.sampling].weighted,
        settings=args.decisive(data_fingerprint),
    )


def train(args: Arguments, trainer: FerTrainer, failures: Failures) -> dict:
    """
    Trains, or goes on with a training. The weights stay in `trainer.model`, rounded to what will be
    saved.

    Returns:
        Time, loss and epochs, for all_results.json.

    Raises:
        SystemExit: Ctrl-C or SIGTERM stopped it; the status is the shell's for that signal.
    """
    if args.training.should_save and args.training.overwrite:
        if not args.training.resume_from_checkpoint:
            remove_checkpoints_and_logs(Path(args.training.output_dir))
    checkpoint = trainer.prepare_resume(args.training.resume_from_checkpoint)
    output = trainer.train(resume_from_checkpoint=checkpoint and str(checkpoint))
    if trainer.stop.received:
        logger.info(
            f"Stopped after step {trainer.state.global_step} of {trainer.state.max_steps}. To go "
            "on: the same command and --resume_from_checkpoint true"
        )
        trainer.accelerator.end_training()
        raise SystemExit(128 + trainer.stop.received)
    trainer.finish_weights(failures)
    measured = output.metrics if trainer.state.global_step else {}  # meaningless without a step
    return measured | {"epoch": trainer.state.epoch}
