"""transformers' Trainer with losses for imbalance, batch augmentation and averaged weights."""

import json
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from accelerate.utils import broadcast
from safetensors import SafetensorError
from safetensors.torch import load_model, save_model
from timm.optim import get_optimizer_class, get_optimizer_info
from timm.utils import ModelEmaV3
from torch import nn
from transformers import EvalPrediction, Trainer, TrainerCallback, set_seed

from .augmentation import BatchAugmentation, BatchMixing
from .checkpoints import (
    RUN_STATE_FILE,
    TrainingError,
    last_whole_checkpoint,
    read_run_state,
    remove,
)
from .data import first_line
from .depthwise import use_small_map_gradient
from .distillation import Teachers
from .metrics import FerMetrics
from .muon import use_float32_iterations
from .sampling import EpochSampler
from .stopping import StopOnSignal

EMA_FILE = "ema.safetensors"


class EpochScheduleCallback(TrainerCallback):
    """Tells model, loss, image size and moving average which epoch and step it is."""

    def __init__(self, trainer: "FerTrainer"):
        self.trainer = trainer

    def on_train_begin(self, args, state, control, **kwargs):
        # Each process draws its own dropout and augmentation; the order of rows does not come from
        # this generator.
        set_seed(args.seed + args.process_index)
        self.trainer.go_on_with_loss()

    def on_epoch_begin(self, args, state, control, **kwargs):
        epoch = int((state.epoch or 0) + 1e-6)  # a resumed epoch starts at a fraction
        self.trainer.model.freeze_backbone(epoch < args.freeze_backbone_epochs)
        self.trainer.criterion.set_epoch(epoch)
        if sizes := args.progressive_sizes:
            stage = epoch * len(sizes) // state.num_train_epochs
            self.trainer.train_size = sizes[min(stage, len(sizes) - 1)]

    def on_step_end(self, args, state, control, **kwargs):
        if self.trainer.ema is not None:
            self.trainer.ema.update(self.trainer.model, step=state.global_step)

    def on_train_end(self, args, state, control, **kwargs):
        self.trainer.model.freeze_backbone(False)


class ClockCallback(TrainerCallback):
    """Notes in the log how long the run has trained, the time before it was resumed included."""

    def on_train_begin(self, args, state, control, **kwargs):
        before = max((entry.get("elapsed", 0) for entry in state.log_history), default=0)
        self.started = time.monotonic() - before

    def on_log(self, args, state, control, **kwargs):
        if state.is_world_process_zero:
            state.log_history[-1]["elapsed"] = time.monotonic() - self.started


class FerTrainer(Trainer):
    """
    Trainer whose `compute_loss` applies one of the treatments of imbalance.

    Beside `transformers.Trainer`'s arguments (`processing_class`, the image processor, required):

    Args:
        criterion: `(logits (N, C), labels (N,) or (N, C)) -> scalar` mean over samples, with
            `set_epoch`; see `training.losses.ImbalanceLoss`.
        augmentation: images (N, C, H, W) -> images, applied to training batches on their device.
            None: none.
        mixing: images, labels -> images, (N, C) probabilities. None: none.
        teachers: images, labels -> (N, C) probabilities, after the mixing. None: none.
        weighted_sampling: draw rows with replacement, each class equally likely.
        recipe: what decides which weights come out (`Arguments.recipe`), kept in each checkpoint
            to be compared on resume.

    Batches are uint8 images and labels (`training.data.FaceDataset`). Of `args` it reads, beside
    TrainingArguments, `ema_decay` (0: off), `freeze_backbone_epochs`, `progressive_sizes`,
    `timm_optim` and `channels_last`. With an average of the weights, it is the average that is
    evaluated and that `train` leaves in `self.model`; checkpoints hold both.
    """

    loss_is_scaled_for_ga = False  # `compute_loss` is a mean over the samples of its batch

    def __init__(
        self,
        *args,
        criterion: nn.Module,
        augmentation: BatchAugmentation | None = None,
        mixing: BatchMixing | None = None,
        teachers: Teachers | None = None,
        weighted_sampling: bool = False,
        recipe: dict | None = None,
        **kwargs,
    ):
        super().__init__(*args, data_collator=_whole_batch, **kwargs)
        if name := self.args.timm_optim:
            defaults = get_optimizer_info(name).defaults or {}
            optimizer = get_optimizer_class(name, bind_defaults=False)
            self.optimizer_cls_and_kwargs = (optimizer, defaults | {"lr": self.args.learning_rate})
            if self.args.device.type == "cpu":
                use_float32_iterations(optimizer)
        self.criterion = criterion.to(self.args.device)
        self.augmentation, self.mixing, self.teachers = augmentation, mixing, teachers
        self.weighted_sampling = weighted_sampling
        self.recipe, self.recipe_changes = recipe or {}, []
        self.loss_before: dict | None = None  # of the steps before a resume
        self.ema: ModelEmaV3 | None = None
        self.train_size: int | None = None  # None: the processor's
        if self.args.channels_last:
            self.model.to(memory_format=torch.channels_last)
        if self.args.device.type == "cpu":
            use_small_map_gradient(self.model)
        self.add_callback(EpochScheduleCallback(self))
        self.add_callback(ClockCallback())
        self.stop = StopOnSignal(self.accelerator)
        self.add_callback(self.stop)

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """
        Training: augment, mix, ask the teachers, normalise, forward, the criterion. Evaluation:
        plain cross-entropy, so that the curves of different treatments compare.

        `num_items_in_batch` is not used: a mean over samples needs no correction for equal batches.
        """
        images, labels = inputs["pixel_values"], inputs["labels"]  # uint8 (N, C, H, W), int64 (N,)
        if model.training and self.augmentation is not None:
            images = self.augmentation(images)
        if model.training and self.mixing is not None:
            images, labels = self.mixing(images, labels)
        if model.training and self.teachers is not None:
            labels = self.teachers(images, labels)
        side = self.train_size if model.training else None
        pixel_values = self.processing_class.normalize_batch(images, side)  # float32 (N, C, h, w)
        if self.args.channels_last:
            pixel_values = pixel_values.contiguous(memory_format=torch.channels_last)
        outputs = model(pixel_values=pixel_values)
        logits = outputs["logits"].float()
        loss = self.criterion(logits, labels) if model.training else F.cross_entropy(logits, labels)
        return (loss, outputs) if return_outputs else loss

    def training_step(self, *args, **kwargs):
        loss = super().training_step(*args, **kwargs)
        loss_of_all = self.accelerator.reduce(loss, "mean")  # all processes stop, or none
        if not torch.isfinite(loss_of_all):  # before the optimizer's step: weights still good
            raise TrainingError(
                f"The loss of step {self.state.global_step + 1} is {loss_of_all.item()}, "
                f"learning rate {self._get_learning_rate():.3g}. {self._way_on()} "
                "--max_grad_norm 1 may help, or a new run from its weights (--model_name_or_path) "
                "with a smaller --learning_rate."
            )
        return loss

    def evaluation_loop(self, *args, **kwargs):
        """All processes evaluate the batch statistics of the main one: they are what is saved."""
        network = self.model if self.ema is None else self.ema.module
        broadcast(list(network.buffers()))
        output = super().evaluation_loop(*args, **kwargs)
        self._set_loss(output)
        return output

    @staticmethod
    def _set_loss(output) -> None:
        """
        Of the gathered logits, each image once: in the Trainer's own mean of batch means
        the images that fill up the last batch of several processes count twice.
        """
        for name in [key for key in output.metrics if key.endswith("_loss")]:
            logits, labels = torch.as_tensor(output.predictions), torch.as_tensor(output.label_ids)
            output.metrics[name] = F.cross_entropy(logits.double(), labels).item()

    def prediction_step(self, model, inputs, prediction_loss_only, ignore_keys=None):
        if self.ema is not None:
            model = self.ema.module
        return super().prediction_step(model, inputs, prediction_loss_only, ignore_keys)

    def _get_train_sampler(self, train_dataset=None):
        dataset = self.train_dataset if train_dataset is None else train_dataset
        seed = self.args.seed if self.args.data_seed is None else self.args.data_seed
        return EpochSampler(
            dataset.labels.numpy(),
            weighted=self.weighted_sampling,
            seed=seed,
            batch_size=self._train_batch_size,
        )

    # The moving average is made, saved and loaded where the optimizer is: both are state of the
    # training.

    def create_optimizer(self, model=None):
        if self.args.ema_decay and self.ema is None:
            self.ema = ModelEmaV3(self.model, decay=self.args.ema_decay, use_warmup=True)
        return super().create_optimizer(model)

    def _save_checkpoint(self, model, trial):
        folder = Path(self._get_output_dir(trial)) / f"checkpoint-{self.state.global_step}"
        if self.args.should_save:
            remove(folder)  # one that was cut off, or of a run from which this one was resumed
        try:
            super()._save_checkpoint(model, trial)
        except (OSError, SafetensorError, RuntimeError) as error:  # torch.save raises RuntimeError
            if self.args.should_save:
                remove(folder)
            raise TrainingError(
                f"{folder} could not be written ({first_line(error)}) and was removed. "
                f"{self._way_on()} Make room first."
            ) from error

    def _way_on(self) -> str:
        kept = last_whole_checkpoint(Path(self.args.output_dir))
        if kept is None:
            return "There is no checkpoint yet to go on from."
        return f"{kept} is whole: --resume_from_checkpoint true goes on from there."

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        super()._save_optimizer_and_scheduler(output_dir)
        if self.ema is not None and self.args.should_save:
            save_model(self.ema.module, str(Path(output_dir) / EMA_FILE))
        loss = self.accelerator.reduce(self._tr_loss, "mean").item()
        state = {
            "recipe": self.recipe,
            "recipe_changes": self.recipe_changes,
            "loss": {
                "_tr_loss": loss,
                "_total_loss_scalar": self._total_loss_scalar,
                "_globalstep_last_logged": self._globalstep_last_logged,
            },
        }
        if self.args.should_save:
            (Path(output_dir) / RUN_STATE_FILE).write_text(json.dumps(state, indent=2))

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        self._load_ema(checkpoint)
        self.loss_before = read_run_state(checkpoint).get("loss") if checkpoint else None

    def go_on_with_loss(self) -> None:
        """After a resume, the loss that is logged and returned is that of the whole run."""
        if self.loss_before is not None:
            self._tr_loss += self.loss_before["_tr_loss"]
            self._total_loss_scalar = self.loss_before["_total_loss_scalar"]
            self._globalstep_last_logged = self.loss_before["_globalstep_last_logged"]
            self._initial_global_step = 0

    def _run_epoch(self, **kwargs):
        if self.state.global_step >= self.state.max_steps:  # resumed after the last step
            self.control.should_training_stop = True
        else:
            super()._run_epoch(**kwargs)

    def _load_best_model(self) -> None:
        super()._load_best_model()
        self._load_ema(self.state.best_model_checkpoint)

    def _load_ema(self, checkpoint: str | None) -> None:
        if checkpoint is not None and self.ema is not None:
            load_model(
                self.ema.module, str(Path(checkpoint) / EMA_FILE), device=str(self.args.device)
            )

    def train(self, *args, **kwargs):
        """`Trainer.train`; its time and rates are those of the whole run, however often resumed."""
        output = super().train(*args, **kwargs)
        if self.state.is_world_process_zero:
            seconds = self.state.log_history[-1]["elapsed"]
            images = self.state.epoch * len(self.train_dataset)
            output.metrics["train_runtime"] = seconds
            output.metrics["train_samples_per_second"] = images / seconds
            output.metrics["train_steps_per_second"] = self.state.global_step / seconds
        if self.ema is not None:
            self.model.load_state_dict(self.ema.module.state_dict())
            self.ema = None
        return output


def _whole_batch(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return batch  # FaceDataset.__getitems__ has collated it


def epoch_metrics(label_names: list[str]):
    """`compute_metrics` for the Trainer: what is worth a line after each epoch."""
    metrics = FerMetrics(label_names, bootstrap=0)

    def compute(prediction: EvalPrediction) -> dict[str, float]:
        figures = metrics.compute(
            predictions=np.asarray(prediction.predictions, dtype=np.float32),
            references=prediction.label_ids,
        )
        shown = ("accuracy", "balanced_accuracy", "macro_f1", "ece", "recall_")
        return {key: value for key, value in figures.items() if key.startswith(shown)}

    return compute
