"""Ctrl-C and SIGTERM end a training at the next step, with a checkpoint."""

import signal
import threading
import time
from types import FrameType

import torch
from accelerate import Accelerator
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.utils import logging

logger = logging.get_logger(__name__)

SIGNALS = (signal.SIGINT, signal.SIGTERM)
AGAIN_AFTER = 1.0  # seconds; torchrun passes on a Ctrl-C that its processes have had themselves


class StopOnSignal(TrainerCallback):
    """
    The first Ctrl-C or SIGTERM finishes the step, saves a checkpoint and ends the training; a
    Ctrl-C more than a second later ends it at once. Several processes all stop at the same step.

    (transformers' `enable_jit_checkpoint` knows SIGTERM alone, and waits three seconds first.)

    Attributes:
        received: the signal's number, or None.
    """

    def __init__(self, accelerator: Accelerator):
        self.accelerator = accelerator
        self.received: int | None = None

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, *_, **__) -> None:
        self.received = None
        self.previous = {}
        if threading.current_thread() is threading.main_thread():
            self.previous = {number: signal.signal(number, self._note) for number in SIGNALS}

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs
    ) -> None:
        if self._any_process_received():
            control.should_save = control.should_training_stop = True

    on_evaluate = on_step_end  # its checkpoint, if any, comes after the evaluation

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs
    ) -> None:
        # What the end of an epoch does would move the random numbers of the checkpoint on, and a
        # run that is not stopped does not do it in the middle of one.
        is_whole = abs(state.epoch - round(state.epoch)) < 1e-6
        if self.received is not None and not is_whole and state.global_step < state.max_steps:
            control.should_log = control.should_evaluate = control.should_save = False

    def on_train_end(self, args: TrainingArguments, state: TrainerState, *_, **__) -> None:
        for number, handler in self.previous.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            if number == signal.SIGINT and time.monotonic() > self.noted_at + AGAIN_AFTER:
                raise KeyboardInterrupt
            return
        self.received, self.noted_at = number, time.monotonic()
        logger.info(
            f"\n{signal.Signals(number).name}: finishing this step and saving a checkpoint. Ctrl-C "
            "once more ends at once, without."
        )

    def _any_process_received(self) -> bool:
        if self.accelerator.num_processes > 1:
            noted = torch.tensor(self.received or 0, device=self.accelerator.device)
            self.received = int(self.accelerator.gather(noted).max()) or None
        return self.received is not None
