"""The files of a run's folder: what may be written where, and all of it or nothing."""

import contextlib
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml
from safetensors import SafetensorError

from ..arguments import Arguments
from ..checkpoints import last_whole_checkpoint, resume_point
from ..errors import TrainingError

PARTIAL = ".partial"
MODELING = Path(__file__).parents[2] / "modeling"
# All that a run's report may consist of, with what evaluation and publishing add.
REPORT_FILES = {
    *("config.json", "model.safetensors", "preprocessor_config.json", "README.md"),
    *("all_results.json", "test_results.json", "data_report.json", "run.yaml"),
    *("predictions.csv", "robustness.json", "model.onnx", "onnx.json", "onnx"),
    *("confusion_matrix.png", "class_distribution.png", "training_curves.png"),
    *("confusion_matrix.svg", "class_distribution.svg", "training_curves.svg"),
    *(file.name for file in MODELING.glob("[!_]*.*")),
}


def check_output_dir(args: Arguments) -> None:
    """
    Raises:
        SystemExit: --output_dir holds files of something else, or a run that --overwrite does not
            replace and --resume_from_checkpoint does not continue.
    """
    folder = Path(args.training.output_dir)
    if folder.exists() and not folder.is_dir():
        raise SystemExit(f"{folder} is a file; expected a folder. Choose another --output_dir.")
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    names = [name for name in names if name != PARTIAL]
    if not names:
        return
    of_a_run = any(re.fullmatch(r"run\.yaml|checkpoint-\d+", name) for name in names)
    if not of_a_run and names != ["runs"]:  # the logs of a run that was stopped early
        raise SystemExit(
            f"{folder} holds files that do not belong to a run ({', '.join(names[:3])}). "
            "Choose another --output_dir."
        )
    if args.training.evaluate_only and "model.safetensors" in names:
        raise SystemExit(
            f"{folder} holds a trained model, whose report this evaluation would replace. "
            "Choose another --output_dir."
        )
    if args.training.overwrite:
        return
    if not args.training.resume_from_checkpoint:
        can_go_on = last_whole_checkpoint(folder) is not None
        raise SystemExit(
            f"{folder} holds another run ({', '.join(names[:3])}). Choose another --output_dir, or "
            "replace the run with --overwrite"
            + (", or continue it with --resume_from_checkpoint true." if can_go_on else ".")
        )
    checkpoint = resume_point(args.training.resume_from_checkpoint, folder)[0]
    if checkpoint is not None and checkpoint.resolve().parent != folder.resolve():
        raise SystemExit(
            f"{folder} holds another run than {checkpoint}. Choose another --output_dir, or "
            "replace the run with --overwrite."
        )
    if "run.yaml" in names and checkpoint is None:
        raise SystemExit(
            f"{folder} holds a finished run and no complete checkpoint to continue from. Choose "
            "another --output_dir, or replace the run with --overwrite."
        )


def remove_checkpoints_and_logs(folder: Path) -> None:
    """For a run that is being replaced; its report is replaced when the new run is done."""
    for path in [*folder.glob("*checkpoint-*"), folder / "runs"]:
        if path.is_symlink():
            path.unlink()
        shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def written_whole(folder: Path) -> Iterator[Path]:
    """
    A folder to write a report into. Once all of it is written, it replaces the report in `folder`:
    files of the earlier report that the new one lacks are removed, but not what links point to.
    Checkpoints, logs and other people's files stay.

    Raises:
        TrainingError: the report could not be written (no space left, say); `folder` is unchanged.
    """
    try:
        with _partial(folder) as partial:
            yield partial
            _replace_report(folder, partial)
    except (OSError, SafetensorError) as error:
        raise TrainingError(
            f"{folder} could not be written ({error}); its earlier content is unchanged. Free "
            "some space, then continue from the last checkpoint with --resume_from_checkpoint true."
        ) from error


@contextlib.contextmanager
def added(folder: Path) -> Iterator[Path]:
    """A folder to write files into, which then join the report in `folder`: all of them or none."""
    with _partial(folder) as partial:
        yield partial
        for file in partial.iterdir():
            os.replace(file, folder / file.name)


@contextlib.contextmanager
def _partial(folder: Path) -> Iterator[Path]:
    """An empty folder in `folder`, which is gone afterwards."""
    partial = folder / PARTIAL
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _replace_report(folder: Path, new: Path) -> None:
    names = {file.name for file in new.iterdir()}
    for name in sorted(names, key=lambda name: name != "run.yaml"):  # first: it marks a run
        os.replace(new / name, folder / name)  # replaces a link, not what it points to
    for path in folder.iterdir():
        if path.name in REPORT_FILES - names:
            if path.is_symlink() or path.is_file():
                path.unlink()
            else:
                shutil.rmtree(path)


def weights_sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def write_json(path: Path, content: Mapping) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n")


def write_yaml(path: Path, content: Mapping) -> None:
    """In the order given, without anchors and aliases."""
    text = yaml.dump(content, Dumper=_PlainDumper, sort_keys=False, width=120)
    path.write_text(text)


class _PlainDumper(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:
        return True
