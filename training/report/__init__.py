"""The report room: what a run leaves behind in its folder, and how that is read again."""

from .files import check_output_dir, remove_checkpoints_and_logs, write_json, written_whole
from .markdown import markdown_table
from .run_folder import write_run_folder
from .run_record import chain, read_run
from .verify import load_back, predict_in_clean_process

__all__ = [
    "chain",
    "check_output_dir",
    "load_back",
    "markdown_table",
    "predict_in_clean_process",
    "read_run",
    "remove_checkpoints_and_logs",
    "write_json",
    "write_run_folder",
    "written_whole",
]
