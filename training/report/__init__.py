"""The report room: what a run leaves behind in its folder, and how that is read again."""

from .files import check_output_dir, remove_checkpoints_and_logs, write_json, written_whole
from .markdown import markdown_table, plain
from .run_folder import RunFolder
from .run_record import chain, read_run, was_measured
from .verify import load_back, predict_in_clean_process
from .way_on import LOADING_BACK, say_way_on

__all__ = [
    "LOADING_BACK",
    "RunFolder",
    "chain",
    "check_output_dir",
    "load_back",
    "markdown_table",
    "plain",
    "predict_in_clean_process",
    "read_run",
    "remove_checkpoints_and_logs",
    "say_way_on",
    "write_json",
    "was_measured",
    "written_whole",
]
