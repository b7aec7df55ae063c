"""Progress bars of the libraries that a run uses."""

import datasets
import huggingface_hub.utils
from transformers import TrainingArguments
from transformers.utils import logging


def hide_progress_bars(args: TrainingArguments) -> None:
    """With --disable_tqdm, and in every process but one."""
    if args.disable_tqdm or args.local_process_index:
        for library in (datasets, huggingface_hub.utils):
            library.disable_progress_bars()
        logging.disable_progress_bar()
