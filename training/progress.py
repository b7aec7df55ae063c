"""Progress bars of the libraries that a run uses."""

import importlib.util

import huggingface_hub.utils
from transformers import TrainingArguments
from transformers.utils import logging


def hide_progress_bars(args: TrainingArguments) -> None:
    """With --disable_tqdm, and in every process but one."""
    if args.disable_tqdm or args.local_process_index:
        huggingface_hub.utils.disable_progress_bars()
        logging.disable_progress_bar()
        if importlib.util.find_spec("datasets"):  # packed data are read without it
            import datasets

            datasets.disable_progress_bars()
