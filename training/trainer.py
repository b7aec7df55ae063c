"""transformers' Trainer with losses for imbalance, batch augmentation and averaged weights."""

import dataclasses
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from accelerate.utils import broadcast
from safetensors import SafetensorError
from safetensors.torch import load_model, save_model
from timm.optim import get_optimizer_class, get_optimizer_info
from timm.utils import ModelEmaV3
from torch.utils.data import Sampler
from transformers import (
    EvalPrediction,
    Trainer,
    TrainerCallback,
    TrainerState,
    TrainingArguments,
    set_seed,
)
from transformers.trainer_utils import EvalLoopOutput, TrainOutput
from transformers.utils import ModelOutput, logging

from .arguments import FerTrainingArguments
from .augmentation import BatchAugmentation
from .checkpoints import (
    RUN_STATE_FILE,
    changed_settings,
    find_best_beside,
    how_to_resume,
    is_whole,
    read_run_state,
    remove,
    resume_point,
    set_aside_newer,
)
from .cpu import use_fast_depthwise, use_float32_iterations
from .data import FaceDataset, class_counts
from .degradation import PhotoDegradation
from .errors import TrainingError
from .evaluation import classification_metrics
from .failures import Failures
from .gpu import stack_equal_matrices
from .network import Network, Processor, class_names, round_weights, save_network
from .stopping import StopOnSignal
from .targets import Batch, Targets
from .treatments import CrossEntropy, EpochSampler, Loss
from .weights import recompute_statistics
from .wording import first_line

EMA_FILE = "ema.safetensors"
Criterion = Loss | Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
logger = logging.get_logger(__name__)


class EpochScheduleCallback(TrainerCallback):
    """
    Tells model, loss, image size and moving average which epoch and step it is, and notes in the
    log how long the run has trained, the time before it was resumed included.
    """

    def __init__(self, trainer: "FerTrainer"):
        self.trainer = trainer

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, *_, **__) -> None:
        # Each process has its own dropout and augmentation; the order of rows does not come from
        # this generator.
        set_seed(args.seed + args.process_index)
        self.trainer.go_on_from_checkpoint()

        before = max((entry.get("elapsed", 0) for entry in state.log_history), default=0)
        self.started = time.monotonic() - before

    def on_epoch_begin(self, args: TrainingArguments, state: TrainerState, *_, **__) -> None:
        epoch = int((state.epoch or 0) + 1e-6)  # a resumed epoch starts at a fraction
        self.trainer.model.freeze_backbone(epoch < args.freeze_backbone_epochs)
        if isinstance(self.trainer.criterion, Loss):
            self.trainer.criterion.set_epoch(epoch)
        if sizes := args.progressive_sizes:
            phase = epoch * len(sizes) // state.num_train_epochs
            self.trainer.train_size = sizes[min(phase, len(sizes) - 1)]

    def on_step_end(self, args: TrainingArguments, state: TrainerState, *_, **__) -> None:
        if self.trainer.ema is not None:
            self.trainer.ema.update(self.trainer.model, step=state.global_step)

    def on_train_end(self, args: TrainingArguments, state: TrainerState, *_, **__) -> None:
        self.trainer.model.freeze_backbone(False)

    def on_log(self, args: TrainingArguments, state: TrainerState, *_, **__) -> None:
        if state.is_world_process_zero:
            state.log_history[-1]["elapsed"] = time.monotonic() - self.started


class FerTrainer(Trainer):
    """
    Trainer whose `compute_loss` applies one of the treatments of imbalance.

    Args:
        model: of `build_network`, with its image processor as `processing_class`.
        args: `FerTrainingArguments`, or `transformers.TrainingArguments`, which leave the options
            that the former add at their defaults.
        train_dataset, eval_dataset: uint8 images and labels. `load_faces` makes them.
        criterion: logits (N, C), labels (N,) or (N, C) -> scalar, a mean over samples. A `Loss`
            that is not bound to class counts is bound to those of `train_dataset`. None:
            cross-entropy.
        augmentation: images (N, C, H, W) -> images, applied to training batches on their device.
            None: none.
        targets: what becomes of the labels of training batches, images augmented. None: nothing.
        degradation: images (N, C, H, W) -> images, applied last, so that teachers see what the
            network does not. None: none.
        weighted_sampling: sample rows with replacement, each class equally likely.
        settings: those that decide which weights come out (`Arguments.decisive`), kept in each
            checkpoint to be compared on resume.
        options: of `transformers.Trainer`. `compute_metrics` is `epoch_metrics` by default.

    With `ema_decay`, it is the average of the weights that is evaluated and that `train` leaves in
    `self.model`; checkpoints hold both.

    Two private methods of Trainer are overridden, and some private attributes are read; a test
    names them all, so that a new transformers without them fails there first.

    Raises:
        ValueError: the criterion needs another classifier than the model has, or class counts that
            the data do not have.
    """

    loss_is_scaled_for_ga = False  # `compute_loss` is a mean over the samples of its batch

    def __init__(
        self,
        model: Network,
        args: TrainingArguments | None = None,
        *,
        processing_class: Processor,
        train_dataset: FaceDataset | None = None,
        eval_dataset: FaceDataset | None = None,
        criterion: Criterion | None = None,
        augmentation: BatchAugmentation | None = None,
        targets: Targets | None = None,
        degradation: PhotoDegradation | None = None,
        weighted_sampling: bool = False,
        settings: Mapping | None = None,
        **options,
    ):
        options.setdefault("compute_metrics", epoch_metrics(class_names(model.config)))
        super().__init__(
            model,
            _with_own_options(args or FerTrainingArguments()),
            data_collator=_whole_batch,
            train_dataset=train_dataset,
            eval_dataset=eval_dataset,
            processing_class=processing_class,
            **options,
        )
        if name := self.args.timm_optim:
            defaults = get_optimizer_info(name).defaults or {}
            optimizer = get_optimizer_class(name, bind_defaults=False)
            self.optimizer_cls_and_kwargs = (optimizer, defaults | {"lr": self.args.learning_rate})
            if self.args.device.type == "cpu":
                use_float32_iterations(optimizer)
            else:
                stack_equal_matrices(optimizer)
        self.criterion = CrossEntropy() if criterion is None else criterion
        self.augmentation, self.targets = augmentation, targets or Targets()
        self.degradation = degradation
        self.weighted_sampling = weighted_sampling
        self.settings, self.changed_settings = settings or {}, []
        self.resumed_from: str | None = None
        self.ema: ModelEmaV3 | None = None
        self.train_size: int | None = None  # None: the processor's
        if isinstance(self.criterion, Loss) and train_dataset is not None:
            self._bind_criterion()
        if self.args.channels_last:
            self.model.to(memory_format=torch.channels_last)
        if self.args.device.type == "cpu":
            use_fast_depthwise(self.model)
        self.add_callback(EpochScheduleCallback(self))
        self.stop = StopOnSignal(self.accelerator)
        self.add_callback(self.stop)

    def _bind_criterion(self) -> None:
        scale = self.criterion.cosine_scale()
        if scale is not None and self.model.config.cosine_scale != scale:
            raise ValueError(
                f"{type(self.criterion).__name__} needs a cosine classifier: "
                f"build_network(..., cosine_scale={scale})."
            )
        if not hasattr(self.criterion, "counts"):
            labels, classes = self.train_dataset.labels, self.model.config.num_labels
            counts = class_counts(labels, classes)
            if self.weighted_sampling:  # each class is then equally likely
                counts = np.full(classes, len(labels) / classes)
            self.criterion.bind(torch.tensor(counts, dtype=torch.float32))

    def compute_loss(
        self, model: torch.nn.Module, inputs: dict, return_outputs: bool = False, **_
    ) -> torch.Tensor | tuple[torch.Tensor, ModelOutput]:
        """
        Training: augment, apply the steps of the targets, degrade, normalise, forward, the
        criterion.
        Evaluation: plain cross-entropy, so that the curves of different treatments compare.
        """
        images, labels = inputs["pixel_values"], inputs["labels"]  # uint8 (N, C, H, W), int64 (N,)
        if model.training and self.augmentation is not None:
            images = self.augmentation(images)
        if model.training:
            batch = self.targets(Batch(images, labels, inputs.get("voted")))
            images, labels = batch.images, batch.targets  # labels (N,), or (N, C) probabilities
            if self.degradation is not None:
                images = self.degradation(images)
        side = self.train_size if model.training else None
        pixel_values = self.processing_class.normalize_batch(images, side)  # float32 (N, C, h, w)
        if self.args.channels_last:
            pixel_values = pixel_values.contiguous(memory_format=torch.channels_last)
        if model.training:
            outputs = model(pixel_values=pixel_values)
        else:  # in float32, as it is used: past the bf16 that Accelerate wraps around `forward`
            network = self.accelerator.unwrap_model(model, keep_torch_compile=False)
            outputs = type(network).forward(network, pixel_values=pixel_values)
        logits = outputs["logits"].float()  # (N, C)
        loss = self.criterion(logits, labels) if model.training else F.cross_entropy(logits, labels)
        return (loss, outputs) if return_outputs else loss

    def training_step(self, *args, **kwargs) -> torch.Tensor:
        loss = super().training_step(*args, **kwargs)
        loss_of_all = self.accelerator.reduce(loss, "mean")  # all processes stop, or none
        # before the optimizer's step, when the weights are still good
        if not torch.isfinite(loss_of_all):
            raise TrainingError(
                f"The loss of step {self.state.global_step + 1} is {loss_of_all.item()}, "
                f"learning rate {self._get_learning_rate():.3g}. "
                f"{how_to_resume(self.args.output_dir)} "
                "--max_grad_norm 1 may help, or a new run from its weights (--model_name_or_path) "
                "with a smaller --learning_rate."
            )
        return loss

    def evaluation_loop(self, *args, **kwargs) -> EvalLoopOutput:
        """
        Evaluates the main process's batch statistics everywhere: they are what is saved. The loss
        is that of the gathered logits, where each image counts once; in Trainer's mean of batch
        means, the images that fill up the last batch of several processes count twice.
        """
        network = self.model if self.ema is None else self.ema.module
        broadcast(list(network.buffers()))
        output = super().evaluation_loop(*args, **kwargs)
        for name in [key for key in output.metrics if key.endswith("_loss")]:
            # (images, C) and (images,)
            logits, labels = torch.as_tensor(output.predictions), torch.as_tensor(output.label_ids)
            output.metrics[name] = F.cross_entropy(logits.double(), labels).item()
        return output

    def prediction_step(self, model: torch.nn.Module, *args, **kwargs) -> tuple:
        return super().prediction_step(self.ema.module if self.ema else model, *args, **kwargs)

    def _get_train_sampler(self, train_dataset: FaceDataset | None = None) -> Sampler[int]:
        # Trainer would take the order from the global generator: no weighted sampling, and another
        # order after a resume. The public `get_train_dataloader` would have to repeat how Trainer
        # sets up a loader and hands it to Accelerate.
        dataset = self.train_dataset if train_dataset is None else train_dataset
        seed = self.args.seed if self.args.data_seed is None else self.args.data_seed
        return EpochSampler(
            dataset.labels.numpy(),
            weighted=self.weighted_sampling,
            seed=seed,
            batch_size=self._train_batch_size,
        )

    def _run_epoch(self, **kwargs) -> None:
        # A run that is resumed after its last step, in the middle of an epoch, would train one step
        # more. A callback comes too late: `should_training_stop` is read after a step.
        if self.state.global_step >= self.state.max_steps:
            self.control.should_training_stop = True
        else:
            super()._run_epoch(**kwargs)

    def create_optimizer(self, model: torch.nn.Module | None = None) -> torch.optim.Optimizer:
        """Makes the moving average beside the optimizer: both are state of the training."""
        if self.args.ema_decay and self.ema is None:
            self.ema = ModelEmaV3(self.model, decay=self.args.ema_decay, use_warmup=True)
        return super().create_optimizer(model)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """
        A folder that `pipeline` loads, with the code and without a pickle. In a checkpoint, what
        Trainer saves, and the moving average and the run's state as well.
        """
        if not _internal_call:
            if self.args.should_save:
                folder = Path(output_dir or self.args.output_dir)
                dtype = getattr(torch, self.args.weights_dtype)
                save_network(self.model, self.processing_class, folder, dtype=dtype)
            return
        super().save_model(output_dir, _internal_call)
        loss = self.accelerator.reduce(self._tr_loss, "mean").item()
        state = {
            "settings": self.settings,
            "changed_settings": self.changed_settings,
            "loss": {
                "_tr_loss": loss,
                "_total_loss_scalar": self._total_loss_scalar,
                "_globalstep_last_logged": self._globalstep_last_logged,
            },
        }
        if self.args.should_save:
            if self.ema is not None:
                save_model(self.ema.module, str(Path(output_dir) / EMA_FILE))
            (Path(output_dir) / RUN_STATE_FILE).write_text(json.dumps(state, indent=2))

    def go_on_from_checkpoint(self) -> None:
        """
        Restores what Trainer does not: the moving average, and the loss, so that what is logged and
        returned is that of the whole run. Called when the training begins.
        """
        if self.resumed_from is None:
            return
        self._load_ema(self.resumed_from)
        if before := read_run_state(self.resumed_from).get("loss"):
            self._tr_loss += before["_tr_loss"]
            self._total_loss_scalar = before["_total_loss_scalar"]
            self._globalstep_last_logged = before["_globalstep_last_logged"]
            self._initial_global_step = 0

    def _load_ema(self, checkpoint: str) -> None:
        if self.ema is None:
            return
        file = Path(checkpoint) / EMA_FILE
        if not file.is_file():
            raise TrainingError(
                f"{checkpoint}: expected the averaged weights in {EMA_FILE}, but it is not there. "
                "Resume from another checkpoint."
            )
        load_model(self.ema.module, str(file))  # through the CPU, to where the average is

    def prepare_resume(self, wanted: str | None) -> Path | None:
        """
        Finds the checkpoint to resume from, logs and notes how the settings differ from its run's,
        and makes way for new checkpoints.

        Args:
            wanted: the value of --resume_from_checkpoint.

        Returns:
            The checkpoint to go on from; None to start at step 0.

        Raises:
            TrainingError: the checkpoint is not whole, or is of another run.
        """
        folder = Path(self.args.output_dir)
        checkpoint, message = resume_point(wanted, folder)
        if message:
            logger.info(message)
        if checkpoint:
            changes = changed_settings(checkpoint, self.settings)
            self.changed_settings = read_run_state(checkpoint).get("changed_settings", [])
            if changes:
                logger.info(f"Changed since {checkpoint}, from here on: {', '.join(changes)}")
                self.changed_settings += [f"{checkpoint.name}: {change}" for change in changes]
        if self.args.should_save:
            if checkpoint:
                find_best_beside(checkpoint)
            if aside := set_aside_newer(folder, checkpoint):
                logger.info(f"Newer checkpoints are set aside: {', '.join(aside)}")
        self.accelerator.wait_for_everyone()
        return checkpoint

    def train(self, resume_from_checkpoint: str | None = None, **kwargs) -> TrainOutput:
        """
        `Trainer.train`; its time and rates are those of the whole run, however often resumed.

        Raises:
            TrainingError: the loss is not finite, or a checkpoint could not be written.
        """
        self.resumed_from = resume_from_checkpoint
        try:
            output = super().train(resume_from_checkpoint=resume_from_checkpoint, **kwargs)
        except (OSError, SafetensorError, RuntimeError) as error:  # the last is torch.save's
            self._remove_broken_checkpoint(error)
            raise
        if self.state.is_world_process_zero:
            seconds = self.state.log_history[-1]["elapsed"]
            images = self.state.epoch * len(self.train_dataset)
            output.metrics["train_runtime"] = seconds
            output.metrics["train_samples_per_second"] = images / seconds
            output.metrics["train_steps_per_second"] = self.state.global_step / seconds
        if self.ema is not None:
            best = self.state.best_model_checkpoint
            if self.args.load_best_model_at_end and best is not None:
                self._load_ema(best)
            self.model.load_state_dict(self.ema.module.state_dict())
            self.ema = None
        return output

    def finish_weights(self, failures: Failures) -> None:
        """
        After the training: rounds the weights to what will be saved, so that the results are those
        of the file, and recomputes the batch norm statistics for --precise_bn.
        """
        round_weights(self.model, getattr(torch, self.args.weights_dtype))
        if not self.args.precise_bn:
            return
        of_training = {name: value.clone() for name, value in self.model.named_buffers()}
        with failures.noted("batch norm statistics of --precise_bn; those of the training stay"):
            recompute_statistics(
                self.model,
                self.train_dataset.pixels,
                self.processing_class,
                count=self.args.precise_bn,
                batch_size=self.args.per_device_eval_batch_size,
                seed=self.args.seed,
            )
            return
        for name, value in self.model.named_buffers():
            value.copy_(of_training[name])

    def _remove_broken_checkpoint(self, error: Exception) -> None:
        """Raises TrainingError if `error` cut off the checkpoint of this step."""
        folder = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
        if not folder.is_dir() or is_whole(folder):
            return
        if self.args.should_save:
            remove(folder)
        raise TrainingError(
            f"{folder} could not be written ({first_line(error)}) and was removed. "
            f"{how_to_resume(folder.parent)} Make room first."
        ) from error


def _with_own_options(args: TrainingArguments) -> TrainingArguments:
    """`args` with what FerTrainingArguments add to them, at its default where it is not set."""
    args.remove_unused_columns = False  # batches hold only what the model reads
    for option in dataclasses.fields(FerTrainingArguments):
        if not hasattr(args, option.name):
            made = option.default_factory
            setattr(args, option.name, option.default if made is dataclasses.MISSING else made())
    return args


def _whole_batch(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return batch  # FaceDataset.__getitems__ has collated it


def epoch_metrics(label_names: Sequence[str]) -> Callable[[EvalPrediction], dict[str, float]]:
    """The Trainer's `compute_metrics`: what is worth a line after each epoch."""

    def compute(prediction: EvalPrediction) -> dict[str, float]:
        metrics = classification_metrics(
            np.asarray(prediction.predictions, dtype=np.float32),
            np.asarray(prediction.label_ids),
            label_names,
            bootstrap=0,
        )
        shown = ("accuracy", "balanced_accuracy", "macro_f1", "ece", "recall_")
        return {key: value for key, value in metrics.items() if key.startswith(shown)}

    return compute
