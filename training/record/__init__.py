"""The record room: what a run was, as its folder keeps it, and how that is read again."""

from .files import check_output_dir, remove_checkpoints_and_logs, weights_sha256, write_json
from .lineage import flags_of
from .loading_back import LOADING_BACK, load_back, predict_in_clean_process
from .recovery import explain_recovery
from .run_folder import RunFolder
from .run_yaml import read_run, stages_of, was_measured
