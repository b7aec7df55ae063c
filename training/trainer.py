"""transformers' Trainer with losses for imbalance, batch augmentation and averaged weights."""

import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from accelerate.utils import broadcast
from safetensors import SafetensorError
from safetensors.torch import load_model, save_model
from timm.optim import get_optimizer_class, get_optimizer_info
from timm.utils import ModelEmaV3
from transformers import EvalPrediction, Trainer, TrainerCallback, TrainingArguments, set_seed

from .augmentation import BatchAugmentation
from .checkpoints import (
    RUN_STATE_FILE,
    TrainingError,
    find_best_beside,
    how_to_resume,
    is_whole,
    read_run_state,
    recipe_changes,
    remove,
    resume_point,
    set_aside_newer,
)
from .cpu import use_float32_iterations, use_small_map_gradient
from .evaluation import classification_metrics
from .gaps import Gaps
from .gpu import stack_equal_matrices
from .network import round_weights
from .stopping import StopOnSignal
from .targets import Batch, Targets
from .treatments import EpochSampler, Loss
from .weights import recompute_statistics
from .wording import first_line

EMA_FILE = "ema.safetensors"


class EpochScheduleCallback(TrainerCallback):
    """Tells model, loss, image size and moving average which epoch and step it is."""

    def __init__(self, trainer: "FerTrainer"):
        self.trainer = trainer

    def on_train_begin(self, args, state, control, **kwargs):
        # Each process draws its own dropout and augmentation; the order of rows does not come from
        # this generator.
        set_seed(args.seed + args.process_index)
        self.trainer.go_on_from_checkpoint()

    def on_epoch_begin(self, args, state, control, **kwargs):
        epoch = int((state.epoch or 0) + 1e-6)  # a resumed epoch starts at a fraction
        self.trainer.model.freeze_backbone(epoch < args.freeze_backbone_epochs)
        self.trainer.criterion.set_epoch(epoch)
        if sizes := args.progressive_sizes:
            phase = epoch * len(sizes) // state.num_train_epochs
            self.trainer.train_size = sizes[min(phase, len(sizes) - 1)]

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
        criterion: a `training.treatments.Loss`, bound to the class counts: logits (N, C), labels
            (N,) or (N, C) -> scalar mean over samples.
        augmentation: images (N, C, H, W) -> images, applied to training batches on their device.
            None: none.
        targets: what becomes of the labels of training batches, images augmented. None: nothing.
        weighted_sampling: draw rows with replacement, each class equally likely.
        recipe: what decides which weights come out (`Arguments.recipe`), kept in each checkpoint
            to be compared on resume.

    Batches are uint8 images and labels (`training.data.FaceDataset`). Of `args` it reads, beside
    TrainingArguments, `ema_decay` (0: off), `freeze_backbone_epochs`, `progressive_sizes`,
    `timm_optim` and `channels_last`. With an average of the weights, it is the average that is
    evaluated and that `train` leaves in `self.model`; checkpoints hold both.

    Two private methods of Trainer are overridden, and some private attributes are read; a test
    names them all, so that a new transformers without them fails there first.
    """

    loss_is_scaled_for_ga = False  # `compute_loss` is a mean over the samples of its batch

    def __init__(
        self,
        *args,
        criterion: Loss,
        augmentation: BatchAugmentation | None = None,
        targets: Targets | None = None,
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
            else:
                stack_equal_matrices(optimizer)
        self.criterion = criterion
        self.augmentation, self.targets = augmentation, targets or Targets()
        self.weighted_sampling = weighted_sampling
        self.recipe, self.recipe_changes = recipe or {}, []
        self.resumed_from: str | None = None
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
        Training: augment, apply the steps of the targets, normalise, forward, the criterion.
        Evaluation: plain cross-entropy, so that the curves of different treatments compare.

        `num_items_in_batch` is not used: a mean over samples needs no correction for equal batches.
        """
        images, labels = inputs["pixel_values"], inputs["labels"]  # uint8 (N, C, H, W), int64 (N,)
        if model.training and self.augmentation is not None:
            images = self.augmentation(images)
        if model.training:
            batch = self.targets(Batch(images, labels, inputs.get("voted")))
            images, labels = batch.images, batch.targets  # labels: (N,), or (N, C) probabilities
        side = self.train_size if model.training else None
        pixel_values = self.processing_class.normalize_batch(images, side)  # float32 (N, C, h, w)
        if self.args.channels_last:
            pixel_values = pixel_values.contiguous(memory_format=torch.channels_last)
        if model.training:
            outputs = model(pixel_values=pixel_values)
        else:  # in float32, as it is used: past the bf16 that Accelerate wraps around `forward`
            network = self.accelerator.unwrap_model(model, keep_torch_compile=False)
            outputs = type(network).forward(network, pixel_values=pixel_values)
        logits = outputs["logits"].float()
        loss = self.criterion(logits, labels) if model.training else F.cross_entropy(logits, labels)
        return (loss, outputs) if return_outputs else loss

    def training_step(self, *args, **kwargs):
        loss = super().training_step(*args, **kwargs)
        loss_of_all = self.accelerator.reduce(loss, "mean")  # all processes stop, or none
        if not torch.isfinite(loss_of_all):  # before the optimizer's step: weights still good
            raise TrainingError(
                f"The loss of step {self.state.global_step + 1} is {loss_of_all.item()}, "
                f"learning rate {self._get_learning_rate():.3g}. "
                f"{how_to_resume(self.args.output_dir)} "
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
        # Without it rows would be drawn from the global generator: no weighted sampling, and
        # another order after a resume. The public `get_train_dataloader` would have to repeat
        # how Trainer sets up a loader and hands it to Accelerate.
        dataset = self.train_dataset if train_dataset is None else train_dataset
        seed = self.args.seed if self.args.data_seed is None else self.args.data_seed
        return EpochSampler(
            dataset.labels.numpy(),
            weighted=self.weighted_sampling,
            seed=seed,
            batch_size=self._train_batch_size,
        )

    def _run_epoch(self, **kwargs):
        # Without it a run that is resumed after its last step, in the middle of an epoch, trains
        # one step more. `on_epoch_begin` was tried: `should_training_stop` is read after a step.
        if self.state.global_step >= self.state.max_steps:
            self.control.should_training_stop = True
        else:
            super()._run_epoch(**kwargs)

    def create_optimizer(self, model=None):
        """The moving average is made where the optimizer is: both are state of the training."""
        if self.args.ema_decay and self.ema is None:
            self.ema = ModelEmaV3(self.model, decay=self.args.ema_decay, use_warmup=True)
        return super().create_optimizer(model)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False):
        """`Trainer.save_model`; in a checkpoint, the moving average and the run's state as well."""
        super().save_model(output_dir, _internal_call)
        if not _internal_call:
            return
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
            if self.ema is not None:
                save_model(self.ema.module, str(Path(output_dir) / EMA_FILE))
            (Path(output_dir) / RUN_STATE_FILE).write_text(json.dumps(state, indent=2))

    def go_on_from_checkpoint(self) -> None:
        """
        What Trainer does not restore: the moving average, and the loss, so that what is logged and
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

    def prepare_resume(self, wanted: str | None, say: Callable[[str], None]) -> Path | None:
        """
        Says and notes what differs from the checkpoint's run; makes way for its checkpoints.

        Args:
            wanted: of --resume_from_checkpoint. say: is told what a user should know.

        Returns:
            The checkpoint to go on from; None to start at step 0.

        Raises:
            TrainingError: the checkpoint is not whole, or is of another run.
        """
        folder = Path(self.args.output_dir)
        checkpoint, words = resume_point(wanted, folder)
        if words:
            say(words)
        if checkpoint:
            changed = recipe_changes(checkpoint, self.recipe)
            self.recipe_changes = read_run_state(checkpoint).get("recipe_changes", [])
            if changed:
                say(f"Changed since {checkpoint}, from here on: {', '.join(changed)}")
                self.recipe_changes += [f"{checkpoint.name}: {one}" for one in changed]
        if self.args.should_save:
            if checkpoint:
                find_best_beside(checkpoint)
            if aside := set_aside_newer(folder, checkpoint):
                say(f"Newer checkpoints are set aside: {', '.join(aside)}")
        self.accelerator.wait_for_everyone()
        return checkpoint

    def train(self, resume_from_checkpoint: str | None = None, **kwargs):
        """
        `Trainer.train`; its time and rates are those of the whole run, however often resumed.

        Raises:
            TrainingError: the loss is not finite, or a checkpoint could not be written.
        """
        self.resumed_from = resume_from_checkpoint
        try:
            output = super().train(resume_from_checkpoint=resume_from_checkpoint, **kwargs)
        # torch.save raises RuntimeError
        except (OSError, SafetensorError, RuntimeError) as error:
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

    def finish_weights(self, gaps: Gaps) -> None:
        """
        After the training: rounds the weights to what will be saved, so that the figures are those
        of the file, and recomputes the batch norm statistics if --precise_bn asks for it.
        """
        round_weights(self.model, getattr(torch, self.args.weights_dtype))
        if not self.args.precise_bn:
            return
        of_training = {name: value.clone() for name, value in self.model.named_buffers()}
        with gaps.on_error("batch norm statistics of --precise_bn; those of the training stay"):
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


def _whole_batch(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return batch  # FaceDataset.__getitems__ has collated it


def epoch_metrics(label_names: Sequence[str]):
    """`compute_metrics` for the Trainer: what is worth a line after each epoch."""

    def compute(prediction: EvalPrediction) -> dict[str, float]:
        figures = classification_metrics(
            np.asarray(prediction.predictions, dtype=np.float32),
            np.asarray(prediction.label_ids),
            label_names,
            bootstrap=0,
        )
        shown = ("accuracy", "balanced_accuracy", "macro_f1", "ece", "recall_")
        return {key: value for key, value in figures.items() if key.startswith(shown)}

    return compute


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
